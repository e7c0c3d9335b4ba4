// Package receipt remembers what each build was served.
package receipt

import (
	"context"
	"errors"
	"time"

	"sutler/internal/digest"
)

// ErrNotFound is returned for a build that is not known.
var ErrNotFound = errors.New("no such receipt")

// A Line says: the build was served the resource with that digest, that outcome,
// vouched for by that document.
type Line struct {
	Build     string        `json:"build"`
	At        time.Time     `json:"at"`
	Ecosystem string        `json:"ecosystem"`
	Method    string        `json:"method"`
	URL       string        `json:"url"` // at the origin, without secrets
	Package   string        `json:"package,omitempty"`
	Version   string        `json:"version,omitempty"`
	Digest    digest.Digest `json:"digest,omitempty"`
	Size      int64         `json:"size"`  // of the resource, bytes
	Bytes     int64         `json:"bytes"` // sent to the client
	Outcome   string        `json:"outcome"`
	Trust     string        `json:"trust,omitempty"`
	Voucher   string        `json:"voucher,omitempty"`
	Signer    string        `json:"signer,omitempty"`
	Upstream  int64         `json:"upstream"` // bytes fetched from upstream for this answer
	Stored    time.Time     `json:"stored,omitzero"`
	Error     string        `json:"error,omitempty"`
	Note      string        `json:"note,omitempty"`
}

// ExitUnknown is the exit code of a step of a plain build: only the engine knows how it ended.
const ExitUnknown = -1

// A Build is one run of `sutler build` or `sutler exec`.
type Build struct {
	ID       string        `json:"id"` // lower-case hexadecimal
	Command  string        `json:"command"`
	Started  time.Time     `json:"started"`
	Ended    time.Time     `json:"ended,omitzero"`
	ExitCode int           `json:"exitCode"`       // ExitUnknown if nobody told
	Took     time.Duration `json:"took,omitempty"` // nanoseconds
}

// A Summary adds up the lines of a build.
type Summary struct {
	Build
	Files      int64 `json:"files"`      // answers with a body that were completed
	Bytes      int64 `json:"bytes"`      // sent to clients
	FromStore  int64 `json:"fromStore"`  // of these bytes, those that came from the store
	Downloaded int64 `json:"downloaded"` // files that were fetched from upstream
	Upstream   int64 `json:"upstream"`   // bytes fetched from upstream
	Verified   int64 `json:"verified"`   // files with trust signed or stated
	Unvouched  int64 `json:"unvouched"`  // files of trust unvouched: nobody states a digest, and the transport proves nothing
	Tunnelled  int64 `json:"tunnelled"`  // connections that went through unseen
	Failed     int64 `json:"failed"`     // answers that ended bad, refused or error, see Line.Failed
}

// A Sink takes lines. Append never blocks on the database: lines are kept in memory and
// written in groups. It is safe for concurrent use.
type Sink interface {
	Append(Line)
}

// A Store keeps receipts. Its methods are safe for concurrent use.
type Store interface {
	Sink
	// Begin notes that a build has started.
	Begin(ctx context.Context, b Build) error
	// End notes how a build ended, and writes all its lines before it returns. It returns
	// ErrNotFound for a build that was not begun; id is no prefix.
	End(ctx context.Context, id string, at time.Time, exitCode int) error
	// Builds returns the newest builds, newest first, at most limit.
	Builds(ctx context.Context, limit int) ([]Summary, error)
	// Build returns one build; id may be a prefix of at least four digits, or "last".
	// It returns ErrNotFound, or an error that lists the builds an id is ambiguous for.
	Build(ctx context.Context, id string) (Summary, error)
	// Lines returns the lines of a build, named as for Build, in the order of time.
	Lines(ctx context.Context, id string) ([]Line, error)
}
