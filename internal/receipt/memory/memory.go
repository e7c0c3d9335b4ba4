// Package memory keeps receipts in memory. It is meant for tests and for a temporary
// daemon; nothing of it survives the process.
package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sutler/internal/digest"
	"sutler/internal/receipt"
)

// A Store keeps builds in a map and lines in a slice. Its methods are safe for concurrent
// use; they fail only if the context is done. Nothing needs to be closed.
type Store struct {
	mu     sync.Mutex
	builds map[string]receipt.Build
	lines  []receipt.Line
}

var (
	_ receipt.Store   = (*Store)(nil)
	_ receipt.Archive = (*Store)(nil)
)

// New returns an empty store.
func New() *Store { return &Store{builds: map[string]receipt.Build{}} }

// Append keeps a line, unless it belongs to no build.
func (s *Store) Append(l receipt.Line) {
	if l.Build == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, l)
}

// Begin notes that a build has started.
func (s *Store) Begin(ctx context.Context, b receipt.Build) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.builds[b.ID] = receipt.Build{ID: b.ID, Command: b.Command, Started: b.Started}
	return nil
}

// End notes how a build ended.
func (s *Store) End(ctx context.Context, id string, at time.Time, exitCode int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.builds[id]
	if !ok {
		return receipt.ErrNotFound
	}
	b.Finish(at, exitCode)
	s.builds[id] = b
	return nil
}

// Builds returns the newest builds.
func (s *Store) Builds(ctx context.Context, limit int) ([]receipt.Summary, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.newest()
	var sums []receipt.Summary
	for _, b := range all[:max(0, min(limit, len(all)))] {
		sums = append(sums, s.sum(b))
	}
	return sums, nil
}

// Build returns one build.
func (s *Store) Build(ctx context.Context, id string) (receipt.Summary, error) {
	if err := ctx.Err(); err != nil {
		return receipt.Summary{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(id)
	if err != nil {
		return receipt.Summary{}, err
	}
	return s.sum(b), nil
}

// Lines returns the lines of a build, named as for Build.
func (s *Store) Lines(ctx context.Context, id string) ([]receipt.Line, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.find(id)
	if err != nil {
		return nil, err
	}
	var lines []receipt.Line
	for _, l := range s.lines {
		if l.Build == b.ID {
			lines = append(lines, l)
		}
	}
	slices.SortStableFunc(lines, func(a, b receipt.Line) int { return a.At.Compare(b.At) })
	return lines, nil
}

// UsedBy returns the builds that were answered with d.
func (s *Store) UsedBy(ctx context.Context, d digest.Digest) ([]receipt.Build, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	used := map[string]receipt.Build{}
	for _, l := range s.lines {
		if d != "" && l.Digest == d && !l.Failed() {
			used[l.Build] = cmp.Or(s.builds[l.Build], receipt.Build{ID: l.Build})
		}
	}
	return slices.SortedFunc(maps.Values(used), newer), nil
}

// Prune forgets the builds that started before a time.
func (s *Store) Prune(ctx context.Context, before time.Time) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := func(id string) bool { return s.builds[id].Started.Before(before) }
	s.lines = slices.DeleteFunc(s.lines, func(l receipt.Line) bool {
		if _, begun := s.builds[l.Build]; begun {
			return old(l.Build)
		}
		return l.At.Before(before)
	})
	n := len(s.builds)
	maps.DeleteFunc(s.builds, func(id string, _ receipt.Build) bool { return old(id) })
	return n - len(s.builds), nil
}

// find returns the build that id names.
func (s *Store) find(id string) (receipt.Build, error) {
	all := s.newest()
	if id == receipt.Last && len(all) > 0 {
		return all[0], nil
	}
	id = strings.ToLower(id)
	if b, ok := s.builds[id]; ok {
		return b, nil
	}
	if len(id) < receipt.MinPrefix {
		return receipt.Build{}, receipt.ErrNotFound
	}
	found := slices.DeleteFunc(all, func(b receipt.Build) bool { return !strings.HasPrefix(b.ID, id) })
	switch len(found) {
	case 0:
		return receipt.Build{}, receipt.ErrNotFound
	case 1:
		return found[0], nil
	}
	return receipt.Build{}, &receipt.AmbiguousError{Prefix: id, Builds: found}
}

// newest returns all builds, newest first.
func (s *Store) newest() []receipt.Build {
	return slices.SortedFunc(maps.Values(s.builds), newer)
}

// sum adds up the lines of b.
func (s *Store) sum(b receipt.Build) receipt.Summary {
	sum := receipt.Summary{Build: b}
	for _, l := range s.lines {
		if l.Build == b.ID {
			sum.Add(l)
		}
	}
	return sum
}

// newer orders builds by their start, newest first, then by their ID.
func newer(a, b receipt.Build) int {
	return cmp.Or(b.Started.Compare(a.Started), strings.Compare(a.ID, b.ID))
}
