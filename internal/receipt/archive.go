package receipt

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sutler/internal/digest"
)

// An Archive answers questions across builds, and forgets old ones. Its methods are safe
// for concurrent use.
type Archive interface {
	// UsedBy returns the builds that were answered with d, newest first: those that got
	// its bytes, or were told that the copy they have is still it. Of a build that was
	// never begun only the ID is known; these come last.
	UsedBy(ctx context.Context, d digest.Digest) ([]Build, error)
	// Prune forgets the builds that started before a time, ended or not, with their lines,
	// and older lines of builds that were never begun. It returns how many builds it forgot.
	Prune(ctx context.Context, before time.Time) (int, error)
}

// MinPrefix is the least number of digits by which a build can be named.
const MinPrefix = 4

// Last names the build that started last.
const Last = "last"

// An AmbiguousError says that a prefix names more than one build.
type AmbiguousError struct {
	Prefix string
	Builds []Build // newest first; not all, if there are many
}

// Error lists the builds.
func (e *AmbiguousError) Error() string {
	ids := make([]string, len(e.Builds))
	for i, b := range e.Builds {
		ids[i] = fmt.Sprintf("%s (%s, %s)", b.ID, b.Started.UTC().Format(time.DateTime), b.Command)
	}
	return fmt.Sprintf("build %s is ambiguous: %s", e.Prefix, strings.Join(ids, ", "))
}
