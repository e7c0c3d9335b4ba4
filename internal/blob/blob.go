// Package blob defines the store of immutable bytes.
//
// A blob is named by the SHA-256 digest of its bytes, so two resources with the same
// bytes share one blob, and a blob never changes. What a blob answers for is the
// business of package index.
package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"

	"sutler/internal/digest"
)

var (
	// ErrNotFound is returned for a digest that the store does not hold.
	ErrNotFound = errors.New("blob not found")
	// ErrCorrupt is returned by Open and by reads of a blob whose stored bytes are not
	// what its name says. The store has set it aside: it is not found from then on.
	ErrCorrupt = errors.New("stored blob is damaged")
	// ErrFull is returned by Put when the store cannot take the blob: no space, read-only
	// file system. The caller may serve the bytes without storing them.
	ErrFull = errors.New("store cannot take the blob")
)

// A Store keeps immutable bytes under their SHA-256 digest.
// Its methods are safe for concurrent use, by several processes too.
type Store interface {
	// Open returns blob d, or ErrNotFound. The caller closes it. Bytes that were not
	// verified lately are verified while or before they are read; see Reader.
	Open(ctx context.Context, d digest.Digest) (Reader, error)

	// Put stores size bytes of src as blob d. It checks the digest, is atomic, and does
	// nothing if d is present. It returns digest.ErrMismatch if src is not d. If src is an
	// *os.File on the same file system that the caller made with Spool, its bytes are
	// moved, not copied.
	Put(ctx context.Context, d digest.Digest, src io.ReaderAt, size int64) error

	// Has reports whether d is stored, and its size in bytes, without reading it.
	Has(ctx context.Context, d digest.Digest) (size int64, ok bool)

	// Delete removes d. Readers that are open go on. Deleting what is absent is no error.
	Delete(ctx context.Context, d digest.Digest) error

	// All yields every stored digest, in no order.
	All(ctx context.Context) iter.Seq2[digest.Digest, error]

	// Spool returns a new, empty file for bytes on their way in. It has no name that
	// clients could choose, and it disappears with the process. The caller closes it.
	Spool(ctx context.Context) (*os.File, error)
}

// A Reader reads one blob. A read that would complete the delivery of bytes that are
// not the blob fails with ErrCorrupt instead: the tail is held back until it is checked.
type Reader interface {
	io.ReadSeekCloser
	io.ReaderAt
	// Size returns the length in bytes.
	Size() int64
	// File returns the open file if its bytes were verified and may be sent as they are
	// (by sendfile), else nil. The Reader still closes it.
	File() *os.File
}

// An Admitter is a Store that takes over a spool file that was hashed while it was
// written, so that its bytes are neither copied nor hashed again. It is optional: callers
// that find it missing use Put.
type Admitter interface {
	// Admit stores f, which the caller made with Spool, as the blob that h computed, and
	// returns its digest. The caller must have written the same bytes to f and to h, in
	// the same order from offset 0, and must not write to f any more; it still closes f.
	// Admit refuses with digest.ErrMismatch if f is not as long as what h was given. A
	// file that cannot be moved is hashed and copied as by Put. Other errors: as Put.
	Admit(ctx context.Context, f *os.File, h *digest.Hasher) (digest.Digest, error)
}
