package sqlite

import (
	"fmt"
	"sync"

	"sutler/internal/receipt"
)

const (
	// group is how many lines are written at once rather than a second later.
	group = 1000
	// maxLines is how many lines are kept in memory: about 40 MB of them.
	maxLines = 64 * group
	// lostBuilds is for how many builds lost lines are counted.
	lostBuilds = 1000
)

// A buffer keeps lines until they are written. Its methods are safe for concurrent use.
//
// Back-pressure: lines come at most as fast as answers go out, and are written about as
// fast as the disk takes them, so the buffer is nearly empty, always. If the disk is so
// slow that it fills up, whoever adds a line waits for room; that is after the answer was
// sent. If the disk takes nothing (the last write failed), waiting would stop all builds
// for the sake of their receipts: then lines that find no room are lost, and counted,
// and the receipt of each build says so as soon as it can be written.
type buffer struct {
	capacity int           // how many lines are kept at most
	wake     chan struct{} // holds an element when there are lines
	full     chan struct{} // holds an element when there is a group of them

	mu      sync.Mutex
	room    *sync.Cond // on mu: lines were written, or could not be
	waiting []receipt.Line
	writing int  // lines that were taken and not yet settled
	failing bool // the last write failed
	closed  bool
	lost    map[string]*receipt.Line // by build: a line that says so
	losses  map[string]int64         // by build: how many
	total   int64                    // lost since the beginning
}

func newBuffer() *buffer {
	b := &buffer{
		capacity: maxLines,
		wake:     make(chan struct{}, 1), full: make(chan struct{}, 1),
		lost: map[string]*receipt.Line{}, losses: map[string]int64{},
	}
	b.room = sync.NewCond(&b.mu)
	return b
}

// add keeps a line.
func (b *buffer) add(l receipt.Line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waiting)+b.writing >= b.capacity && !b.failing && !b.closed {
		b.room.Wait()
	}
	if b.closed || len(b.waiting)+b.writing >= b.capacity {
		b.lose(l)
		return
	}
	b.waiting = append(b.waiting, l)
	signal(b.wake)
	if len(b.waiting) >= group {
		signal(b.full)
	}
}

// lose counts a line that finds no room.
func (b *buffer) lose(l receipt.Line) {
	b.total++
	if b.lost[l.Build] == nil && len(b.lost) >= lostBuilds {
		return
	}
	b.losses[l.Build]++
	b.lost[l.Build] = &receipt.Line{Build: l.Build, At: l.At, Outcome: "error"}
}

// take returns the lines to write, with those that tell of losses. The caller settles it.
func (b *buffer) take() batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := batch{lines: b.waiting, losses: b.losses}
	for id, l := range b.lost {
		l.Error = fmt.Sprintf("%d lines of this receipt were lost: the database could not be written", b.losses[id])
		t.notes = append(t.notes, *l)
	}
	b.waiting, b.writing = nil, len(t.lines)
	b.lost, b.losses = map[string]*receipt.Line{}, map[string]int64{}
	return t
}

// A batch is lines on their way to the database.
type batch struct {
	lines  []receipt.Line
	notes  []receipt.Line // of lost lines, one per build
	losses map[string]int64
}

// settle ends what take began. What could not be written comes back before the rest.
func (b *buffer) settle(t batch, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writing = 0
	b.failing = err != nil
	if err != nil {
		b.waiting = append(t.lines, b.waiting...)
		for i, l := range t.notes {
			if b.lost[l.Build] == nil {
				b.lost[l.Build] = &t.notes[i]
			}
			b.losses[l.Build] += t.losses[l.Build]
		}
		signal(b.wake)
	}
	b.room.Broadcast()
}

// close lets nobody in any more.
func (b *buffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.room.Broadcast()
}

// lostLines returns how many lines were lost since the beginning.
func (b *buffer) lostLines() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// signal puts an element into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
