// Package sqlite keeps receipts in one SQLite file of its own.
//
// Lines are kept in memory and written in groups: after a second, when there are a
// thousand, and before anything is read or a build ends. kill -9 loses the lines of the
// last second; a power failure may lose those of some seconds more. The end of a build is
// written after its lines, so a build that has ended has all of them.
//
// Package database says what happens to a damaged file: it is set aside, and receipts
// start anew. Each line has a checksum; one that fails it is left out of Lines and
// counted by [Store.BadRows]. The sums of a summary are computed without that check.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sutler/internal/database"
	"sutler/internal/receipt"
)

// pause is how long lines are gathered before they are written, and how long to wait
// after a write that failed.
const pause = time.Second

// Options say what a Store does beside its contract. The zero Options work.
type Options struct {
	// OnRebuilt, if set, is told of each damage, at Open or in use, after which all receipts are gone.
	// It may be called from any goroutine that uses the Store.
	OnRebuilt func(database.Rebuilt)
	// OnError, if set, is told when lines could not be written in the background, at most
	// once a second. They are kept, and tried again.
	OnError func(error)
}

// A Store keeps receipts in an SQLite file. Its methods are safe for concurrent use; they
// return database.ErrClosed after Close.
type Store struct {
	db      *database.DB
	lines   *buffer
	onError func(error)
	turn    chan struct{} // holds one element while lines are being written
	stop    chan struct{} // closed by Close
	stopped chan error    // receives the last write's error when the goroutine ends
	closed  atomic.Bool
	bad     atomic.Int64
}

var (
	_ receipt.Store   = (*Store)(nil)
	_ receipt.Archive = (*Store)(nil)
)

// Open opens the receipts in the file path, whose folder must exist. It returns
// database.ErrNewer if a newer version wrote the file. If the file was damaged, the store
// is empty and Rebuilt says so. The store has one goroutine, which ends with Close, not
// with ctx.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	db, err := database.Open(ctx, database.Options{
		Path: path, Migrations: migrations(), Readers: 2, OnRebuilt: o.OnRebuilt,
	})
	if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	s := &Store{
		db: db, lines: newBuffer(), onError: o.OnError,
		turn: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan error, 1),
	}
	go func() { s.stopped <- s.run(context.WithoutCancel(ctx)) }()
	return s, nil
}

// Rebuilt returns the damages met since Open, its own included, oldest first. After each
// the store was empty; the caller tells people.
func (s *Store) Rebuilt() []database.Rebuilt { return s.db.Rebuilt() }

// BadRows returns how many times a damaged line was met and left out since Open.
func (s *Store) BadRows() int64 { return s.bad.Load() }

// Lost returns how many lines were not kept since Open, because the database could not be
// written for so long that there was no room for them, or because they came after Close.
func (s *Store) Lost() int64 { return s.lines.lostLines() }

// Append keeps a line, unless it belongs to no build. It does not wait for the database,
// but for room in memory, should a slow disk ever have used it up: see buffer.
func (s *Store) Append(l receipt.Line) {
	if l.Build != "" {
		s.lines.add(l)
	}
}

// Close writes the lines that are left and closes the file. Closing twice is no error.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.lines.close()
	close(s.stop)
	return errors.Join(<-s.stopped, s.db.Close())
}

// run writes lines as they come, until Close.
func (s *Store) run(ctx context.Context) error {
	for {
		select {
		case <-s.lines.wake:
		case <-s.stop:
			return s.flush(ctx)
		}
		if !s.gather(s.lines.full) {
			return s.flush(ctx)
		}
		err := s.flush(ctx)
		if err == nil {
			continue
		}
		if s.onError != nil {
			s.onError(err)
		}
		if !s.gather(nil) {
			return s.flush(ctx)
		}
	}
}

// gather waits for a while, less if early has an element. It is false if Close was called.
func (s *Store) gather(early <-chan struct{}) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-s.stop:
		return false
	}
	return true
}

// flush writes all lines that were appended before it was called.
func (s *Store) flush(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	t := s.lines.take()
	if len(t.lines)+len(t.notes) == 0 {
		return nil
	}
	err := s.db.Write(ctx, func(ctx context.Context, st *database.Statements) error {
		for _, l := range t.lines {
			if err := insert(ctx, st, l); err != nil {
				return err
			}
		}
		for _, l := range t.notes {
			if err := insert(ctx, st, l); err != nil {
				return err
			}
		}
		return nil
	})
	s.lines.settle(t, err)
	if err != nil {
		return fmt.Errorf("receipts: %d lines are not written yet: %w", len(t.lines), err)
	}
	return nil
}

// insert writes one line.
func insert(ctx context.Context, st *database.Statements, l receipt.Line) error {
	data, err := encode(l)
	if err != nil {
		return err
	}
	var d any // NULL for the zero digest
	if l.Digest != "" {
		d = string(l.Digest)
	}
	_, err = st.Exec(ctx, insertLine, l.Build, nanos(l.At), l.Ecosystem, l.Outcome, l.Trust,
		l.Failed(), l.File(), l.Bytes, l.Upstream, d, data)
	return err
}

// Begin notes that a build has started. A build that is begun twice starts anew; its
// lines stay.
func (s *Store) Begin(ctx context.Context, b receipt.Build) error {
	err := s.db.Write(ctx, func(ctx context.Context, st *database.Statements) error {
		_, err := st.Exec(ctx, putBuild, b.ID, b.Command, nanos(b.Started))
		return err
	})
	if err != nil {
		return fmt.Errorf("receipt of build %s: %w", b.ID, err)
	}
	return nil
}

// End notes how a build ended, after it has written all lines. It returns
// receipt.ErrNotFound for a build that was not begun.
func (s *Store) End(ctx context.Context, id string, at time.Time, exitCode int) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	err := s.db.Write(ctx, func(ctx context.Context, st *database.Statements) error {
		n, err := st.Exec(ctx, endBuild, nanos(at), exitCode, id)
		if err == nil && n == 0 {
			return receipt.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("receipt of build %s: %w", id, err)
	}
	return nil
}

// Prune forgets the builds that started before a time, with their lines, and older lines
// of builds that were never begun. It reads all lines.
func (s *Store) Prune(ctx context.Context, before time.Time) (int, error) {
	if err := s.flush(ctx); err != nil {
		return 0, err
	}
	var n int64
	err := s.db.Write(ctx, func(ctx context.Context, st *database.Statements) error {
		_, err := st.Exec(ctx, deleteOldLines, nanos(before))
		if err != nil {
			return err
		}
		n, err = st.Exec(ctx, deleteOldBuilds, nanos(before))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("receipts prune: %w", err)
	}
	return int(n), nil
}
