package gc

import (
	"container/list"
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// keyFor returns the key that stands for number n in a trace.
func keyFor(n int) (k key) {
	binary.BigEndian.PutUint64(k[:], uint64(n)*0x9E3779B97F4A7C15)
	return k
}

// noRules spares nothing.
func noRules() rules { return rules{grace: -1, pinned: func(key) bool { return false }} }

// A cache answers requests of a trace and keeps at most capacity bytes.
type cache interface {
	// get reports a hit, and takes the blob in if it is none.
	get(n int, size int64) bool
}

// An s3 is a cache that keeps what a fifo says.
type s3 struct {
	capacity int64
	f        fifo
	t        table
}

func newS3(capacity int64) *s3 {
	c := &s3{capacity: capacity}
	c.t.seed, c.t.fifo = maphash.MakeSeed(), &c.f
	return c
}

func (c *s3) get(n int, size int64) bool {
	k := keyFor(n)
	if i := c.t.find(k); i != 0 {
		c.t.touch(k)
		return true
	}
	c.t.put(c.f.add(k, size, 0, c.t.fingerprint(k)))
	for c.f.bytes() > c.capacity {
		i, from := c.f.victim(noRules())
		old := c.f.slot(i).key
		c.t.drop(old)
		c.f.evicted(i, from, c.t.fingerprint(old))
	}
	return false
}

// An lru is a cache that keeps what was used last: what we compare with.
type lru struct {
	capacity, bytes int64
	order           list.List
	at              map[int]*list.Element
}

type lruEntry struct {
	n    int
	size int64
}

func (c *lru) get(n int, size int64) bool {
	if e := c.at[n]; e != nil {
		c.order.MoveToFront(e)
		return true
	}
	c.at[n] = c.order.PushFront(lruEntry{n, size})
	for c.bytes += size; c.bytes > c.capacity; {
		e := c.order.Remove(c.order.Back()).(lruEntry)
		delete(c.at, e.n)
		c.bytes -= e.size
	}
	return false
}

// A request of a trace.
type request struct {
	n    int
	size int64
}

// once returns the number of a blob that no other request asks for.
func once(i int) int { return 1<<40 + i }

// traces are what builds do to a cache. Capacity is in bytes.
var traces = []struct {
	name     string
	capacity int64
	requests func(r *rand.Rand) []request
	gain     float64 // least difference of hit ratios to LRU, in percent
}{
	{"hot set with scans", 1000, func(r *rand.Rand) (out []request) {
		for i := range 200_000 {
			out = append(out, request{r.IntN(800), 1})
			if i%20_000 > 12_000 {
				out = append(out, request{once(i), 1}) // a mirror is copied
			}
		}
		return out
	}, 5},
	{"zipf", 1000, func(r *rand.Rand) (out []request) {
		z := rand.NewZipf(r, 1.05, 1, 20_000)
		for range 300_000 {
			out = append(out, request{int(z.Uint64()), 1})
		}
		return out
	}, 1},
	{"zipf with a third wanted once", 1000, func(r *rand.Rand) (out []request) {
		z := rand.NewZipf(r, 1.05, 1, 20_000)
		for i := range 300_000 {
			out = append(out, request{int(z.Uint64()), 1})
			if i%2 == 0 {
				out = append(out, request{once(i), 1})
			}
		}
		return out
	}, 3},
	{"builds of 60 projects, sizes as packages have", 8_000_000, func(r *rand.Rand) []request {
		return builds(r, 60)
	}, 2},
	{"loop a little larger than the cache", 1000, func(*rand.Rand) (out []request) {
		for i := range 100_000 {
			out = append(out, request{i % 1100, 1})
		}
		return out
	}, 0},
	{"all fits", 1000, func(r *rand.Rand) (out []request) {
		for range 50_000 {
			out = append(out, request{r.IntN(900), 1})
		}
		return out
	}, 0},
}

// builds returns requests of builds: each project asks for its 200 packages in order; popular
// projects build more often; a package is upgraded now and then, and its old version is
// not asked for again.
func builds(r *rand.Rand, projects int) (out []request) {
	z, popular := rand.NewZipf(r, 1.2, 4, 5000), rand.NewZipf(r, 1.1, 2, uint64(projects-1))
	needs := make([][]int, projects)
	version := map[int]int{}
	for p := range needs {
		for range 200 {
			needs[p] = append(needs[p], int(z.Uint64()))
		}
	}
	for range 2000 {
		for _, pkg := range needs[popular.Uint64()] {
			if r.IntN(1000) == 0 {
				version[pkg]++
			}
			size := int64(2000 * math.Exp(rand.New(rand.NewPCG(uint64(pkg), 1)).NormFloat64()*2))
			out = append(out, request{pkg<<20 | version[pkg], min(size+1, 3_000_000)})
		}
	}
	return out
}

// hits replays a trace and returns the ratio of hits, in percent.
func hits(c cache, trace []request) float64 {
	n := 0
	for _, q := range trace {
		if c.get(q.n, q.size) {
			n++
		}
	}
	return 100 * float64(n) / float64(len(trace))
}

// The order of eviction is at least as good as LRU on every trace, and better where things
// are wanted once.
func TestAgainstLRU(t *testing.T) {
	for _, tt := range traces {
		t.Run(tt.name, func(t *testing.T) {
			trace := tt.requests(rand.New(rand.NewPCG(1, 2)))
			ours := hits(newS3(tt.capacity), trace)
			theirs := hits(&lru{capacity: tt.capacity, at: map[int]*list.Element{}}, trace)
			t.Logf("%d requests: S3-FIFO %.1f %%, LRU %.1f %%", len(trace), ours, theirs)
			if ours < theirs+tt.gain {
				t.Errorf("S3-FIFO hits %.1f %%, LRU %.1f %%; want %.1f more", ours, theirs, tt.gain)
			}
		})
	}
}

// A scan of blobs wanted once, ten times as large as the cache, leaves the hot set alone.
func TestScanLeavesTheHotSet(t *testing.T) {
	c := newS3(1000)
	for range 3 {
		for n := range 800 {
			c.get(n, 1)
		}
	}
	for i := range 10_000 {
		c.get(once(i), 1)
	}
	kept := 0
	for n := range 800 {
		if c.t.find(keyFor(n)) != 0 {
			kept++
		}
	}
	if kept < 790 {
		t.Errorf("%d of 800 hot blobs survived the scan", kept)
	}
}

// A blob that comes back soon after it was evicted unused enters the main queue.
func TestGhosts(t *testing.T) {
	c := newS3(1000)
	for i := range 2000 {
		c.get(once(i), 1)
	}
	back := once(2000 - 1000 - 100) // evicted lately
	if c.get(back, 1) {
		t.Fatal("the blob is still there")
	}
	if q := c.f.slot(c.t.find(keyFor(back))).queue; q != main {
		t.Errorf("it came back to queue %d, want main", q)
	}
	c.get(once(5), 1) // evicted long ago
	if q := c.f.slot(c.t.find(keyFor(once(5)))).queue; q != small {
		t.Errorf("an old one came back to queue %d, want small", q)
	}
}

// A model is what a fifo and its table should hold.
type model struct {
	*s3
	want map[key]int64 // sizes
}

// The queues and the table hold what was added and not removed or evicted, whatever the
// order of calls.
func TestQueuesKeepTheirBooks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{s3: newS3(0), want: map[key]int64{}}
		draw := func(rt *rapid.T) key { return keyFor(rapid.IntRange(0, 60).Draw(rt, "n")) }
		rt.Repeat(map[string]func(*rapid.T){
			"add":    func(rt *rapid.T) { m.add(draw(rt), rapid.Int64Range(0, maxSize).Draw(rt, "size")) },
			"touch":  func(rt *rapid.T) { m.t.touch(draw(rt)) },
			"remove": func(rt *rapid.T) { m.remove(draw(rt)) },
			"evict":  func(rt *rapid.T) { m.evict(rt, rapid.Bool().Draw(rt, "young"), draw(rt)) },
			"":       m.check,
		})
	})
}

func (m *model) add(k key, size int64) {
	if i := m.t.find(k); i != 0 {
		m.f.refresh(i, size, 2)
	} else {
		m.t.put(m.f.add(k, size, 2, m.t.fingerprint(k)))
	}
	m.want[k] = size
}

func (m *model) remove(k key) {
	if i := m.t.find(k); i != 0 {
		m.t.drop(k)
		m.f.remove(i)
	}
	delete(m.want, k)
}

func (m *model) evict(rt *rapid.T, young bool, pin key) {
	r := rules{now: 2, pinned: func(k key) bool { return k == pin }} // all were added at 2
	if !young {
		r.now = 1000
	}
	i, from := m.f.victim(r)
	if i == 0 {
		if _, pinned := m.want[pin]; !young && (len(m.want) > 1 || len(m.want) == 1 && !pinned) {
			rt.Fatalf("no victim among %d blobs", len(m.want))
		}
		return
	}
	k := m.f.slot(i).key
	if k == pin || young {
		rt.Fatal("chose a blob that is spared")
	}
	m.t.drop(k)
	m.f.evicted(i, from, m.t.fingerprint(k))
	delete(m.want, k)
}

func (m *model) check(rt *rapid.T) {
	var bytes int64
	for k, size := range m.want {
		i := m.t.find(k)
		if i == 0 || m.f.slot(i).size() != size {
			rt.Fatalf("blob %x is lost or has another size", k[:4])
		}
		bytes += size
	}
	n := 0
	for q := range m.f.lists {
		for i := m.f.lists[q].oldest; i != 0; i = m.f.slot(i).newer {
			n++
		}
	}
	if n != len(m.want) || m.f.count() != n || m.f.bytes() != bytes {
		rt.Fatalf("%d blobs in queues, counted %d of %d bytes; want %d of %d", n, m.f.count(), m.f.bytes(), len(m.want), bytes)
	}
}

// The copy for plans is apart from the original.
func TestClone(t *testing.T) {
	c := newS3(1 << 40)
	for n := range chunkSlots * 2 {
		c.get(n, 1)
	}
	twin := c.f.clone()
	for range 100 {
		twin.victim(noRules())
	}
	if n := c.f.lists[leaving].n; n != 0 {
		t.Errorf("%d blobs are leaving the original", n)
	}
	if n := twin.lists[leaving].n; n != 100 {
		t.Errorf("%d blobs are leaving the copy, want 100", n)
	}
}

func BenchmarkReplay(b *testing.B) {
	trace := builds(rand.New(rand.NewPCG(1, 2)), 60)
	for name, open := range map[string]func() cache{
		"S3-FIFO": func() cache { return newS3(8_000_000) },
		"LRU":     func() cache { return &lru{capacity: 8_000_000, at: map[int]*list.Element{}} },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(hits(open(), trace), "hit-%")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(trace)), "ns/request")
		})
	}
}
