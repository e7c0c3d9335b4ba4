package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"sutler/internal/digest"
)

// tail is how much of a body is held back from clients until all of it is checked. A
// client that was sent less than the whole cannot take it for the whole.
const tail = 64 << 10

// maxMemory is how much of a body is kept in memory when the spool file cannot be written.
const maxMemory = 64 << 20

// A spool is a body on its way in: one writer appends, many readers follow. Readers get
// all but the tail while it grows, and the rest once it is released.
type spool struct {
	size int64 // announced by the origin, -1 if not

	mu       sync.Mutex
	grown    sync.Cond
	file     *os.File // nil once the file failed, or if it was never made
	memory   []byte   // the body, if file is nil
	written  int64
	released bool  // the whole body is checked
	err      error // why the body ends early
	users    int   // readers and the writer
	digest   digest.Digest
}

// newSpool returns a spool with one user, the writer. file may be nil.
func newSpool(file *os.File, size int64) *spool {
	s := &spool{file: file, size: size, users: 1}
	s.grown.L = &s.mu
	return s
}

// Write appends p. A full disk moves the body to memory, as far as it fits.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	file, at := s.file, s.written
	s.mu.Unlock()
	if file != nil {
		if _, err := file.WriteAt(p, at); err != nil {
			if err := s.toMemory(); err != nil {
				return 0, err
			}
			file = nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if file == nil {
		if len(s.memory)+len(p) > maxMemory {
			return 0, fmt.Errorf("%w: no space to spool it and more than %d bytes", ErrTooLarge, maxMemory)
		}
		s.memory = append(s.memory, p...)
	}
	s.written += int64(len(p))
	s.grown.Broadcast()
	return len(p), nil
}

// toMemory reads what was spooled back, and goes on without the file.
func (s *spool) toMemory() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written > maxMemory {
		return fmt.Errorf("%w: no space left to spool it", ErrTooLarge)
	}
	s.memory = make([]byte, s.written)
	if _, err := s.file.ReadAt(s.memory, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("spool: %w", err)
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// finish ends the body: err is nil if it was checked, so that readers may have all of it.
func (s *spool) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released, s.err = err == nil, err
	s.grown.Broadcast()
}

// ReadAt reads what was written so far, whatever was released: for the writer's own
// checks. It is safe for concurrent use.
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	file, memory := s.file, s.memory
	s.mu.Unlock()
	if file != nil {
		n, err := file.ReadAt(p, off)
		if !errors.Is(err, os.ErrClosed) {
			return n, err
		}
		s.mu.Lock() // the body moved to memory meanwhile
		memory = s.memory
		s.mu.Unlock()
	}
	return bytes.NewReader(memory).ReadAt(p, off)
}

// length returns the number of bytes written so far.
func (s *spool) length() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// acquire adds a user; false if the last one has gone already.
func (s *spool) acquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == 0 {
		return false
	}
	s.users++
	return true
}

// release removes a user; the last one closes the file, which has no name.
func (s *spool) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 && s.file != nil {
		_ = s.file.Close() // nothing of it is needed any more
	}
}

// available waits until a byte at off may be read, and returns how many may. At the end
// of a released body it returns io.EOF.
func (s *spool) available(ctx context.Context, off int64) (int64, error) {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.grown.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		limit := s.written
		if !s.released {
			limit -= tail
		}
		switch {
		case off < limit:
			return limit - off, nil
		case s.released:
			return 0, io.EOF
		case s.err != nil:
			return 0, s.err
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		}
		s.grown.Wait()
	}
}

// A follower reads a spool from its beginning while it grows. It is an io.ReadSeeker if
// the size is known. Not safe for concurrent use.
type follower struct {
	ctx   context.Context // of the one request that reads: a reader has no other way to end
	spool *spool
	off   int64
}

// Read waits for bytes. It fails, rather than ends, if the body turns out wrong.
func (f *follower) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.spool.available(f.ctx, f.off)
	if err != nil {
		return 0, err
	}
	m, err := f.spool.ReadAt(p[:min(int64(len(p)), n)], f.off)
	f.off += int64(m)
	if m > 0 {
		return m, nil
	}
	return 0, err
}

// Seek moves the place to read from. Bytes before it need not have arrived.
func (f *follower) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.off
	case io.SeekEnd:
		if f.spool.size < 0 {
			return 0, errors.New("seek from the end of a body of unknown size")
		}
		offset += f.spool.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of the body")
	}
	f.off = offset
	return offset, nil
}

// settle notes the digest of a checked body, for the receipts of those who follow it.
func (s *spool) settle(d digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digest = d
}

// checked returns the digest of the body, "" if it was not checked (yet).
func (s *spool) checked() digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.released {
		return ""
	}
	return s.digest
}

// backing returns the spool file, or nil if the body is in memory.
func (s *spool) backing() *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file
}
