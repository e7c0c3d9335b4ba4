// Package gc decides which blobs to delete when the store outgrows its quota, and has them
// deleted.
//
// It keeps about 60 bytes for each blob in memory: its size, when it was added, how often
// it was used lately, and its place in two queues (S3-FIFO, docs/adr/0003-eviction.md). A
// snapshot file carries that over restarts; what is missing or stale there is found by
// walking the store in the background. Losing it costs good choices, never a blob.
//
// Only blobs are deleted. The index still knows their digests, so that what comes back under
// a name must be what it was; the daemon may delete more by a function of its own.
package gc

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"sutler/internal/blob"
	"sutler/internal/digest"
)

const (
	// batch is how many blobs are chosen at once, so that nobody waits long for the lock.
	batch = 64
	// slack is which part of MaxSize is freed beyond what is over, to do it in batches.
	slack = 100
	// pause is how often Run looks whether the store is too full, if nothing wakes it.
	pause = 10 * time.Second
	// snapshotEvery is how often the snapshot is written while blobs come and go.
	snapshotEvery = 15 * time.Minute
	// snapshotFile is its name in Options.Dir.
	snapshotFile = "order.gc"
)

// Options configure a Collector. Store is required.
type Options struct {
	// Store is what is kept small. It is also walked for blobs that the snapshot misses.
	Store blob.Store
	// Delete deletes a blob that was chosen. It is called by one goroutine at a time. After
	// an error the blob stays, and is tried again later. If nil, Store.Delete is used.
	Delete func(ctx context.Context, d digest.Digest) error
	// Dir is where the snapshot is kept between runs; "" to forget it.
	Dir string

	// MaxSize is how many bytes of blobs to keep; 0 for no limit.
	MaxSize int64
	// MinFree is how many bytes to leave free on the file system of StoreDir; 0 for no limit.
	MinFree int64
	// StoreDir is on the file system whose free space counts.
	StoreDir string
	// Free returns the free bytes of the file system of a folder. If nil, MinFree is not heeded.
	Free func(dir string) (int64, error)

	// Grace is how long a blob is safe after Added: its entry may not be committed yet.
	// What is added within that time may exceed MaxSize. If zero, 10 seconds; if
	// negative, none.
	Grace time.Duration
	// Pinned reports blobs that must stay. It must be quick. If nil, there are none.
	Pinned func(d digest.Digest) bool
	// Trouble is told of failures that are worked around. If nil, nobody is.
	Trouble func(error)
}

// withDefaults returns o with its empty fields filled in.
func (o Options) withDefaults() Options {
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.Delete == nil {
		o.Delete = o.Store.Delete
	}
	if o.Pinned == nil {
		o.Pinned = func(digest.Digest) bool { return false }
	}
	if o.Trouble == nil {
		o.Trouble = func(error) {}
	}
	return o
}

// Counters tell what a collector did since it was opened.
type Counters struct {
	Complete bool  // the walk ended: every stored blob is known
	Evicted  int64 // blobs
	Freed    int64 // bytes of these blobs
	Failures int64 // times that a blob could not be deleted
}

// A Blob is a blob and its size in bytes.
type Blob struct {
	Digest digest.Digest
	Size   int64
}

// A Collector keeps a store within its limits. Its methods are safe for concurrent use.
type Collector struct {
	o     Options
	table table
	over  chan struct{} // there may be something to do

	mu        sync.Mutex // guards what follows; Touch does without
	fifo      fifo
	counters  Counters
	changed   bool  // since the last snapshot
	unchecked int64 // bytes added since the free space was looked at
	tooYoung  bool  // nothing could be chosen but blobs in their grace

	evicting sync.Mutex // one eviction at a time
	saving   sync.Mutex // one snapshot at a time
}

// Open returns a collector that knows the blobs of the snapshot. What else is in the store
// is found by Run. A snapshot that is damaged is as good as none.
func Open(o Options) (*Collector, error) {
	if o.Store == nil {
		return nil, errors.New("gc: a store is required")
	}
	c := &Collector{o: o.withDefaults(), over: make(chan struct{}, 1)}
	c.table.seed, c.table.fifo = maphash.MakeSeed(), &c.fifo
	if err := c.load(); err != nil {
		c.o.Trouble(err)
	}
	return c, nil
}

// Close writes the snapshot. Run must have returned. The collector can still be asked.
func (c *Collector) Close() error { return c.save() }

// Touch notes that blob d was served. It takes no lock that fills or evictions hold for
// long, allocates nothing, and does nothing if d is not known.
func (c *Collector) Touch(d digest.Digest) {
	if k, ok := digest.KeyOf(d); ok {
		c.table.touch(k)
	}
}

// Added notes that blob d was stored, with its size in bytes. Call it each time a fill
// stored d or found it stored: the blob is then safe for the time of grace.
func (c *Collector) Added(d digest.Digest, size int64) {
	k, ok := digest.KeyOf(d)
	if !ok {
		return
	}
	c.mu.Lock()
	c.add(k, size)
	c.unchecked += size
	over := c.excess() > 0 || c.o.MinFree > 0 && c.unchecked > c.o.MinFree/8
	c.mu.Unlock()
	if over {
		c.wake()
	}
}

// add adds or refreshes a blob. The lock is held.
func (c *Collector) add(k key, size int64) {
	c.changed = true
	if i := c.table.find(k); i != 0 {
		c.fifo.refresh(i, size, secondOf(time.Now()))
		return
	}
	if i := c.fifo.add(k, size, secondOf(time.Now()), c.table.fingerprint(k)); i != 0 {
		c.table.put(i)
	}
}

// Removed notes that blob d is not stored any more, for whatever reason but Evict.
func (c *Collector) Removed(d digest.Digest) {
	k, ok := digest.KeyOf(d)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(k)
}

// forget removes a blob. The lock is held.
func (c *Collector) forget(k key) {
	if i := c.table.find(k); i != 0 {
		c.changed = true
		c.table.drop(k) // before the slot changes: Touch may be looking at it
		c.fifo.remove(i)
	}
}

// Usage returns the size of all known blobs in bytes, and their number.
func (c *Collector) Usage() (bytes, blobs int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fifo.bytes(), int64(c.fifo.count())
}

// Counters returns what was done so far.
func (c *Collector) Counters() Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counters
}

// Run keeps the store within its limits until ctx is done. Beside that, it walks the store
// once for blobs that are not known. It is called once, and returns when all it started
// has ended.
func (c *Collector) Run(ctx context.Context) {
	var walk sync.WaitGroup
	defer walk.Wait()
	walk.Go(func() { c.report(ctx, c.walk(ctx)) })

	check, save := time.NewTicker(pause), time.NewTicker(snapshotEvery)
	defer check.Stop()
	defer save.Stop()
	select {
	case <-c.over: // what woke us before we ran is looked at now
	default:
	}
	c.report(ctx, c.round(ctx))
	for {
		var again <-chan time.Time
		if c.waitsForGrace() {
			again = time.After(min(c.o.Grace, time.Second))
		}
		select {
		case <-ctx.Done():
			return
		case <-save.C:
			c.report(ctx, c.save())
			continue
		case <-check.C:
		case <-c.over:
		case <-again:
		}
		c.report(ctx, c.round(ctx))
	}
}

// report tells of an error, unless it is that ctx is done.
func (c *Collector) report(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		c.o.Trouble(fmt.Errorf("gc: %w", err))
	}
}

// wake has the loop look for something to do.
func (c *Collector) wake() {
	select {
	case c.over <- struct{}{}:
	default: // it will
	}
}

// waitsForGrace reports whether the last eviction ended for the sake of young blobs.
func (c *Collector) waitsForGrace() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tooYoung
}
