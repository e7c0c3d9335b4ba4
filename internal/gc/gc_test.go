package gc

import (
	"bytes"
	"container/list"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sutler/internal/blob/memory"
	"sutler/internal/digest"
)

// fill puts a blob of n bytes into a store and returns its digest.
func fill(t *testing.T, s *memory.Store, name string, n int) digest.Digest {
	t.Helper()
	b := append([]byte(name), make([]byte, n-len(name))...)
	d := digest.OfBytes(b)
	if err := s.Put(t.Context(), d, bytes.NewReader(b), int64(n)); err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t *testing.T, o Options) *Collector {
	t.Helper()
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEvict(t *testing.T) {
	store, now := new(memory.Store), time.Unix(1_000_000, 0)
	c := open(t, Options{Store: store, Now: func() time.Time { return now }})
	used, once := fill(t, store, "used", 1000), fill(t, store, "once", 1000)
	for _, d := range []digest.Digest{used, once} {
		c.Added(d, 1000)
		c.Added(d, 1000)
	}
	c.Touch(used)
	if bytes, blobs := c.Usage(); bytes != 2000 || blobs != 2 {
		t.Fatalf("Usage = %d, %d", bytes, blobs)
	}
	if n, _, err := c.Evict(t.Context(), 1, false); n != 0 || err != nil {
		t.Errorf("evicted %d young blobs, %v", n, err)
	}
	now = now.Add(time.Hour)
	c = open(t, Options{Store: store, Now: func() time.Time { return now }})
	c.reconcile(t.Context())
	now = now.Add(time.Hour)
	c.Touch(used)
	if n, size, err := c.Evict(t.Context(), 1, true); n != 1 || size != 1000 || err != nil {
		t.Errorf("dry run = %d, %d, %v; want one blob", n, size, err)
	}
	if n, size, err := c.Evict(t.Context(), 1, false); n != 1 || size != 1000 || err != nil {
		t.Errorf("Evict = %d, %d, %v; want one blob", n, size, err)
	}
	if _, ok := store.Has(t.Context(), once); ok {
		t.Error("what was never used is still there")
	}
	if _, ok := store.Has(t.Context(), used); !ok {
		t.Error("what was used is gone")
	}
	if n, _, err := c.Evict(t.Context(), 1<<40, false); n != 1 || err != nil {
		t.Errorf("Evict of everything = %d, %v", n, err)
	}
	if bytes, blobs := c.Usage(); bytes != 0 || blobs != 0 {
		t.Errorf("Usage = %d, %d, want nothing", bytes, blobs)
	}
}

func TestLimits(t *testing.T) {
	store := new(memory.Store)
	c := open(t, Options{Store: store, MaxSize: 5000, MinFree: 100, Free: func(string) (int64, error) { return 40, nil },
		Now: func() time.Time { return time.Unix(0, 0) }})
	for i := range 8 {
		c.Added(fill(t, store, fmt.Sprint(i), 1000), 1000)
	}
	if got := c.excess(); got != 3000 {
		t.Errorf("excess = %d, want 3000", got)
	}
	c.MaxSize = 0
	if got := c.excess(); got != 60 {
		t.Errorf("excess = %d, want 60", got)
	}
}

// TestRunKeepsTheLimit lets Run work while blobs are added.
func TestRunKeepsTheLimit(t *testing.T) {
	store := new(memory.Store)
	ctx, cancel := context.WithCancel(t.Context())
	late := time.Now().Add(time.Hour)
	first := true
	c := open(t, Options{Store: store, MaxSize: 10_000, Now: func() time.Time {
		if first {
			return time.Now()
		}
		return late
	}})
	for i := range 30 {
		c.Added(fill(t, store, fmt.Sprint(i), 1000), 1000)
	}
	first = false
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	for deadline := time.Now().Add(5 * time.Second); ; {
		if bytes, _ := c.Usage(); bytes <= 10_000 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the limit was not kept within 5 s")
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
}

func TestSnapshot(t *testing.T) {
	dir, store := t.TempDir(), new(memory.Store)
	c := open(t, Options{Store: store, Dir: dir})
	a, b := fill(t, store, "a", 10), fill(t, store, "b", 20)
	c.Added(a, 10)
	c.Added(b, 20)
	c.Touch(b)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	later := fill(t, store, "later", 40)
	again := open(t, Options{Store: store, Dir: dir})
	if bytes, blobs := again.Usage(); bytes != 30 || blobs != 2 {
		t.Errorf("Usage after a restart = %d, %d, want 30, 2", bytes, blobs)
	}
	s, _ := sumOf(b)
	if again.node(s).uses.Load() != 1 {
		t.Error("the counter was lost")
	}
	again.reconcile(t.Context())
	if bytes, blobs := again.Usage(); bytes != 60 || blobs != 2 {
		t.Errorf("Usage after looking = %d, %d, want 60, 2 (%s came, %s went)", bytes, blobs, later.Short(), a.Short())
	}
}

// FuzzDecode checks that what is accepted encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add(encode(nil))
	f.Add(encode([]*node{{size: 1, main: true}, {size: 2}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		nodes, err := decode(b)
		if err == nil && !bytes.Equal(encode(nodes), b) {
			t.Errorf("decode accepted %x", b)
		}
	})
}

// hits replays a trace against a cache of that many blobs of equal size.
func (p *policy) replay(trace []int, capacity int64) int {
	known := map[int]*node{}
	bySum := map[sum]int{}
	hits := 0
	for _, x := range trace {
		if n := known[x]; n != nil {
			hits++
			n.uses.Store(min(maxUses, n.uses.Load()+1))
			continue
		}
		for p.count() >= capacity {
			v := p.victim(1)
			delete(known, bySum[v.sum])
		}
		s, _ := sumOf(digest.OfBytes(fmt.Append(nil, x)))
		known[x] = &node{sum: s, size: 1}
		bySum[s] = x
		p.insert(known[x])
	}
	return hits
}

// lru replays a trace against a least-recently-used cache.
func lru(trace []int, capacity int) int {
	order, at, hits := list.New(), map[int]*list.Element{}, 0
	for _, x := range trace {
		if e := at[x]; e != nil {
			hits++
			order.MoveToFront(e)
			continue
		}
		if order.Len() >= capacity {
			delete(at, order.Remove(order.Back()).(int))
		}
		at[x] = order.PushFront(x)
	}
	return hits
}

// TestScan checks that things wanted once do not displace what is wanted often, where
// LRU loses it.
func TestScan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var trace []int
	for i := range 200_000 {
		trace = append(trace, random.IntN(800)) // the hot set fits
		if i%20_000 > 12_000 {
			trace = append(trace, 1_000_000+i) // wanted once
		}
	}
	var p policy
	ours, theirs := p.replay(trace, 1000), lru(trace, 1000)
	t.Logf("hits of %d: S3-FIFO %d, LRU %d", len(trace), ours, theirs)
	if ours <= theirs {
		t.Errorf("S3-FIFO hit %d times, LRU %d", ours, theirs)
	}
}

func BenchmarkTouch(b *testing.B) {
	c, err := Open(Options{Store: new(memory.Store)})
	if err != nil {
		b.Fatal(err)
	}
	d := digest.OfBytes([]byte("x"))
	c.Added(d, 1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Touch(d)
		}
	})
}

// BenchmarkMillion reports the memory that a million blobs take.
func BenchmarkMillion(b *testing.B) {
	for b.Loop() {
		c, err := Open(Options{Store: new(memory.Store)})
		if err != nil {
			b.Fatal(err)
		}
		for i := range 1_000_000 {
			c.Added(digest.OfBytes(fmt.Append(nil, i)), 1)
		}
	}
	b.ReportAllocs()
}
