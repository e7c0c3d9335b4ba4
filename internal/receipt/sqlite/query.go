package sqlite

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sutler/internal/database"
	"sutler/internal/digest"
	"sutler/internal/receipt"
)

// A scanner reads the columns of one row.
type scanner func(dest ...any) error

// Builds returns the newest builds, newest first, at most limit.
func (s *Store) Builds(ctx context.Context, limit int) ([]receipt.Summary, error) {
	return s.summaries(ctx, selectBuilds, max(0, limit))
}

// Build returns one build; id may be a prefix of at least four digits, or "last". It
// returns receipt.ErrNotFound or a *receipt.AmbiguousError.
func (s *Store) Build(ctx context.Context, id string) (receipt.Summary, error) {
	b, err := s.find(ctx, id)
	if err != nil {
		return receipt.Summary{}, err
	}
	all, err := s.summaries(ctx, selectBuild, b.ID)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%w: %s", receipt.ErrNotFound, id) // pruned just now
	}
	if err != nil {
		return receipt.Summary{}, err
	}
	return all[0], nil
}

// Lines returns the lines of a build, named as for Build, in the order of time.
func (s *Store) Lines(ctx context.Context, id string) ([]receipt.Line, error) {
	b, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []receipt.Line
	err = s.read(ctx, func() { all = nil }, func(scan scanner) error {
		var data []byte
		if err := scan(&data); err != nil {
			return err
		}
		l, err := decode(data)
		if err != nil {
			s.bad.Add(1)
			return nil
		}
		all = append(all, l)
		return nil
	}, selectLines, b.ID)
	return all, err
}

// UsedBy returns the builds that were answered with d.
func (s *Store) UsedBy(ctx context.Context, d digest.Digest) ([]receipt.Build, error) {
	return s.builds(ctx, selectUsers, string(d))
}

// UsedSince returns the digests of what builds were served since then.
func (s *Store) UsedSince(ctx context.Context, since time.Time) (map[digest.Digest]bool, error) {
	used := map[digest.Digest]bool{}
	err := s.read(ctx, func() { clear(used) }, func(scan scanner) error {
		var d string
		err := scan(&d)
		used[digest.Digest(d)] = true
		return err
	}, selectUsed, nanos(since))
	return used, err
}

// find returns the build that id names.
func (s *Store) find(ctx context.Context, id string) (receipt.Build, error) {
	id = strings.ToLower(id)
	if id == receipt.Last {
		if all, err := s.builds(ctx, selectLast); err != nil || len(all) > 0 {
			return first(all), err
		}
	}
	all, err := s.builds(ctx, selectNamed, id, len(id) >= receipt.MinPrefix)
	switch {
	case err != nil:
		return receipt.Build{}, err
	case len(all) == 0:
		return receipt.Build{}, fmt.Errorf("%w: %s", receipt.ErrNotFound, id)
	case len(all) > 1:
		return receipt.Build{}, &receipt.AmbiguousError{Prefix: id, Builds: all}
	}
	return all[0], nil
}

// first returns the first build, or the zero Build.
func first(all []receipt.Build) receipt.Build {
	if len(all) == 0 {
		return receipt.Build{}
	}
	return all[0]
}

// builds returns the builds that a statement selects by columns.
func (s *Store) builds(ctx context.Context, text string, args ...any) ([]receipt.Build, error) {
	var all []receipt.Build
	err := s.read(ctx, func() { all = nil }, func(scan scanner) error {
		b, err := build(scan)
		all = append(all, b)
		return err
	}, text, args...)
	return all, err
}

// summaries returns the summaries that a statement selects by columns and sums.
func (s *Store) summaries(ctx context.Context, text string, args ...any) ([]receipt.Summary, error) {
	var all []receipt.Summary
	err := s.read(ctx, func() { all = nil }, func(scan scanner) error {
		var u receipt.Summary
		var err error
		u.Build, err = build(scan, &u.Files, &u.Bytes, &u.FromStore, &u.Downloaded, &u.Upstream,
			&u.Verified, &u.Unvouched, &u.Tunnelled, &u.Failed)
		all = append(all, u)
		return err
	}, text, args...)
	return all, err
}

// build scans columns, and more after them.
func build(scan scanner, more ...any) (receipt.Build, error) {
	var b receipt.Build
	var started, ended int64
	var exitCode int
	if err := scan(append([]any{&b.ID, &b.Command, &started, &ended, &exitCode}, more...)...); err != nil {
		return receipt.Build{}, err
	}
	b.Started = fromNanos(started)
	if ended != 0 {
		b.Finish(fromNanos(ended), exitCode)
	}
	return b, nil
}

// read writes the lines in memory, so that the reader sees them, then calls row for each
// row of a statement. reset undoes what row did, should the rows have to be read again.
func (s *Store) read(ctx context.Context, reset func(), row func(scanner) error, text string, args ...any) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	err := s.db.Read(ctx, func(ctx context.Context, st *database.Statements) error {
		reset()
		return st.Query(ctx, func(scan func(...any) error) error { return row(scan) }, text, args...)
	})
	if err != nil {
		return fmt.Errorf("receipts: %w", err)
	}
	return nil
}
