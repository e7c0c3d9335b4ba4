package engine

import (
	"errors"
	"fmt"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

var (
	// ErrTooDeep means that documents vouch for each other, in a circle or in a longer
	// chain than any ecosystem has.
	ErrTooDeep = errors.New("chain of vouching documents has no end")
	// ErrTooLarge means that a body is larger than was promised, or than sutler accepts.
	ErrTooLarge = errors.New("body too large")
	// ErrRolledBack means that the origin offers an older signed document than it did
	// before, or one that is not signed any more.
	ErrRolledBack = errors.New("origin went back behind a signed document")
	// errPrivate ends a flight whose body only the client that asked may have.
	errPrivate = errors.New("origin forbids sharing the answer")
)

// A MismatchError reports bytes that are not what was promised. It is a digest.ErrMismatch.
type MismatchError struct {
	Resource ecosystem.Resource
	Got      digest.Digest
	Want     digest.Digest
	By       string // who promised Want: a document's URL, "url", or "pin"
	Hint     string // what the user can do; only the command line prints it
}

// Error says which resource, what came, and who promised what.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s: got %s, but %s promises %s", e.Resource.URL, e.Got, e.By, e.Want)
}

// Is makes every MismatchError a digest.ErrMismatch.
func (e *MismatchError) Is(target error) bool { return target == digest.ErrMismatch }
