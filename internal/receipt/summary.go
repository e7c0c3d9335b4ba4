package receipt

import "time"

// Words in lines that a summary depends on. The outcomes are the engine's, the grades of
// trust the index's; this package may import neither.
const (
	tunnel    = "tunnel" // ecosystem of connections that go through unseen
	signed    = "signed"
	stated    = "stated"
	unvouched = "unvouched"
)

// Add counts a line. It is the definition of what the numbers mean; a store may compute
// them otherwise, with the same result.
func (s *Summary) Add(l Line) {
	s.Bytes += l.Bytes
	s.Upstream += l.Upstream
	if l.fromStore() {
		s.FromStore += l.Bytes
	}
	if l.Failed() {
		s.Failed++
	} else if l.Ecosystem == tunnel {
		s.Tunnelled++
	}
	if !l.File() {
		return
	}
	s.Files++
	if l.Outcome == "miss" {
		s.Downloaded++
	}
	switch l.Trust {
	case signed, stated:
		s.Verified++
	case unvouched:
		s.Unvouched++
	}
}

// Absent is the note of lines about what its origin says it does not have: clients look in
// several places, and ask for what may not be there.
const Absent = "not at the origin"

// Failed reports whether the line is about an answer that ended bad, refused or error,
// other than by the origin's word that there is nothing.
func (l Line) Failed() bool {
	return l.Outcome == "bad" || l.Outcome == "refused" || l.Outcome == "error" && l.Note != Absent
}

// File reports whether the line is about a body that the cache knows and the client got:
// no failure, no answer passed through unseen, and not only the head of one.
func (l Line) File() bool {
	return !l.Failed() && l.Error == "" && l.Outcome != "bypass" && l.Ecosystem != tunnel && (l.Bytes > 0 || l.Size == 0)
}

// fromStore reports whether the bytes were in the store when they were asked for. Those
// of an answer that joined another's download were not.
func (l Line) fromStore() bool {
	return l.Outcome == "hit" || l.Outcome == "revalidated" || l.Outcome == "stale"
}

// Finish sets when and how the build ended. Took never is negative, whatever clocks do.
func (b *Build) Finish(at time.Time, exitCode int) {
	b.Ended, b.ExitCode = at, exitCode
	b.Took = max(0, at.Sub(b.Started))
}
