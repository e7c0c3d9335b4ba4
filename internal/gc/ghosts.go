package gc

import "math/bits"

// ways is how many fingerprints share a bucket.
const ways = 4

// A ghost is the fingerprint of an evicted blob and when it was evicted, counted in
// evictions. The zero ghost is none.
type ghost struct{ fp, at uint32 }

// ghosts remembers the fingerprints of blobs evicted lately. A fingerprint is wrongly
// found about once in four thousand at a million ghosts; that costs nothing but a place in
// the main queue.
type ghosts struct {
	buckets [][ways]ghost
	clock   uint32
}

// bucket returns where fp belongs.
func (g *ghosts) bucket(fp uint32) *[ways]ghost {
	hi, _ := bits.Mul64(uint64(fp)<<32, uint64(len(g.buckets)))
	return &g.buckets[hi]
}

// put remembers fp, among about want others.
func (g *ghosts) put(fp uint32, want int) {
	if want > len(g.buckets)*ways {
		g.grow(want/ways*5/4 + 64)
	}
	if len(g.buckets) == 0 {
		return
	}
	g.clock++
	g.store(ghost{fp, g.clock})
}

// store puts e in its bucket, in place of the oldest there.
func (g *ghosts) store(e ghost) {
	b := g.bucket(e.fp)
	oldest := 0
	for i := range b {
		if b[i].fp == e.fp || b[i] == (ghost{}) {
			oldest = i
			break
		}
		if e.at-b[i].at > e.at-b[oldest].at {
			oldest = i
		}
	}
	b[oldest] = e
}

// grow makes n buckets of them.
func (g *ghosts) grow(n int) {
	old := g.buckets
	g.buckets = make([][ways]ghost, n)
	for i := range old {
		for _, e := range old[i] {
			if e != (ghost{}) {
				g.store(e)
			}
		}
	}
}

// take reports whether fp is remembered, and forgets it.
func (g *ghosts) take(fp uint32) bool {
	if len(g.buckets) == 0 {
		return false
	}
	b := g.bucket(fp)
	for i := range b {
		if b[i].fp == fp && b[i].at != 0 && int(g.clock-b[i].at) < len(g.buckets)*ways {
			b[i] = ghost{}
			return true
		}
	}
	return false
}
