package gc

import (
	"hash/maphash"
	"math/bits"
	"sync"
)

// tableShards is how many parts the table has, each with a lock of its own.
const tableShards = 64

// A table finds the slot of a key: open addressing over ids, whose keys are in the slots.
// find may be called at any time, put and drop under the lock of the collector only.
type table struct {
	seed   maphash.Seed
	fifo   *fifo
	shards [tableShards]tableShard
}

// A tableShard holds the ids whose hash falls to it.
type tableShard struct {
	mu  sync.RWMutex
	ids []tagged // 0 is a free place
	n   int
}

// A tagged is an id and, in the bits that ids leave free, some bits of the hash: few searches
// look at a slot, which is far away in memory, of another key.
type tagged uint32

// idBits is the room for an id, of which there are chunkSlots*maxChunks.
const idBits = 26

// tag returns i with the tag for hash h.
func tag(i id, h uint64) tagged { return tagged(h>>8)<<idBits | tagged(i) }

// id returns the id without the tag.
func (t tagged) id() id { return id(t & (1<<idBits - 1)) }

// hash returns a number for k that nobody outside can foresee: digests can be chosen.
func (t *table) hash(k key) uint64 { return maphash.Comparable(t.seed, k) }

// fingerprint returns a number for k that is independent of its place in the table.
func (t *table) fingerprint(k key) uint32 { return uint32(t.hash(k) >> 8) }

// shard returns the part for a hash.
func (t *table) shard(h uint64) *tableShard { return &t.shards[h%tableShards] }

// home returns the place in s where a search for h begins.
func (s *tableShard) home(h uint64) int {
	hi, _ := bits.Mul64(h, uint64(len(s.ids)))
	return int(hi)
}

// find returns the id of k, or 0. The lock of the shard is held.
func (s *tableShard) find(f *fifo, k key, h uint64) (at int, i id) {
	if len(s.ids) == 0 {
		return 0, 0
	}
	for at = s.home(h); s.ids[at] != 0; at = s.after(at) {
		if i = s.ids[at].id(); s.ids[at] == tag(i, h) && f.slot(i).key == k {
			return at, i
		}
	}
	return at, 0
}

// after returns the place after at.
func (s *tableShard) after(at int) int {
	if at++; at < len(s.ids) {
		return at
	}
	return 0
}

// find returns the id of k, or 0. The lock of the collector is held.
func (t *table) find(k key) id {
	h := t.hash(k)
	s := t.shard(h)
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, i := s.find(t.fifo, k, h)
	return i
}

// touch counts a use of k, if it is there. It needs no lock and allocates nothing.
func (t *table) touch(k key) {
	h := t.hash(k)
	s := t.shard(h)
	s.mu.RLock()
	if _, i := s.find(t.fifo, k, h); i != 0 {
		t.fifo.slot(i).touch()
	}
	s.mu.RUnlock()
}

// put adds i under the key in its slot, which is not there.
func (t *table) put(i id) {
	k := t.fifo.slot(i).key
	h := t.hash(k)
	s := t.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if (s.n+1)*5 > len(s.ids)*4 {
		t.grow(s, len(s.ids)+len(s.ids)/4+16)
	}
	at, _ := s.find(t.fifo, k, h)
	s.ids[at] = tag(i, h)
	s.n++
}

// grow gives s that many places. It is called for a quarter more at a time: more often,
// but with less to spare, than doubling.
func (t *table) grow(s *tableShard, places int) {
	old := s.ids
	s.ids = make([]tagged, places)
	for _, e := range old {
		if e == 0 {
			continue
		}
		h := t.hash(t.fifo.slot(e.id()).key)
		at := s.home(h)
		for s.ids[at] != 0 { // all keys are different
			at = s.after(at)
		}
		s.ids[at] = e
	}
}

// reserve makes room for n keys at once.
func (t *table) reserve(n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		if places := n/tableShards*13/10 + 64; places > len(s.ids) {
			t.grow(s, places)
		}
		s.mu.Unlock()
	}
}

// drop takes out k and closes the gap, so that no search stops early.
func (t *table) drop(k key) {
	h := t.hash(k)
	s := t.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	gap, i := s.find(t.fifo, k, h)
	if i == 0 {
		return
	}
	s.n--
	s.ids[gap] = 0
	for at := s.after(gap); s.ids[at] != 0; at = s.after(at) {
		home := s.home(t.hash(t.fifo.slot(s.ids[at].id()).key))
		if between(gap, home, at) {
			continue // it is found without passing the gap
		}
		s.ids[gap], s.ids[at] = s.ids[at], 0
		gap = at
	}
}

// between reports whether home lies after gap and not after at, going round.
func between(gap, home, at int) bool {
	if gap <= at {
		return gap < home && home <= at
	}
	return gap < home || home <= at
}
