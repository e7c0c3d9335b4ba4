package gc

import "sync/atomic"

// maxUses caps the counter of a blob: more says nothing about what comes next.
const maxUses = 3

// A node is what is known of one blob. Only uses changes while it is in a queue.
type node struct {
	sum   sum
	size  int64
	added int64 // Unix seconds
	uses  atomic.Int32
	main  bool // in the main queue
	gone  bool // removed from the store, but still in a queue
}

// A policy is S3-FIFO (Yang et al., SOSP 2023): new blobs enter a small queue, a tenth of
// the whole. What leaves it unused is evicted, and remembered by name only; what was used
// moves to the main queue, from which it is evicted once it goes round without being used.
// What comes back while its name is remembered enters the main queue at once. A scan of
// things wanted once so never displaces what is wanted often. Sizes are bytes.
type policy struct {
	small, main queue
	ghosts      ghosts
}

// A queue is first in, first out. Removed nodes stay in it until they come to its head.
type queue struct {
	list  []*node
	head  int
	bytes int64
	count int64
}

func (q *queue) push(n *node) {
	q.list = append(q.list, n)
	q.bytes += n.size
	q.count++
}

// pop returns the oldest node, nil if there is none.
func (q *queue) pop() *node {
	for q.head < len(q.list) {
		n := q.list[q.head]
		q.list[q.head] = nil
		q.head++
		if q.head > 1024 && q.head*2 > len(q.list) {
			q.list = append([]*node(nil), q.list[q.head:]...)
			q.head = 0
		}
		if !n.gone {
			q.bytes -= n.size
			q.count--
			return n
		}
	}
	return nil
}

func (p *policy) bytes() int64 { return p.small.bytes + p.main.bytes }
func (p *policy) count() int64 { return p.small.count + p.main.count }

// insert takes a new blob in.
func (p *policy) insert(n *node) {
	n.main = p.ghosts.take(n.sum)
	p.restore(n)
}

// restore puts a blob into the queue that it says it belongs to.
func (p *policy) restore(n *node) {
	if n.main {
		p.main.push(n)
		return
	}
	p.small.push(n)
}

// remove takes a blob out that is gone from the store.
func (p *policy) remove(n *node) {
	if n.gone {
		return
	}
	n.gone = true
	q := &p.small
	if n.main {
		q = &p.main
	}
	q.bytes -= n.size
	q.count--
}

// victim takes the blob out that is missed least. Blobs added after oldest stay. It
// returns nil if there is none.
func (p *policy) victim(oldest int64) *node {
	// Each step either evicts, moves a used blob on or passes over a young one; counters
	// are at most maxUses, so the number of steps is bounded.
	for range (maxUses + 2) * (p.count() + 1) {
		fromSmall := p.main.count == 0 || p.small.count > 0 && p.small.bytes*10 > p.bytes()
		if fromSmall {
			if n := p.fromSmall(oldest); n != nil {
				return n
			}
			continue
		}
		if n := p.fromMain(oldest); n != nil {
			return n
		}
	}
	return nil
}

func (p *policy) fromSmall(oldest int64) *node {
	n := p.small.pop()
	switch {
	case n == nil:
		return nil
	case n.uses.Load() > 0:
		n.uses.Store(0)
		n.main = true
		p.main.push(n)
		return nil
	case n.added > oldest:
		n.main = true // young: it goes round once in the main queue
		p.main.push(n)
		return nil
	}
	n.gone = true
	p.ghosts.add(n.sum, int(p.main.count)+1024)
	return n
}

func (p *policy) fromMain(oldest int64) *node {
	n := p.main.pop()
	if n == nil {
		return nil
	}
	if uses := n.uses.Load(); uses > 0 || n.added > oldest {
		n.uses.Store(max(0, uses-1))
		p.main.push(n)
		return nil
	}
	n.gone = true
	return n
}

// nodes returns all blobs, small queue first, oldest first.
func (p *policy) nodes() []*node {
	out := make([]*node, 0, p.count())
	for _, q := range []*queue{&p.small, &p.main} {
		for _, n := range q.list[q.head:] {
			if !n.gone {
				out = append(out, n)
			}
		}
	}
	return out
}

// ghosts remember what was evicted from the small queue, by the first eight bytes of its
// name: a mistake only keeps something a little longer.
type ghosts struct {
	names map[[8]byte]bool
	order [][8]byte
}

func (g *ghosts) add(s sum, limit int) {
	if g.names == nil {
		g.names = map[[8]byte]bool{}
	}
	name := [8]byte(s[:8])
	if g.names[name] {
		return
	}
	g.names[name] = true
	g.order = append(g.order, name)
	for len(g.order) > limit {
		delete(g.names, g.order[0])
		g.order = g.order[1:]
	}
}

// take reports whether s is remembered, and forgets it.
func (g *ghosts) take(s sum) bool {
	name := [8]byte(s[:8])
	was := g.names[name]
	delete(g.names, name)
	return was
}
