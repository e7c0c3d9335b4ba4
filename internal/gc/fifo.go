package gc

import (
	"sync/atomic"
	"time"

	"sutler/internal/digest"
)

// A key names a blob in the tables of this package.
type key = digest.Key

// An id is the place of a slot; 0 is no slot.
type id uint32

// A queue is where a blob waits.
type queue uint8

// The queues. A blob that is leaving was chosen to be deleted and waits in none.
const (
	leaving queue = iota
	small
	main
	queues
)

const (
	// maxUses is where the count of uses stops: more would only take longer to forget.
	maxUses = 3
	// usesBits is the room for it in slot.state.
	usesBits = 2
	// chunkSlots is how many slots are allocated at once, and maxChunks how often.
	chunkSlots = 1 << 12
	maxChunks  = 1 << 14
	// maxSize is the largest size that is kept exactly: 256 TiB.
	maxSize = 1<<48 - 1
)

// A second is a Unix time without its highest bits: it goes round every 34 years.
type second uint32

// secondMask is the room for one in slot.state.
const secondMask = 1<<(32-usesBits) - 1

// secondOf returns the second of t.
func secondOf(t time.Time) second { return second(t.Unix()) & secondMask }

// since returns how many seconds after earlier s is. A clock that was set back makes it
// long: what is never young again can be evicted, what is young for ever could not.
func (s second) since(earlier second) int64 { return int64((s - earlier) & secondMask) }

// A slot is what is known of one blob: 52 bytes. Fields other than state are guarded by
// the lock of the collector; key may also be read under the lock of the table.
type slot struct {
	key        key
	low        uint32 // of the size
	high       uint16
	queue      queue
	live       bool
	newer, old id     // neighbours in the queue; old also chains free slots
	state      uint32 // atomic: the second when it was added, and uses
}

// size returns the length of the blob in bytes.
func (s *slot) size() int64 { return int64(s.high)<<32 | int64(s.low) }

// setSize sets it.
func (s *slot) setSize(n int64) {
	n = min(max(n, 0), maxSize)
	s.low, s.high = uint32(n), uint16(n>>32)
}

// uses returns how often the blob was used, up to maxUses, since that was last looked at.
func (s *slot) uses() uint32 { return atomic.LoadUint32(&s.state) & maxUses }

// setUses sets it. Uses that are counted meanwhile may be lost.
func (s *slot) setUses(n uint32) {
	atomic.StoreUint32(&s.state, atomic.LoadUint32(&s.state)&^maxUses|n)
}

// touch counts a use. Needs no lock; a blob in much use costs a read only.
func (s *slot) touch() {
	if v := atomic.LoadUint32(&s.state); v&maxUses < maxUses {
		atomic.CompareAndSwapUint32(&s.state, v, v+1) // if lost, another one counted
	}
}

// added returns when the blob was added.
func (s *slot) added() second { return second(atomic.LoadUint32(&s.state) >> usesBits) }

// setAdded sets it and forgets the uses.
func (s *slot) setAdded(at second) { atomic.StoreUint32(&s.state, uint32(at)<<usesBits) }

// A line is one queue: blobs enter as the newest and leave as the oldest.
type line struct {
	newest, oldest id
	n              int
	bytes          int64
}

// A fifo decides what to evict, by the S3-FIFO algorithm: new blobs enter a small queue,
// those that are used there move on to the main queue, those that are not are evicted
// early, so that things used once do not push out things used often. Blobs that come back
// soon after they were evicted from the small queue enter the main one at once. It does no
// I/O and reads no clock. Calls must not overlap, except slot.touch.
type fifo struct {
	chunks [maxChunks]*[chunkSlots]slot
	used   id // slots that were ever used
	free   id // chain of slots to use again
	lists  [queues]line
	ghosts ghosts
}

// slot returns the slot of an id.
func (f *fifo) slot(i id) *slot { return &f.chunks[i/chunkSlots][i%chunkSlots] }

// count returns how many blobs there are.
func (f *fifo) count() int { return f.lists[small].n + f.lists[main].n + f.lists[leaving].n }

// bytes returns their total size.
func (f *fifo) bytes() int64 {
	return f.lists[small].bytes + f.lists[main].bytes + f.lists[leaving].bytes
}

// alloc returns an empty slot, or 0 if there are more blobs than can be kept track of.
func (f *fifo) alloc() id {
	if i := f.free; i != 0 {
		f.free = f.slot(i).old
		return i
	}
	next := f.used + 1
	if next/chunkSlots >= maxChunks {
		return 0
	}
	if f.chunks[next/chunkSlots] == nil {
		f.chunks[next/chunkSlots] = new([chunkSlots]slot)
	}
	f.used = next
	return next
}

// add adds a blob as new, in the main queue if it was evicted too early before. fp is its
// fingerprint for that.
func (f *fifo) add(k key, size int64, at second, fp uint32) id {
	q := small
	if f.ghosts.take(fp) {
		q = main
	}
	return f.insert(k, size, at, q)
}

// insert adds a blob as the newest of a queue.
func (f *fifo) insert(k key, size int64, at second, q queue) id {
	i := f.alloc()
	if i == 0 {
		return 0
	}
	s := f.slot(i)
	s.key, s.live = k, true
	s.setSize(size)
	s.setAdded(at)
	f.push(q, i)
	return i
}

// remove forgets a blob.
func (f *fifo) remove(i id) {
	f.unlink(i)
	s := f.slot(i)
	s.live = false
	s.old = f.free
	f.free = i
}

// refresh notes that a blob was stored again: it is young, and stays if it was leaving.
func (f *fifo) refresh(i id, size int64, at second) {
	q := f.slot(i).queue
	if q == leaving {
		q = small
	}
	f.unlink(i)
	uses := f.slot(i).uses()
	f.slot(i).setSize(size)
	f.slot(i).setAdded(at)
	f.slot(i).setUses(uses)
	f.push(q, i)
}

// push makes i the newest of a queue.
func (f *fifo) push(q queue, i id) {
	l, s := &f.lists[q], f.slot(i)
	s.queue, s.newer, s.old = q, 0, l.newest
	if l.newest != 0 {
		f.slot(l.newest).newer = i
	} else {
		l.oldest = i
	}
	l.newest = i
	l.n++
	l.bytes += s.size()
}

// unlink takes i out of its queue.
func (f *fifo) unlink(i id) {
	s := f.slot(i)
	l := &f.lists[s.queue]
	if s.newer != 0 {
		f.slot(s.newer).old = s.old
	} else {
		l.newest = s.old
	}
	if s.old != 0 {
		f.slot(s.old).newer = s.newer
	} else {
		l.oldest = s.newer
	}
	l.n--
	l.bytes -= s.size()
}

// move makes i the newest of a queue, with that many uses.
func (f *fifo) move(i id, q queue, uses uint32) {
	f.unlink(i)
	f.slot(i).setUses(uses)
	f.push(q, i)
}

// rules say which blobs are spared: those added in the last grace seconds, none if that is
// negative, and those that are pinned.
type rules struct {
	now    second
	grace  int64
	pinned func(key) bool
}

// young reports whether a blob is in its grace.
func (r rules) young(s *slot) bool { return r.now.since(s.added()) <= r.grace }

// victim chooses the next blob to evict, and tells the queue it was in. It is a leaving one
// then. It returns 0 if all are spared.
func (f *fifo) victim(r rules) (id, queue) {
	spared := [queues]int{}
	for {
		q := f.turn(spared)
		if q == leaving {
			return 0, leaving
		}
		i := f.lists[q].oldest
		s := f.slot(i)
		switch uses := s.uses(); {
		case q == small && uses > 0:
			f.move(i, main, 0)
		case q == main && uses > 0:
			f.move(i, main, uses-1)
		case q == small && r.young(s):
			spared[q] = f.lists[q].n // the others came later
		case r.young(s) || r.pinned(s.key):
			f.move(i, q, 0)
			spared[q]++
		default:
			f.move(i, leaving, 0)
			return i, q
		}
	}
}

// turn returns the queue to evict from: the small one while it holds a tenth of the bytes
// or more, else the main one, and leaving if all that is left in both was spared.
func (f *fifo) turn(spared [queues]int) queue {
	canSmall := f.lists[small].n > spared[small]
	canMain := f.lists[main].n > spared[main]
	switch {
	case canSmall && (!canMain || f.lists[small].bytes*10 >= f.bytes()):
		return small
	case canMain:
		return main
	}
	return leaving
}

// evicted forgets a leaving blob that was deleted. If it came from the small queue, its
// fingerprint is kept, to know it if it comes back soon; one from the main queue had its
// chance.
func (f *fifo) evicted(i id, from queue, fp uint32) {
	f.remove(i)
	if from == small {
		f.ghosts.put(fp, f.count()/2)
	}
}

// clone returns a copy to try things on.
func (f *fifo) clone() *fifo {
	c := *f
	for i, chunk := range f.chunks {
		if chunk == nil {
			break
		}
		c.chunks[i] = cloneChunk(chunk)
	}
	c.ghosts = ghosts{}
	return &c
}

// cloneChunk copies slots whose uses may be counted meanwhile.
func cloneChunk(from *[chunkSlots]slot) *[chunkSlots]slot {
	to := new([chunkSlots]slot)
	for i := range from {
		f := &from[i]
		to[i] = slot{
			key: f.key, low: f.low, high: f.high, queue: f.queue, live: f.live,
			newer: f.newer, old: f.old, state: atomic.LoadUint32(&f.state),
		}
	}
	return to
}
