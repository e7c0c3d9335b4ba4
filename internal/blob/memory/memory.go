// Package memory keeps blobs in memory, for tests and for runs that must leave no trace.
package memory

import (
	"bytes"
	"context"
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

// A Store is a blob.Store in memory. Make one with New.
type Store struct {
	mu    sync.RWMutex
	blobs map[digest.Digest][]byte
}

var _ blob.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store { return &Store{blobs: map[digest.Digest][]byte{}} }

// Open implements blob.Store.
func (s *Store) Open(_ context.Context, d digest.Digest) (blob.Reader, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.blobs[d]
	if !ok {
		return nil, fmt.Errorf("%w: %s", blob.ErrNotFound, d)
	}
	return reader{bytes.NewReader(b)}, nil
}

// Put implements blob.Store.
func (s *Store) Put(_ context.Context, d digest.Digest, src io.ReaderAt, size int64) error {
	b := make([]byte, size)
	if n, err := src.ReadAt(b, 0); int64(n) < size {
		return fmt.Errorf("%w: %s: %d of %d bytes: %w", digest.ErrMismatch, d, n, size, err)
	}
	if got := digest.OfBytes(b); got != d {
		return fmt.Errorf("%w: got %s, want %s", digest.ErrMismatch, got, d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[d] = b
	return nil
}

// Has implements blob.Store.
func (s *Store) Has(_ context.Context, d digest.Digest) (int64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.blobs[d]
	return int64(len(b)), ok
}

// Delete implements blob.Store.
func (s *Store) Delete(_ context.Context, d digest.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, d)
	return nil
}

// All implements blob.Store.
func (s *Store) All(context.Context) iter.Seq2[digest.Digest, error] {
	s.mu.RLock()
	keys := slices.Collect(maps.Keys(s.blobs))
	s.mu.RUnlock()
	return func(yield func(digest.Digest, error) bool) {
		for _, d := range keys {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// Spool implements blob.Store, with a file of the operating system that has no name.
func (s *Store) Spool(context.Context) (*os.File, error) {
	f, err := os.CreateTemp("", "sutler-spool-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

type reader struct{ *bytes.Reader }

func (reader) Close() error   { return nil }
func (reader) File() *os.File { return nil }
