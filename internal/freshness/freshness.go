// Package freshness decides whether something stored may be served, as pure
// functions of RFC 9111 (HTTP caching) and RFC 5861 (stale-if-error).
package freshness

import "time"

// A Validator identifies one version of a resource at its origin (RFC 9110, section 8.8).
// The zero Validator makes a request unconditional.
type Validator struct {
	ETag         string // as sent by the origin, with quotes and W/ prefix
	LastModified string // as sent by the origin
}

// None reports whether v identifies nothing.
func (v Validator) None() bool { return v == Validator{} }

// An Action is what to do about a request.
type Action int

// The actions, from the cheapest on.
const (
	Serve      Action = iota // what is stored is fresh
	Revalidate               // ask the origin whether what is stored is still current
	Fetch                    // nothing is stored
)

// A State is what is known of a stored resource.
type State struct {
	Stored    bool
	Immutable bool          // never goes stale: artifacts, resources named by their digest
	Checked   time.Time     // when the origin last confirmed it
	Lifetime  time.Duration // how long it is fresh from then on
	Grace     time.Duration // how long after that it may stand in for a failing origin
}

// Decide returns what to do at the time now. A clock that went back more than a
// minute behind Checked makes the state stale rather than fresh for ever.
func (s State) Decide(now time.Time) Action {
	switch {
	case !s.Stored:
		return Fetch
	case s.Immutable:
		return Serve
	case now.Before(s.Checked.Add(-time.Minute)):
		return Revalidate
	case now.Before(s.Checked.Add(s.Lifetime)):
		return Serve
	}
	return Revalidate
}

// Usable reports whether what is stored may be served although the origin could not be asked.
func (s State) Usable(now time.Time) bool {
	return s.Stored && (s.Immutable || now.Before(s.Checked.Add(s.Lifetime+s.Grace)))
}
