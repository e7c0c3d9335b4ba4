// Package memory keeps an index in memory. It is meant for tests and for a temporary
// daemon; nothing of it survives the process.
package memory

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sutler/internal/digest"
	"sutler/internal/index"
)

// An Index keeps entries in a map. Its methods are safe for concurrent use; they fail
// only if the context is done. Nothing needs to be closed.
type Index struct {
	mu      sync.RWMutex
	entries map[string]index.Entry
}

var (
	_ index.Index   = (*Index)(nil)
	_ index.Catalog = (*Index)(nil)
)

// New returns an empty index.
func New() *Index { return &Index{entries: map[string]index.Entry{}} }

// Entry returns the entry of a key, or index.ErrNotFound.
func (x *Index) Entry(ctx context.Context, key string) (index.Entry, error) {
	if err := ctx.Err(); err != nil {
		return index.Entry{}, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	e, ok := x.entries[key]
	if !ok {
		return index.Entry{}, index.ErrNotFound
	}
	return e, nil
}

// Put stores entries, all at once.
func (x *Index) Put(ctx context.Context, entries ...index.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range entries {
		x.entries[e.Key] = e
	}
	return nil
}

// Touch notes that the origin confirmed the entry.
func (x *Index) Touch(ctx context.Context, key string, checked time.Time, lifetime time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if e, ok := x.entries[key]; ok {
		e.Checked, e.Lifetime = checked, lifetime
		x.entries[key] = e
	}
	return nil
}

// Delete removes entries, all at once.
func (x *Index) Delete(ctx context.Context, keys ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, k := range keys {
		delete(x.entries, k)
	}
	return nil
}

// Vouchers returns the documents of an ecosystem under a root that make claims, last
// stored first, those stored at the same time by key.
func (x *Index) Vouchers(ctx context.Context, ecosystem, repository string) ([]index.Entry, error) {
	all, err := x.where(ctx, func(e index.Entry) bool {
		return e.Table != "" && e.Ecosystem == ecosystem && e.Repository == repository
	})
	slices.SortStableFunc(all, func(a, b index.Entry) int { return b.Stored.Compare(a.Stored) })
	return all, err
}

// All yields every entry that was there when the iteration began, ordered by key.
func (x *Index) All(ctx context.Context) iter.Seq2[index.Entry, error] {
	return func(yield func(index.Entry, error) bool) {
		all, err := x.where(ctx, func(index.Entry) bool { return true })
		if err != nil {
			yield(index.Entry{}, err)
			return
		}
		for _, e := range all {
			if err := ctx.Err(); err != nil {
				yield(index.Entry{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// DropBlob deletes every entry that refers to d.
func (x *Index) DropBlob(ctx context.Context, d digest.Digest) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	n := len(x.entries)
	maps.DeleteFunc(x.entries, func(_ string, e index.Entry) bool { return refers(e, d) })
	return n - len(x.entries), nil
}

// Refers reports whether an entry refers to d.
func (x *Index) Refers(ctx context.Context, d digest.Digest) (bool, error) {
	all, err := x.where(ctx, func(e index.Entry) bool { return refers(e, d) })
	return len(all) > 0, err
}

// Usage adds up the entries of each ecosystem and kind.
func (x *Index) Usage(ctx context.Context) ([]index.Usage, error) {
	all, err := x.where(ctx, func(index.Entry) bool { return true })
	if err != nil {
		return nil, err
	}
	sums := map[index.Usage]index.Usage{} // by ecosystem and kind
	for _, e := range all {
		k := index.Usage{Ecosystem: e.Ecosystem, Kind: e.Kind}
		u := cmp.Or(sums[k], k)
		u.Entries++
		u.Bytes += e.Size
		sums[k] = u
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b index.Usage) int {
		return cmp.Or(strings.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Kind, b.Kind))
	}), nil
}

// List returns the entries that match q, ordered by key.
func (x *Index) List(ctx context.Context, q index.Query) ([]index.Entry, error) {
	all, err := x.where(ctx, q.Matches)
	if q.Limit > 0 && len(all) > q.Limit {
		all = all[:q.Limit]
	}
	return all, err
}

// where returns the entries for which keep is true, ordered by key.
func (x *Index) where(ctx context.Context, keep func(index.Entry) bool) ([]index.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	var all []index.Entry
	for _, e := range x.entries {
		if keep(e) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b index.Entry) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

// refers reports whether e refers to d; the zero digest names nothing.
func refers(e index.Entry, d digest.Digest) bool {
	return d != "" && (e.Blob == d || e.Table == d)
}
