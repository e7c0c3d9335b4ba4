package gc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sutler/internal/blob"
	"sutler/internal/blob/memory"
	"sutler/internal/digest"
)

// fill puts a blob of n bytes, which name makes unlike others, into a store.
func fill(t *testing.T, s blob.Store, name string, n int) digest.Digest {
	t.Helper()
	b := append([]byte(name), make([]byte, n-len(name))...)
	d := digest.OfBytes(b)
	if err := s.Put(t.Context(), d, bytes.NewReader(b), int64(n)); err != nil {
		t.Fatal(err)
	}
	return d
}

// open opens a collector for which trouble is a failure.
func open(t testing.TB, o Options) *Collector {
	t.Helper()
	if o.Trouble == nil {
		o.Trouble = func(err error) { t.Errorf("trouble: %v", err) }
	}
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stored fills n blobs of 1000 bytes and tells c.
func stored(t *testing.T, c *Collector, n int) (ds []digest.Digest) {
	for i := range n {
		ds = append(ds, fill(t, c.o.Store, fmt.Sprint(i), 1000))
		c.Added(ds[i], 1000)
	}
	return ds
}

// wantUsage reports an error unless c and its store hold that many blobs of 1000 bytes.
func wantUsage(t *testing.T, c *Collector, want int64) {
	t.Helper()
	if size, n := c.Usage(); n != want || size != want*1000 {
		t.Errorf("Usage = %d bytes, %d blobs; want %d blobs", size, n, want)
	}
	n := int64(0)
	for range c.o.Store.All(t.Context()) {
		n++
	}
	if n != want {
		t.Errorf("%d blobs are stored, want %d", n, want)
	}
}

// Old and unused blobs go first; young, pinned and used ones stay.
func TestEvictChooses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pinned digest.Digest
		c := open(t, Options{Store: new(memory.Store), Grace: time.Minute, Pinned: func(d digest.Digest) bool { return d == pinned }})
		ds := stored(t, c, 6)
		pinned = ds[0]
		c.Touch(ds[1])
		if n, _, err := c.Evict(t.Context(), 1, false); n != 0 || err != nil {
			t.Errorf("evicted %d young blobs, %v", n, err)
		}
		time.Sleep(2 * time.Minute)
		c.Added(ds[2], 1000) // stored again: young once more
		plan := c.Plan(2000)
		if n, size, err := c.Evict(t.Context(), 2000, true); n != 2 || size != 2000 || err != nil {
			t.Errorf("dry run = %d, %d, %v; want 2 blobs", n, size, err)
		}
		wantUsage(t, c, 6)
		if n, size, err := c.Evict(t.Context(), 1001, false); n != 2 || size != 2000 || err != nil {
			t.Errorf("Evict = %d, %d, %v; want 2 blobs", n, size, err)
		}
		for _, b := range plan {
			if _, ok := c.o.Store.Has(t.Context(), b.Digest); ok || b.Size != 1000 {
				t.Errorf("planned %v, but it is still there", b)
			}
		}
		// All that may go: the used one too, but neither the pinned nor the young one.
		if n, _, err := c.Evict(t.Context(), 1<<40, false); n != 2 || err != nil {
			t.Errorf("Evict of everything = %d, %v; want 2", n, err)
		}
		for _, d := range []digest.Digest{ds[0], ds[2]} {
			if _, ok := c.o.Store.Has(t.Context(), d); !ok {
				t.Errorf("%s is gone", d.Short())
			}
		}
		wantUsage(t, c, 2)
		if got := c.Counters(); got.Evicted != 4 || got.Freed != 4000 || got.Failures != 0 {
			t.Errorf("Counters = %+v", got)
		}
	})
}

// Run keeps MaxSize while blobs come, once they are old enough to go.
func TestRunKeepsMaxSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Options{Store: new(memory.Store), MaxSize: 10_000})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		ds := stored(t, c, 30)
		c.Touch(ds[3])
		synctest.Wait()
		wantUsage(t, c, 30) // all in their grace
		time.Sleep(13 * time.Second)
		synctest.Wait()
		wantUsage(t, c, 9) // at most ten, and a little room
		if _, ok := c.o.Store.Has(t.Context(), ds[3]); !ok {
			t.Error("the one that was used is gone")
		}
		cancel()
		<-done
	})
}

// Run keeps MinFree, counting free bytes once for each look: deleted files that are still
// open free nothing yet.
func TestRunKeepsMinFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := int64(500) // never changes
		c := open(t, Options{Store: new(memory.Store), StoreDir: "there", MinFree: 2500, Free: func(dir string) (int64, error) {
			if dir != "there" {
				t.Errorf("free bytes of %q", dir)
			}
			return free, nil
		}})
		stored(t, c, 10)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		time.Sleep(pause / 2)
		wantUsage(t, c, 8)
		time.Sleep(pause)
		wantUsage(t, c, 6)
		cancel()
		<-done
	})
}

// What cannot be deleted stays, is counted, and does not stop later rounds.
func TestDeleteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk on fire")
		var bad digest.Digest
		store := new(memory.Store)
		c := open(t, Options{Store: store, Delete: func(ctx context.Context, d digest.Digest) error {
			if d == bad {
				return broken
			}
			return store.Delete(ctx, d)
		}})
		ds := stored(t, c, 5)
		bad = ds[1]
		time.Sleep(time.Minute)
		if n, size, err := c.Evict(t.Context(), 5000, false); n != 1 || size != 1000 || !errors.Is(err, broken) {
			t.Errorf("Evict = %d, %d, %v; want 1 and the error", n, size, err)
		}
		wantUsage(t, c, 4)
		if n, _, err := c.Evict(t.Context(), 5000, false); n != 3 || !errors.Is(err, broken) {
			t.Errorf("second Evict = %d, %v; want the 3 others", n, err)
		}
		if got := c.Counters().Failures; got != 2 {
			t.Errorf("%d failures, want 2", got)
		}
		bad = ""
		if n, _, err := c.Evict(t.Context(), 1, false); n != 1 || err != nil {
			t.Errorf("Evict once it works = %d, %v", n, err)
		}
		wantUsage(t, c, 0)
	})
}

// A blob that is removed or stored again while it is being deleted is booked right.
func TestChangesWhileDeleting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *Collector
		store := new(memory.Store)
		c = open(t, Options{Store: store, Delete: func(ctx context.Context, d digest.Digest) error {
			if err := store.Delete(ctx, d); err != nil {
				return err
			}
			c.Touch(d)
			switch d {
			case digestOf("0"):
				c.Removed(d)
			case digestOf("1"):
				c.Added(fill(t, store, "1", 1000), 1000)
			case digestOf("2"): // its slot is used by another
				c.Removed(d)
				c.Added(fill(t, store, "other", 1000), 1000)
			}
			return nil
		}})
		stored(t, c, 4)
		time.Sleep(time.Minute)
		if n, _, err := c.Evict(t.Context(), 4000, false); n != 4 || err != nil {
			t.Errorf("Evict = %d, %v; want 4", n, err)
		}
		wantUsage(t, c, 2)
	})
}

// digestOf returns what fill returns for a blob of 1000 bytes.
func digestOf(name string) digest.Digest {
	return digest.OfBytes(append([]byte(name), make([]byte, 1000-len(name))...))
}

// The walk finds what the snapshot misses, forgets what is gone, and keeps the uses.
func TestSnapshotAndWalk(t *testing.T) {
	o := Options{Store: new(memory.Store), Dir: t.TempDir()}
	c := open(t, o)
	ds := stored(t, c, 10)
	for range 5 {
		c.Touch(ds[4])
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	for _, d := range ds[:2] {
		if err := o.Store.Delete(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		fill(t, o.Store, fmt.Sprint("later", i), 1000)
	}
	again := open(t, o)
	if _, n := again.Usage(); n != 10 {
		t.Errorf("%d blobs after a restart, want 10", n)
	}
	if again.Counters().Complete {
		t.Error("Complete before the walk")
	}
	if err := again.walk(t.Context()); err != nil {
		t.Error(err)
	}
	wantUsage(t, again, 11)
	if !again.Counters().Complete {
		t.Error("not Complete after the walk")
	}
	k, _ := digest.KeyOf(ds[4])
	if uses := again.fifo.slot(again.table.find(k)).uses(); uses != maxUses {
		t.Errorf("%d uses after a restart, want %d", uses, maxUses)
	}
	// What the snapshot knows is not young.
	if n, _, err := again.Evict(t.Context(), 3000, false); n != 3 || err != nil {
		t.Errorf("Evict = %d, %v; want 3", n, err)
	}
}

// The order of eviction is the same after a restart.
func TestSnapshotKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Store: new(memory.Store), Dir: t.TempDir()}
		c := open(t, o)
		ds := stored(t, c, 100)
		r := rand.New(rand.NewPCG(1, 2))
		for range 60 {
			c.Touch(ds[r.IntN(100)])
		}
		time.Sleep(time.Minute)
		if _, _, err := c.Evict(t.Context(), 10_000, false); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		before, after := c.Plan(1<<40), open(t, o).Plan(1<<40)
		if len(before) != 90 || fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("the plan has %d blobs before and %d after a restart, or another order", len(before), len(after))
		}
	})
}

// A damaged snapshot is reported, and the walk makes up for it.
func TestDamagedSnapshot(t *testing.T) {
	var trouble []error
	o := Options{Store: new(memory.Store), Dir: t.TempDir(), Trouble: func(err error) { trouble = append(trouble, err) }}
	c := open(t, o)
	stored(t, c, 3)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(o.Dir, snapshotFile)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, o)
	if len(trouble) != 1 || !errors.Is(trouble[0], errSnapshot) {
		t.Errorf("trouble %v, want errSnapshot", trouble)
	}
	if err := again.walk(t.Context()); err != nil {
		t.Error(err)
	}
	wantUsage(t, again, 3)
}

// A walk that fails forgets nothing.
func TestWalkFails(t *testing.T) {
	c := open(t, Options{Store: new(memory.Store)})
	stored(t, c, 3)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.walk(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("walk = %v, want context.Canceled", err)
	}
	wantUsage(t, c, 3)
	if c.Counters().Complete {
		t.Error("Complete after a walk that failed")
	}
}

// What is no SHA-256 digest is passed over.
func TestOtherDigests(t *testing.T) {
	c := open(t, Options{Store: new(memory.Store)})
	for _, d := range []digest.Digest{"", "sha256:", "sha256:00", digest.Digest("md5:d41d8cd98f00b204e9800998ecf8427e")} {
		c.Added(d, 1)
		c.Touch(d)
		c.Removed(d)
	}
	wantUsage(t, c, 0)
}

// Fills, hits, removals and evictions at the same time: no blob that is read or in its
// grace is lost, and the books are right in the end.
func TestConcurrentUse(t *testing.T) {
	c := open(t, Options{Store: new(memory.Store), MaxSize: 20_000, Grace: -1, Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	var run, work sync.WaitGroup
	run.Go(func() { c.Run(ctx) })
	for g := range 4 {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 2000 {
				useOnce(t, c, fmt.Sprint(r.IntN(60)), r.IntN(10))
			}
		})
	}
	work.Wait()
	cancel()
	run.Wait()
	if err := c.walk(t.Context()); err != nil {
		t.Error(err)
	}
	_, n := c.Usage()
	wantUsage(t, c, n)
	if c.Counters().Evicted == 0 {
		t.Error("nothing was evicted")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// useOnce does to a blob what a request may do.
func useOnce(t *testing.T, c *Collector, name string, what int) {
	d := digestOf(name)
	r, err := c.o.Store.Open(t.Context(), d)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		c.Added(fill(t, c.o.Store, name, 1000), 1000)
	case err != nil:
		t.Error(err)
	case what == 0:
		if err := c.o.Store.Delete(t.Context(), d); err != nil {
			t.Error(err)
		}
		c.Removed(d)
		fallthrough
	default:
		c.Touch(d)
		if b, err := io.ReadAll(r); err != nil || digest.OfBytes(b) != d {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
	}
}

// FuzzDecode checks that what is accepted encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	c := newS3(1 << 40)
	f.Add(c.f.encode())
	for n := range 3 {
		c.get(n, int64(n)<<32)
		c.get(n, 0)
	}
	f.Add(c.f.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		again := []byte(magic)
		err := decode(b, func(r record) { again = appendRecord(again, r) })
		if err == nil && !bytes.Equal(seal(again), b) {
			t.Errorf("decode accepted %x", b)
		}
		if err != nil && !errors.Is(err, errSnapshot) {
			t.Errorf("decode = %v, want errSnapshot", err)
		}
	})
}

func TestTouchAllocatesNothing(t *testing.T) {
	c := open(t, Options{Store: new(memory.Store)})
	d := stored(t, c, 1)[0]
	if n := testing.AllocsPerRun(100, func() { c.Touch(d) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkTouch(b *testing.B) {
	c := open(b, Options{Store: new(memory.Store)})
	var ds []digest.Digest
	for n := range 1 << 16 {
		ds = append(ds, keyFor(n).Digest())
		c.Added(ds[n], 1)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			c.Touch(ds[n%len(ds)])
		}
	})
}

// million is how many blobs a large store has.
const million = 1_000_000

// BenchmarkMillion reports what a million blobs cost: memory with the ghosts of as many
// evictions, the time to add one, to write and read the snapshot, and to plan.
func BenchmarkMillion(b *testing.B) {
	for b.Loop() {
		o := Options{Store: new(memory.Store), Dir: b.TempDir(), Grace: -1}
		before := heap()
		c := open(b, o)
		took := clock(b)
		for n := range million {
			c.Added(keyFor(n).Digest(), 1)
		}
		took("add-ns", million*time.Nanosecond)
		b.ReportMetric(float64(heap()-before)/million, "B/blob")
		for n := range million {
			c.mu.Lock()
			c.fifo.ghosts.put(c.table.fingerprint(keyFor(million+n)), c.fifo.count()/2)
			c.mu.Unlock()
		}
		b.ReportMetric(float64(heap()-before)/million, "B/blob-with-ghosts")
		took = clock(b)
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		took("save-ms", time.Millisecond)
		again := open(b, o)
		took("open-ms", time.Millisecond)
		again.Plan(1)
		took("plan-ms", time.Millisecond)
		runtime.KeepAlive(c)
	}
}

// heap returns the bytes in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// clock returns a function that reports the time since it was last called.
func clock(b *testing.B) func(unit string, scale time.Duration) {
	last := time.Now()
	return func(unit string, scale time.Duration) {
		b.ReportMetric(float64(time.Since(last))/float64(scale), unit)
		last = time.Now()
	}
}
