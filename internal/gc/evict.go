package gc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sutler/internal/digest"
)

// excess returns how many bytes of blobs are over MaxSize. The lock is held.
func (c *Collector) excess() int64 {
	if c.o.MaxSize <= 0 {
		return 0
	}
	return c.fifo.bytes() - c.fifo.lists[leaving].bytes - c.o.MaxSize
}

// round evicts what is over the limits.
func (c *Collector) round(ctx context.Context) error {
	want, err := c.want()
	_, _, evictErr := c.Evict(ctx, want, false)
	return errors.Join(err, evictErr)
}

// want returns how many bytes to free. It is worked out once for each round: a file that
// is deleted under a reader gives its space back later, which must not cost other blobs.
func (c *Collector) want() (int64, error) {
	var lacking int64
	var err error
	if c.o.MinFree > 0 && c.o.Free != nil {
		var free int64
		if free, err = c.o.Free(c.o.StoreDir); err == nil {
			lacking = c.o.MinFree - free
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unchecked = 0
	over := c.excess()
	if over > 0 {
		over += c.o.MaxSize / slack
	}
	return max(over, lacking), err
}

// Evict deletes the least useful blobs until want bytes were freed or none is left that may
// go, or only says how many and how large these are. It stops at the first that cannot be
// deleted. Readers that have a deleted blob open read on.
func (c *Collector) Evict(ctx context.Context, want int64, dryRun bool) (blobs, bytes int64, err error) {
	if dryRun {
		for _, b := range c.Plan(want) {
			blobs, bytes = blobs+1, bytes+b.Size
		}
		return blobs, bytes, nil
	}
	c.evicting.Lock()
	defer c.evicting.Unlock()
	for {
		chosen := c.choose(want - bytes)
		if len(chosen) == 0 {
			return blobs, bytes, ctx.Err()
		}
		n, err := c.delete(ctx, chosen)
		for _, ch := range chosen[:n] {
			blobs, bytes = blobs+1, bytes+ch.size
		}
		if err != nil {
			return blobs, bytes, err
		}
	}
}

// A choice is a blob that is leaving.
type choice struct {
	key  key
	id   id
	from queue
	size int64
}

// choose takes out blobs worth want bytes, at most a batch.
func (c *Collector) choose(want int64) []choice {
	c.mu.Lock()
	defer c.mu.Unlock()
	chosen, r := make([]choice, 0, batch), c.rules()
	for want > 0 && len(chosen) < batch {
		i, from := c.fifo.victim(r)
		if i == 0 {
			break
		}
		s := c.fifo.slot(i)
		chosen = append(chosen, choice{s.key, i, from, s.size()})
		want -= s.size()
	}
	c.tooYoung = want > 0 && len(chosen) < batch && c.fifo.count() > len(chosen)
	return chosen
}

// rules returns what is spared now. A second is the least grace that can be measured.
func (c *Collector) rules() rules {
	grace := int64((c.o.Grace + time.Second - 1) / time.Second)
	if c.o.Grace < 0 {
		grace = -1
	}
	return rules{secondOf(time.Now()), grace, func(k key) bool { return c.o.Pinned(k.Digest()) }}
}

// delete deletes chosen blobs and returns how many. The others are kept.
func (c *Collector) delete(ctx context.Context, chosen []choice) (n int, err error) {
	for n, ch := range chosen {
		if err = ctx.Err(); err == nil {
			err = c.o.Delete(ctx, ch.key.Digest())
		}
		if err != nil {
			c.takeBack(chosen[n:])
			return n, fmt.Errorf("evict %s: %w", ch.key.Digest(), err)
		}
		c.finish(ch)
	}
	return len(chosen), nil
}

// finish forgets a deleted blob, unless it was stored again while it was being deleted.
func (c *Collector) finish(ch choice) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = true
	c.counters.Evicted++
	c.counters.Freed += ch.size
	if !c.leaves(ch) {
		return
	}
	c.table.drop(ch.key)
	c.fifo.evicted(ch.id, ch.from, c.table.fingerprint(ch.key))
}

// takeBack keeps blobs of which the first could not be deleted, as the newest and that one
// last, so that others are tried before it.
func (c *Collector) takeBack(chosen []choice) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counters.Failures++
	for _, ch := range append(chosen[1:], chosen[0]) {
		if c.leaves(ch) {
			c.fifo.move(ch.id, ch.from, 0)
		}
	}
}

// leaves reports whether the blob that was chosen is still leaving: it may have been
// removed or stored again meanwhile, and its slot used for another. The lock is held.
func (c *Collector) leaves(ch choice) bool {
	s := c.fifo.slot(ch.id)
	return s.live && s.key == ch.key && s.queue == leaving
}

// Plan returns the blobs that Evict would delete now to free want bytes, in order. It
// copies the state: some 55 MB for a million blobs.
func (c *Collector) Plan(want int64) []Blob {
	c.mu.Lock()
	f := c.fifo.clone()
	c.mu.Unlock()
	var plan []Blob
	for r := c.rules(); want > 0; {
		i, _ := f.victim(r)
		if i == 0 {
			break
		}
		s := f.slot(i)
		plan = append(plan, Blob{Digest: s.key.Digest(), Size: s.size()})
		want -= s.size()
	}
	return plan
}

// walk learns of blobs that are stored but not known, and forgets those that are not
// stored any more.
func (c *Collector) walk(ctx context.Context) error {
	var seen bitset
	for d, err := range c.o.Store.All(ctx) {
		if err != nil {
			return fmt.Errorf("walk the store: %w", err)
		}
		c.found(ctx, d, &seen)
	}
	for _, d := range c.unseen(seen) {
		if _, ok := c.o.Store.Has(ctx, d); !ok && ctx.Err() == nil {
			c.Removed(d)
		}
	}
	c.mu.Lock()
	c.counters.Complete = ctx.Err() == nil
	over := c.excess() > 0
	c.mu.Unlock()
	if over {
		c.wake()
	}
	return ctx.Err()
}

// found notes that d is stored.
func (c *Collector) found(ctx context.Context, d digest.Digest, seen *bitset) {
	k, ok := digest.KeyOf(d)
	if !ok {
		return
	}
	c.mu.Lock()
	i := c.table.find(k)
	c.mu.Unlock()
	if i != 0 {
		seen.set(i)
		return
	}
	size, ok := c.o.Store.Has(ctx, d)
	if !ok {
		return // deleted since it was listed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table.find(k) == 0 { // else a fill was faster
		c.add(k, size)
	}
	seen.set(c.table.find(k))
}

// unseen returns the known blobs that the walk did not meet. A slot that was used again
// during the walk counts as met: its blob was stored meanwhile.
func (c *Collector) unseen(seen bitset) (ds []digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := id(1); i <= c.fifo.used; i++ {
		if s := c.fifo.slot(i); s.live && !seen.has(i) {
			ds = append(ds, s.key.Digest())
		}
	}
	return ds
}

// A bitset is a set of ids.
type bitset []uint64

// set adds i.
func (b *bitset) set(i id) {
	if n := int(i/64) + 1; n > len(*b) {
		*b = append(*b, make([]uint64, n-len(*b))...)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

// has reports whether i is in the set.
func (b bitset) has(i id) bool { return int(i/64) < len(b) && b[i/64]>>(i%64)&1 != 0 }
