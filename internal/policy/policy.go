// Package policy turns rules into verdicts. It is pure: what it says depends only on
// what it is given.
package policy

import (
	"errors"
	"fmt"

	"sutler/internal/ecosystem"
)

// ErrRefused is what a refusal is: errors.Is(err, ErrRefused).
var ErrRefused = errors.New("refused by policy")

// A RefusedError is a verdict against a request. It names the rule, so that whoever reads
// it knows what to change.
type RefusedError struct {
	Rule    string // name of the rule: a key of the configuration
	Subject string // URL or host
	Reason  string
}

// Error says what was refused, why, and by which rule.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: %s (rule %s)", e.Subject, e.Reason, e.Rule)
}

// Is makes every RefusedError an ErrRefused.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

// Rules are what the configuration says. The zero value admits everything.
type Rules struct {
	// Strict refuses what nobody vouches for, and hosts that are not intercepted.
	Strict bool
	// RefuseUnknown refuses hosts that no ecosystem knows, instead of tunnelling them.
	RefuseUnknown bool
}

// Terms are what one build asked for on top of the rules.
type Terms struct {
	Strict  bool // as Rules.Strict
	Offline bool // reach nothing: what is not stored is an error
}

// For returns the rules for a build with these terms.
func (r Rules) For(t Terms) Rules {
	r.Strict = r.Strict || t.Strict
	return r
}

// Host says whether a host that no ecosystem knows may be reached through a tunnel.
func (r Rules) Host(host string) error {
	if r.RefuseUnknown || r.Strict {
		return &RefusedError{Rule: r.hostRule(), Subject: host,
			Reason: "the host is neither of a known ecosystem nor configured under [intercept] hosts"}
	}
	return nil
}

func (r Rules) hostRule() string {
	if r.RefuseUnknown {
		return "policy.unknown_hosts"
	}
	return "policy.strict"
}

// Trust says whether a resource may be kept and served that nobody vouches for:
// its digest is stated by no document, or its signature by no known key.
func (r Rules) Trust(res ecosystem.Resource, why string) error {
	if !r.Strict {
		return nil
	}
	return &RefusedError{Rule: "policy.strict", Subject: res.URL, Reason: "unverified: " + why}
}
