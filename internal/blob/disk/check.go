package disk

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"sutler/internal/blob"
	"sutler/internal/digest"
)

// checks holds the full checks that run, at most one for each digest.
type checks struct {
	mu      sync.Mutex
	running map[key]*running
}

// A running check ends when done is closed; id and err are then set.
type running struct {
	done chan struct{}
	id   ident
	err  error
}

// errGivenUp is returned by check when its caller did not want to wait any longer.
var errGivenUp = errors.New("given up waiting for a check")

// check hashes o completely unless that was done lately, and marks it. It waits for a
// check of the same blob that another goroutine runs, until giveUp is closed; nil is
// never. It returns blob.ErrCorrupt for a damaged blob, which is then set aside.
func (s *Store) check(giveUp <-chan struct{}, o opened) error {
	for {
		r, mine := s.join(o)
		if r == nil {
			return nil
		}
		if mine {
			r.err = s.hash(o)
			s.leave(o.k, r)
			return r.err
		}
		select {
		case <-r.done:
		case <-giveUp:
			return errGivenUp
		}
		if r.id == o.id {
			return r.err // the same file: its result is ours
		}
	}
}

// join returns the check of o's blob that runs, or a new one that is the caller's to do,
// or nil if the blob needs none.
func (s *Store) join(o opened) (r *running, mine bool) {
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	if r := s.checks.running[o.k]; r != nil {
		return r, false
	}
	if s.marks.holds(o.k, o.id, s.now()) { // by a check that ended just now
		return nil, false
	}
	r = &running{done: make(chan struct{}), id: o.id}
	s.checks.running[o.k] = r
	return r, true
}

// leave ends the caller's own check.
func (s *Store) leave(k key, r *running) {
	s.checks.mu.Lock()
	delete(s.checks.running, k)
	s.checks.mu.Unlock()
	close(r.done)
}

// Check hashes blob d now, however lately that was done before, and returns its size in
// bytes. Errors are those of Open. It is for people who want to know; Open does what is
// needed by itself.
func (s *Store) Check(ctx context.Context, d digest.Digest) (int64, error) {
	k, ok := digest.KeyOf(d)
	if !ok {
		return 0, fmt.Errorf("%w: %s", blob.ErrNotFound, d)
	}
	o, err := s.find(k, d)
	if err != nil {
		return 0, err
	}
	s.marks.drop(k)
	err = s.check(ctx.Done(), o)
	if errors.Is(err, errGivenUp) {
		err = ctx.Err()
	}
	return o.id.size, errors.Join(err, o.f.Close())
}

// hash reads all of o, and marks it or sets it aside.
func (s *Store) hash(o opened) error {
	s.checked.Add(1)
	h := sha256.New()
	buf := make([]byte, min(o.id.size+1, 256<<10)) // one more: the read that finds the end
	if _, err := io.CopyBuffer(h, io.NewSectionReader(o.f, 0, o.id.size), buf); err != nil {
		return s.unreadable(o, err)
	}
	if key(h.Sum(nil)) != o.k {
		return s.setAside(o, errors.New("its bytes have another digest"))
	}
	// With the identity from before the first byte was read: a change since then shows.
	s.marks.set(o.k, o.id, s.now())
	return nil
}

// unreadable returns the error for a read of o that failed. Sectors that cannot be read
// make a damaged blob; other errors say nothing about it.
func (s *Store) unreadable(o opened, err error) error {
	if errors.Is(err, syscall.EIO) {
		return s.setAside(o, err)
	}
	return fmt.Errorf("read blob %s: %w", o.d, err)
}

// setAside moves the damaged file o to quarantine, counts it and returns ErrCorrupt. If
// the name stands for another file by now, that one is left alone.
func (s *Store) setAside(o opened, cause error) error {
	name := s.name(o.k)
	name.Lock()
	defer name.Unlock()
	err := fmt.Errorf("%w: %s: %w", blob.ErrCorrupt, o.d, cause)
	hex := o.d.Hex()
	info, statErr := s.stat(o.k)
	if statErr != nil || info.Mode().IsRegular() && !sameFile(identOf(info), o.id) {
		return err // replaced or set aside by somebody else, who counted it
	}
	s.marks.drop(o.k)
	s.damaged.Add(1)
	if moveErr := s.quarantine(hex); moveErr != nil {
		err = errors.Join(err, fmt.Errorf("set it aside: %w", moveErr))
	}
	if s.opt.Damaged != nil {
		s.opt.Damaged(o.d, err)
	}
	return err
}

// quarantine moves the blob with this name, in place of an older one of the same name.
func (s *Store) quarantine(hex string) error {
	to := quarantineDir + "/" + hex
	return errors.Join(
		s.root.RemoveAll(to),
		s.root.Rename(blobPath(hex), to),
		s.trimQuarantine(),
	)
}

// blobPath returns where the blob with this hexadecimal digest lies.
func blobPath(hex string) string { return blobDir + "/" + hex[:2] + "/" + hex }

// sameFile reports whether a and b are the same file, changed or not.
func sameFile(a, b ident) bool { return a.dev == b.dev && a.ino == b.ino }
