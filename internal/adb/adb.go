// Package adb reads the files of apk version 3: packages and indexes.
//
// A file is a sequence of blocks, which may be compressed as a whole. The first block is a
// tree of values. Signatures of it may follow, and then the contents of the files that a
// package installs, whose digests are in the tree. See apk-v3(5) in apk-tools.
package adb

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Bounds on what is read, in bytes.
const (
	maxTree      = 64 << 20
	maxSignature = 64 << 10 // all of them
	maxUnpacked  = 16 << 30
	maxWindow    = 128 << 20
)

// The schemas of files: what their tree is about.
const (
	Index   = "indx"
	Package = "pckg"
)

// A Kind says what a block holds.
type Kind uint32

// The kinds of blocks.
const (
	KindTree Kind = iota
	KindSignature
	KindData
	kindLong // its header is longer, and says the kind
)

// A Reader reads a file. Create it with NewReader, close it after use.
type Reader struct {
	Schema     string
	Tree       Tree
	Signatures [][]byte

	r      *bufio.Reader
	limit  *io.LimitedReader
	packed *bufio.Reader
	close  func()
	data   *block // the first block of data, read ahead
}

// A block is where the reader is.
type block struct {
	kind Kind
	size int64
	pad  int // zeros after it
}

// NewReader reads the tree and the signatures of the size bytes of r.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	f := &Reader{close: func() {}}
	if err := f.unpack(io.NewSectionReader(r, 0, size)); err != nil {
		return nil, err
	}
	if err := f.head(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close frees what the reader holds.
func (f *Reader) Close() { f.close() }

// unpack finds out how a file is compressed.
func (f *Reader) unpack(packed *io.SectionReader) error {
	in := bufio.NewReader(packed)
	var magic [4]byte
	if _, err := io.ReadFull(in, magic[:]); err != nil {
		return fmt.Errorf("no file of apk version 3: %w", err)
	}
	const none, deflated, zstandard = 0, 1, 2
	method := byte(none)
	switch string(magic[:]) {
	case "ADB.":
		in.Reset(io.NewSectionReader(packed, 0, packed.Size()))
	case "ADBd":
		method = deflated
	case "ADBc":
		var spec [2]byte // method and level
		if _, err := io.ReadFull(in, spec[:]); err != nil {
			return err
		}
		method = spec[0]
	default:
		return errors.New("no file of apk version 3")
	}
	var plain io.Reader = in
	switch method {
	case none:
	case deflated:
		plain = flate.NewReader(in) // it takes no more than it needs, see end
	case zstandard:
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		plain, f.close = z, z.Close
	default:
		return fmt.Errorf("compressed by unknown method %d", method)
	}
	f.packed, f.limit = in, &io.LimitedReader{R: plain, N: maxUnpacked}
	f.r = bufio.NewReader(f.limit)
	return nil
}

// head reads what comes before the data.
func (f *Reader) head() error {
	var header [8]byte
	if _, err := io.ReadFull(f.r, header[:]); err != nil || string(header[:4]) != "ADB." {
		return errors.Join(errors.New("no header of a file of apk version 3"), err)
	}
	f.Schema = string(header[4:])
	b, err := f.next()
	if err != nil {
		return err
	}
	if b.kind != KindTree || b.size < treeHeader || b.size > maxTree {
		return fmt.Errorf("it starts with a block of kind %d and %d bytes", b.kind, b.size)
	}
	if f.Tree, err = f.read(b); err != nil {
		return err
	}
	if f.Tree[0] != 0 {
		return fmt.Errorf("a tree of version %d", f.Tree[0])
	}
	for signed := int64(0); ; {
		b, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case b.kind == KindData:
			f.data = &b
			return nil
		case b.kind != KindSignature:
			return fmt.Errorf("a block of kind %d among the signatures", b.kind)
		}
		if signed += b.size; signed > maxSignature {
			return fmt.Errorf("more than %d bytes of signatures", maxSignature)
		}
		sig, err := f.read(b)
		if err != nil {
			return err
		}
		f.Signatures = append(f.Signatures, sig)
	}
}

// next reads the header of a block, io.EOF if there is none.
func (f *Reader) next() (block, error) {
	var header [16]byte
	if _, err := io.ReadFull(f.r, header[:4]); err != nil {
		if errors.Is(err, io.EOF) {
			return block{}, f.end()
		}
		return block{}, err
	}
	word := binary.LittleEndian.Uint32(header[:])
	b, total, used := block{kind: Kind(word >> 30)}, uint64(word&(1<<30-1)), uint64(4)
	if b.kind == kindLong {
		if _, err := io.ReadFull(f.r, header[4:]); err != nil {
			return b, truncated(err)
		}
		b.kind, total, used = Kind(total), binary.LittleEndian.Uint64(header[8:]), uint64(len(header))
	}
	if total < used || total > maxUnpacked {
		return b, fmt.Errorf("a block of %d bytes", total)
	}
	b.size, b.pad = int64(total-used), int(-total%8)
	return b, nil
}

// end returns io.EOF if nothing is left of the file.
func (f *Reader) end() error {
	if f.limit.N <= 0 {
		return fmt.Errorf("more than %d bytes unpacked", int64(maxUnpacked))
	}
	switch _, err := f.packed.ReadByte(); {
	case err == nil:
		return errors.New("something follows the compressed blocks")
	default:
		return err
	}
}

// read returns the content of a block.
func (f *Reader) read(b block) ([]byte, error) {
	var content bytes.Buffer // it grows with what is there, not with what is announced
	if err := f.copy(&content, b); err != nil {
		return nil, err
	}
	return content.Bytes(), nil
}

// copy writes the content of a block, and checks that zeros follow it.
func (f *Reader) copy(w io.Writer, b block) error {
	if _, err := io.CopyN(w, f.r, b.size); err != nil {
		return truncated(err)
	}
	var zeros [8]byte
	if _, err := io.ReadFull(f.r, zeros[:b.pad]); err != nil {
		return truncated(err)
	}
	if zeros != [8]byte{} {
		return errors.New("something between two blocks")
	}
	return nil
}

// truncated returns what an end in the middle means.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// HasData reports whether anything follows the signatures.
func (f *Reader) HasData() bool { return f.data != nil }
