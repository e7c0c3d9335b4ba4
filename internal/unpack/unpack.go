// Package unpack reads compressed indexes of package repositories, within bounds.
package unpack

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"sutler/internal/ecosystem"
)

// Bounds of what is unpacked. The largest index of a public archive has 60 MB and shrinks
// to a sixth.
const (
	maxPacked   = 512 << 20 // bytes
	maxUnpacked = 2 << 30   // bytes
	maxRatio    = 100       // unpacked to packed, beyond slack
	ratioSlack  = 16 << 20  // bytes
	maxWindow   = 64 << 20  // bytes that a decoder keeps
)

// errBomb means that a document unpacks to more than any index does.
var errBomb = errors.New("it unpacks to too much")

// Text returns a reader of the plain text of a document, by what its first bytes say:
// a name by digest does not tell how it is packed. Errors of the reader wrap ErrInvalid
// unless the document itself could not be read. The caller closes it.
func Text(doc ecosystem.Body) (io.ReadCloser, error) {
	if doc.Size > maxPacked {
		return nil, invalid("%d bytes are too many for an index", doc.Size)
	}
	src := &faultReader{r: doc.Reader()}
	head := make([]byte, 6)
	n, err := doc.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	decoded, err := decoder(src, head[:n])
	if err != nil {
		return nil, src.blame(err)
	}
	return &textReader{src: src, r: decoded, left: min(maxUnpacked, maxRatio*doc.Size+ratioSlack)}, nil
}

// decoder returns a reader of what src holds, which starts with head.
func decoder(src io.Reader, head []byte) (io.Reader, error) {
	for _, m := range magics {
		if !bytes.HasPrefix(head, []byte(m.start)) {
			continue
		}
		switch m.ext {
		case ".gz":
			return gzip.NewReader(src)
		case ".xz":
			return xz.NewReader(src, maxWindow)
		case ".bz2":
			return bzip2.NewReader(src), nil
		case ".zst":
			return zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		}
	}
	return src, nil
}

// A textReader reads what a document unpacks to, up to a bound.
type textReader struct {
	src  *faultReader
	r    io.Reader
	left int64
}

// Read reads the text.
func (t *textReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if t.left -= int64(n); t.left < 0 {
		return 0, invalid("%w", errBomb)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = t.src.blame(err)
	}
	return n, err
}

// Close frees what the decoder holds.
func (t *textReader) Close() error {
	if z, ok := t.r.(*zstd.Decoder); ok {
		z.Close()
	}
	return nil
}

// A faultReader remembers that its source could not be read, which is no fault of the
// document.
type faultReader struct {
	r     io.Reader
	fault error
}

// Read reads from the source.
func (f *faultReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.fault = err
	}
	return n, err
}

// blame returns the error to report for one of a decoder.
func (f *faultReader) blame(err error) error {
	if f.fault != nil {
		return fmt.Errorf("reading the index: %w", f.fault)
	}
	return invalid("unpacking: %w", err)
}

// magics are how compressed files start, by the ends of their names.
var magics = [...]struct{ ext, start string }{
	{".gz", "\x1f\x8b"},
	{".xz", "\xfd7zXZ\x00"},
	{".bz2", "BZh"},
	{".zst", "\x28\xb5\x2f\xfd"},
}

// CheckShape refuses what cannot be a file of that name: a login page, above all.
func CheckShape(name string, doc ecosystem.Body) error {
	var buf [256]byte
	n, err := doc.ReadAt(buf[:min(int64(len(buf)), doc.Size)], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head := buf[:n]
	for _, m := range magics {
		if n > 0 && strings.HasSuffix(name, m.ext) && !bytes.HasPrefix(head, []byte(m.start)) {
			return invalid("%s is not compressed as its name says (a login page?)", name)
		}
	}
	text := bytes.ToLower(bytes.TrimLeft(head, "\ufeff \t\r\n"))
	if bytes.HasPrefix(text, []byte("<!doctype html")) || bytes.HasPrefix(text, []byte("<html")) {
		return invalid("%s is a web page (a login page?)", name)
	}
	return nil
}

// invalid returns an error that wraps ecosystem.ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ecosystem.ErrInvalid, fmt.Errorf(format, args...))
}
