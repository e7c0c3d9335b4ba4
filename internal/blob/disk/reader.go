package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"sutler/internal/blob"
)

// A reader reads a blob whose check holds. It has its own offset, apart from that of the
// file, which starts at 0.
type reader struct {
	io.SectionReader
	f *os.File
}

// newReader returns the reader of a blob that was checked.
func newReader(o opened) *reader {
	return &reader{*io.NewSectionReader(o.f, 0, o.id.size), o.f}
}

// File returns the file, for sendfile.
func (r *reader) File() *os.File { return r.f }

// Close closes the file.
func (r *reader) Close() error { return r.f.Close() }

// A checkedReader reads a blob that must be checked. Read in order from the start, it
// hashes what passes and gives the last bytes out only when the digest is right. Read in
// any other way, it has the blob checked first.
type checkedReader struct {
	store *Store
	opened

	off int64 // where Read is

	mu       sync.Mutex // ReadAt may be called by several goroutines
	sum      hash.Hash  // of the first hashed bytes
	hashed   int64
	verified bool
	err      error  // of a check that failed; final
	held     []byte // the end of the blob, read and hashed before it was given out
}

var _ blob.Reader = (*checkedReader)(nil)

// Size returns the length in bytes.
func (r *checkedReader) Size() int64 { return r.id.size }

// File returns the file once the blob was verified, else nil.
func (r *checkedReader) File() *os.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.verified {
		return nil
	}
	return r.f
}

// Close closes the file.
func (r *checkedReader) Close() error { return r.f.Close() }

// Seek sets the offset of the next Read. Coming back to where Read was costs nothing.
func (r *checkedReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.id.size
	case io.SeekStart:
	default:
		return 0, fmt.Errorf("seek blob %s: unknown whence %d", r.d, whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek blob %s: negative position %d", r.d, offset)
	}
	r.off = offset
	return offset, nil
}

// Read reads on from the offset. The read that would complete a damaged blob fails with
// blob.ErrCorrupt.
func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.next(p)
	r.off += int64(n)
	return n, err
}

// next reads at the offset, hashing if the reading is in order so far.
func (r *checkedReader) next(p []byte) (int, error) {
	r.mu.Lock()
	if r.err != nil || r.verified || r.off != r.hashed || r.store.marks.holds(r.k, r.id, r.store.now()) {
		r.mu.Unlock()
		return r.ReadAt(p, r.off)
	}
	defer r.mu.Unlock()
	limit := r.id.size - tail
	if r.hashed >= limit {
		return r.finish(p)
	}
	p = p[:min(int64(len(p)), limit-r.hashed)]
	if r.sum == nil {
		r.store.checked.Add(1)
		r.sum = sha256.New()
	}
	n, err := r.f.ReadAt(p, r.hashed)
	r.sum.Write(p[:n])
	r.hashed += int64(n)
	if n == len(p) {
		return n, nil
	}
	return n, r.failed(err)
}

// finish reads and hashes the end of the blob and gives out its first bytes if the digest
// is right. r.mu is held.
func (r *checkedReader) finish(p []byte) (int, error) {
	held := make([]byte, r.id.size-r.hashed)
	if n, err := r.f.ReadAt(held, r.hashed); n < len(held) {
		return 0, r.failed(err)
	}
	r.sum.Write(held)
	if key(r.sum.Sum(nil)) != r.k {
		r.err = r.store.setAside(r.opened, errors.New("its bytes have another digest"))
		return 0, r.err
	}
	r.store.marks.set(r.k, r.id, r.store.now())
	r.verified, r.held = true, held
	return copy(p, held), nil
}

// failed makes the error of a read final. A file that ends early is damaged. r.mu is held.
func (r *checkedReader) failed(err error) error {
	if errors.Is(err, io.EOF) {
		r.err = r.store.setAside(r.opened, errors.New("it was cut while it was read"))
	} else {
		r.err = r.store.unreadable(r.opened, err)
	}
	return r.err
}

// ReadAt reads anywhere, after a check of the whole blob.
func (r *checkedReader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ensure(); err != nil {
		return 0, err
	}
	size := r.id.size
	if start := size - int64(len(r.held)); r.held != nil && off >= start && off < size {
		n := copy(p, r.held[off-start:]) // the very bytes that were hashed
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
	return io.NewSectionReader(r.f, 0, size).ReadAt(p, off)
}

// ensure has the blob checked completely if it was not.
func (r *checkedReader) ensure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.verified || r.err != nil {
		return r.err
	}
	// Reads carry no context. The check is bounded by the size of the blob.
	if r.err = r.store.check(nil, r.opened); r.err != nil {
		return r.err
	}
	r.verified = true
	return nil
}
