package adb

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
)

// The members of the tree of a package: its folders, their files, and of those what follows.
const (
	packagePaths = 2
	folderFiles  = 3
	fileName     = 1
	fileSize     = 3
	fileHash     = 5
	fileTarget   = 6 // of links and devices, which have no content
)

// Check reads the data of a package, and compares each file with the digest that the tree
// states. It returns an error if one differs, is missing, or is not in the tree.
func (f *Reader) Check() error {
	if f.Schema != Package {
		return fmt.Errorf("it is no package, but %q", f.Schema)
	}
	visits := len(f.Tree) // members may be shared, so a small tree could stand for a large one
	paths := f.Tree.Root().At(packagePaths)
	for p := 1; p <= paths.Len(); p++ {
		files := paths.At(p).At(folderFiles)
		for i := 1; i <= files.Len(); i++ {
			if visits--; visits < 0 {
				return errors.New("a tree that is not one")
			}
			file := files.At(i)
			if file.At(fileSize).Int() == 0 || file.At(fileTarget).Bytes() != nil {
				continue
			}
			if err := f.file(file, uint32(p), uint32(i)); err != nil {
				return fmt.Errorf("%.200q: %w", file.At(fileName).Bytes(), err)
			}
		}
		if visits--; visits < 0 {
			return errors.New("a tree that is not one")
		}
	}
	if b, err := f.nextData(); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("a block of kind %d and %d bytes that belongs to no file", b.kind, b.size), err)
	}
	return nil
}

// file checks the next block of data, which has to be that of a file.
func (f *Reader) file(file Value, path, index uint32) error {
	b, err := f.nextData()
	if err != nil {
		return truncated(err)
	}
	const head = 8 // the indexes of folder and file
	if b.kind != KindData || b.size < head || uint64(b.size-head) != file.At(fileSize).Int() {
		return fmt.Errorf("a block of kind %d and %d bytes, want data of %d", b.kind, b.size, file.At(fileSize).Int())
	}
	want := file.At(fileHash).Bytes()
	h := hashOf(len(want))
	if h == nil {
		return fmt.Errorf("a digest of %d bytes", len(want))
	}
	content := &skipped{w: h}
	if err := f.copy(content, b); err != nil {
		return err
	}
	if content.number(0) != path || content.number(4) != index {
		return fmt.Errorf("data of file %d in folder %d, want those of %d in %d", content.number(4), content.number(0), index, path)
	}
	if got := h.Sum(nil); !bytes.Equal(got, want) {
		return fmt.Errorf("its digest is %x, but the tree states %x", got, want)
	}
	return nil
}

// nextData returns the next block after the signatures.
func (f *Reader) nextData() (block, error) {
	if f.data != nil {
		b := *f.data
		f.data = nil
		return b, nil
	}
	return f.next()
}

// hashOf returns the hash whose sums have that many bytes, nil for those that do not count.
func hashOf(length int) hash.Hash {
	switch length {
	case sha256.Size:
		return sha256.New()
	case sha512.Size:
		return sha512.New()
	}
	return nil
}

// A skipped writer keeps the first eight bytes and passes on the rest.
type skipped struct {
	w    io.Writer
	head []byte
}

// Write takes the next bytes of the block.
func (s *skipped) Write(p []byte) (int, error) {
	n := min(8-len(s.head), len(p))
	s.head = append(s.head, p[:n]...)
	m, err := s.w.Write(p[n:])
	return n + m, err
}

// number returns one of the numbers at the start of the block.
func (s *skipped) number(at uint64) uint32 {
	return uint32(Value{tree: s.head}.number(at, 4))
}
