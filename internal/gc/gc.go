// Package gc decides what the store can do without, and deletes it.
//
// The order is that of S3-FIFO (see policy.go): what was fetched once and never asked for
// again goes first. A hit only sets a counter of one blob, without a lock that others hold
// for long; the order is written down now and then, and losing it costs nothing but a few
// worse choices. Only blobs are deleted: the index still knows their digests, so that what
// comes back under a name must be what it was.
package gc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"sutler/internal/blob"
	"sutler/internal/digest"
)

const (
	// grace is how long a new blob is safe: its entry may not be committed yet.
	grace = time.Minute
	// pause is how often Run looks whether the store is too full, if nothing wakes it.
	pause = 10 * time.Second
	// snapshotEvery is how often the order is written down.
	snapshotEvery = 10 * time.Minute
	// snapshotFile holds the order, in Options.Dir.
	snapshotFile = "order.gc"
)

// Options configure a Collector. Store is required.
type Options struct {
	Store    blob.Store
	Dir      string // where the order is kept between runs; "" to forget it
	StoreDir string // on the file system whose free space counts
	MaxSize  int64  // bytes of blobs; 0 for no limit
	MinFree  int64  // bytes left free on the file system; 0 for no limit
	// Free returns the free bytes of the file system of a folder. If nil, MinFree is not heeded.
	Free func(dir string) (int64, error)
	// Trouble is told of failures. If nil, nobody is.
	Trouble func(error)
	// Now returns the time. If nil, time.Now is used.
	Now func() time.Time
}

// shards is how many parts the table of blobs has, so that hits seldom meet.
const shards = 64

// A Collector knows every blob of a store by size and use. Its methods are safe for
// concurrent use.
type Collector struct {
	Options
	shards [shards]shard
	wake   chan struct{}

	mu     sync.Mutex // guards policy
	policy policy
	closed bool
}

type shard struct {
	mu    sync.RWMutex
	nodes map[sum]*node
}

// A sum is a SHA-256 digest in binary form.
type sum [32]byte

func (s sum) digest() digest.Digest { return digest.FromSum(s[:]) }

// sumOf returns the binary form of a digest; false if it is no SHA-256.
func sumOf(d digest.Digest) (s sum, ok bool) {
	const prefix = digest.SHA256 + ":"
	if len(d) != len(prefix)+64 || d[:len(prefix)] != prefix {
		return s, false
	}
	_, err := hex.Decode(s[:], []byte(d[len(prefix):]))
	return s, err == nil
}

// Open returns a collector that knows the order of the last run. What else is in the
// store is found by Run.
func Open(o Options) (*Collector, error) {
	if o.Store == nil {
		return nil, errors.New("gc: a store is required")
	}
	c := &Collector{Options: o, wake: make(chan struct{}, 1)}
	if c.Trouble == nil {
		c.Trouble = func(error) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	for i := range c.shards {
		c.shards[i].nodes = map[sum]*node{}
	}
	return c, c.load()
}

// load reads the order of the last run. One that cannot be read is as good as none.
func (c *Collector) load() error {
	if c.Dir == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(c.Dir, snapshotFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("gc: %w", err)
	}
	nodes, err := decode(b)
	if err != nil {
		c.Trouble(fmt.Errorf("gc: %s: %w; the order starts anew", snapshotFile, err))
		return nil
	}
	for _, n := range nodes {
		c.shards[n.sum[0]%shards].nodes[n.sum] = n
		c.policy.restore(n)
	}
	return nil
}

// save writes the order down.
func (c *Collector) save() error {
	if c.Dir == "" {
		return nil
	}
	c.mu.Lock()
	b := encode(c.policy.nodes())
	c.mu.Unlock()
	if err := renameio.WriteFile(filepath.Join(c.Dir, snapshotFile), b, 0o600); err != nil {
		return fmt.Errorf("gc: %w", err)
	}
	return nil
}

// node returns what is known of a blob, nil if nothing is.
func (c *Collector) node(s sum) *node {
	sh := &c.shards[s[0]%shards]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.nodes[s]
}

// Touch notes that a blob answered a request. It allocates nothing.
func (c *Collector) Touch(d digest.Digest) {
	s, ok := sumOf(d)
	if !ok {
		return
	}
	if n := c.node(s); n != nil && n.uses.Load() < maxUses {
		n.uses.Add(1)
	}
}

// Added notes that a blob of that size was stored. Again changes nothing.
func (c *Collector) Added(d digest.Digest, size int64) {
	s, ok := sumOf(d)
	if !ok {
		return
	}
	n := &node{sum: s, size: size, added: c.Now().Unix()}
	sh := &c.shards[s[0]%shards]
	sh.mu.Lock()
	_, known := sh.nodes[s]
	if !known {
		sh.nodes[s] = n
	}
	sh.mu.Unlock()
	if known {
		return
	}
	c.mu.Lock()
	c.policy.insert(n)
	full := c.MaxSize > 0 && c.policy.bytes() > c.MaxSize
	c.mu.Unlock()
	if full {
		select {
		case c.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// Removed notes that a blob is gone from the store.
func (c *Collector) Removed(d digest.Digest) {
	s, ok := sumOf(d)
	if !ok {
		return
	}
	sh := &c.shards[s[0]%shards]
	sh.mu.Lock()
	n := sh.nodes[s]
	delete(sh.nodes, s)
	sh.mu.Unlock()
	if n == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policy.remove(n)
}

// Usage returns the size of all blobs in bytes, and their number.
func (c *Collector) Usage() (bytes, blobs int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.policy.bytes(), c.policy.count()
}

// Run finds blobs that the collector does not know, and then keeps the store within its
// limits, until ctx is done.
func (c *Collector) Run(ctx context.Context) {
	c.reconcile(ctx)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	saved := c.Now()
	for {
		if _, _, err := c.Evict(ctx, c.excess(), false); err != nil && ctx.Err() == nil {
			c.Trouble(err)
		}
		if c.Now().Sub(saved) > snapshotEvery {
			saved = c.Now()
			if err := c.save(); err != nil {
				c.Trouble(err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.wake:
		}
	}
}

// reconcile takes in what is in the store and not in the order, and forgets what is not
// there any more: the process may have been killed since the order was written.
func (c *Collector) reconcile(ctx context.Context) {
	present := map[sum]bool{}
	for d, err := range c.Store.All(ctx) {
		if err != nil {
			c.Trouble(fmt.Errorf("gc: %w", err))
			return
		}
		s, ok := sumOf(d)
		if !ok {
			continue
		}
		present[s] = true
		if c.node(s) == nil {
			if size, ok := c.Store.Has(ctx, d); ok {
				c.Added(d, size)
			}
		}
	}
	c.mu.Lock()
	all := c.policy.nodes()
	c.mu.Unlock()
	for _, n := range all {
		if present[n.sum] {
			continue
		}
		if _, ok := c.Store.Has(ctx, n.sum.digest()); !ok {
			c.Removed(n.sum.digest())
		}
	}
}

// excess returns how many bytes are too many.
func (c *Collector) excess() int64 {
	bytes, _ := c.Usage()
	var over int64
	if c.MaxSize > 0 {
		over = bytes - c.MaxSize
	}
	if c.MinFree > 0 && c.Free != nil {
		free, err := c.Free(c.StoreDir)
		if err != nil {
			c.Trouble(fmt.Errorf("gc: %w", err))
			return max(0, over)
		}
		over = max(over, c.MinFree-free)
	}
	return max(0, over)
}

// Evict deletes the least useful blobs until that many bytes are free, or only says which
// it would delete. Blobs that were added within the last minute stay. Readers that have a
// deleted blob open read on.
func (c *Collector) Evict(ctx context.Context, want int64, dryRun bool) (blobs, bytes int64, err error) {
	oldest := c.Now().Add(-grace).Unix()
	if dryRun {
		for _, n := range c.plan(want, oldest) {
			blobs++
			bytes += n.size
		}
		return blobs, bytes, nil
	}
	for bytes < want && ctx.Err() == nil {
		c.mu.Lock()
		n := c.policy.victim(oldest)
		c.mu.Unlock()
		if n == nil {
			return blobs, bytes, nil
		}
		sh := &c.shards[n.sum[0]%shards]
		sh.mu.Lock()
		delete(sh.nodes, n.sum)
		sh.mu.Unlock()
		if err := c.Store.Delete(ctx, n.sum.digest()); err != nil {
			c.Added(n.sum.digest(), n.size)
			return blobs, bytes, fmt.Errorf("evict %s: %w", n.sum.digest(), err)
		}
		blobs++
		bytes += n.size
	}
	return blobs, bytes, ctx.Err()
}

// plan returns what Evict would delete, on a copy of the order.
func (c *Collector) plan(want, oldest int64) (out []*node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var try policy
	for _, n := range c.policy.nodes() {
		twin := &node{sum: n.sum, size: n.size, added: n.added, main: n.main}
		twin.uses.Store(n.uses.Load())
		try.restore(twin)
	}
	for bytes := int64(0); bytes < want; {
		n := try.victim(oldest)
		if n == nil {
			break
		}
		out = append(out, n)
		bytes += n.size
	}
	return out
}

// Close writes the order down. Run must have returned.
func (c *Collector) Close() error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.mu.Unlock()
	if was {
		return nil
	}
	return c.save()
}
