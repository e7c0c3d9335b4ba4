// Package memory keeps blobs in memory, for tests and for runs that shall leave nothing
// behind. It keeps the whole contract of blob.Store, and can be made to fail as disks do.
// It is not bounded.
package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"sync"

	"sutler/internal/blob"
	"sutler/internal/digest"
)

// A Store keeps blobs in memory. The zero Store is empty and ready to use. Its methods
// are safe for concurrent use.
type Store struct {
	mu    sync.Mutex
	blobs map[digest.Digest][]byte
	full  bool
}

var _ blob.Store = (*Store)(nil)

// Open returns blob d, or blob.ErrNotFound. The bytes are hashed each time: a blob that
// Damage changed is removed and blob.ErrCorrupt returned.
func (s *Store) Open(ctx context.Context, d digest.Digest) (blob.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[d]
	if !ok {
		return nil, fmt.Errorf("%w: %s", blob.ErrNotFound, d)
	}
	if digest.OfBytes(b) != d {
		delete(s.blobs, d)
		return nil, fmt.Errorf("%w: %s", blob.ErrCorrupt, d)
	}
	return reader{bytes.NewReader(b)}, nil
}

// Put stores size bytes of src as blob d.
func (s *Store) Put(ctx context.Context, d digest.Digest, src io.ReaderAt, size int64) error {
	if p, err := digest.Parse(string(d)); err != nil || p != d || d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("put blob: %w: %q names no SHA-256", digest.ErrInvalid, d)
	}
	if _, ok := s.Has(ctx, d); ok {
		return nil
	}
	b, err := io.ReadAll(io.NewSectionReader(src, 0, size))
	if err := errors.Join(err, ctx.Err()); err != nil {
		return fmt.Errorf("put blob %s: %w", d, err)
	}
	if got := digest.OfBytes(b); got != d {
		return fmt.Errorf("put blob %s: %w: %d bytes have %s", d, digest.ErrMismatch, len(b), got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return fmt.Errorf("put blob %s: %w", d, blob.ErrFull)
	}
	if s.blobs == nil {
		s.blobs = make(map[digest.Digest][]byte)
	}
	s.blobs[d] = b
	return nil
}

// Has reports whether d is stored, and its size in bytes.
func (s *Store) Has(_ context.Context, d digest.Digest) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[d]
	return int64(len(b)), ok
}

// Delete removes d. Readers that are open go on.
func (s *Store) Delete(_ context.Context, d digest.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, d)
	return nil
}

// All yields the digests stored when the iteration starts.
func (s *Store) All(ctx context.Context) iter.Seq2[digest.Digest, error] {
	return func(yield func(digest.Digest, error) bool) {
		s.mu.Lock()
		all := slices.Collect(maps.Keys(s.blobs))
		s.mu.Unlock()
		for _, d := range all {
			if err := ctx.Err(); err != nil {
				yield("", err)
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

// Spool returns a file without a name in the directory for temporary files.
func (s *Store) Spool(context.Context) (*os.File, error) {
	f, err := os.CreateTemp("", "sutler-spool-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Damage changes the stored bytes of d behind the back of the store, as a bad disk would.
// It reports whether d is stored and not empty.
func (s *Store) Damage(d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := bytes.Clone(s.blobs[d]) // open readers keep the good bytes
	if len(b) == 0 {
		return false
	}
	b[len(b)/2] ^= 1
	s.blobs[d] = b
	return true
}

// SetFull makes Put fail with blob.ErrFull from now on, or work again.
func (s *Store) SetFull(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

// A reader reads one blob.
type reader struct{ *bytes.Reader }

// File returns nil: there is no file.
func (r reader) File() *os.File { return nil }

// Close does nothing.
func (r reader) Close() error { return nil }
