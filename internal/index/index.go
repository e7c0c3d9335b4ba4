// Package index remembers which blob answers for which resource, and why.
package index

import (
	"context"
	"errors"
	"iter"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
)

// ErrNotFound is returned for a key that has no entry.
var ErrNotFound = errors.New("no such entry")

// An Entry is what is known of a resource that is stored.
type Entry struct {
	Key        string // ecosystem.Resource.Key
	Ecosystem  string
	URL        string
	Variant    string
	Kind       ecosystem.Kind
	Package    string
	Version    string
	Repository string

	Blob  digest.Digest // what answers for it
	Size  int64         // bytes
	Table digest.Digest // blob with the claims it makes (documents), "" if it makes none

	Type      string              // Content-Type said by the origin
	Validator freshness.Validator // at the origin
	Modified  time.Time           // Last-Modified shown to clients: the origin's, else Stored
	Header    []ecosystem.Setting // fields of the origin's answer that clients get: Resource.Keep
	Origin    string              // URL that it was fetched from at last, without secrets
	Stored    time.Time
	Checked   time.Time     // when the origin last confirmed it
	Lifetime  time.Duration // fresh for that long after Checked

	Evidence ecosystem.Evidence // documents: why it is believed
	Voucher  string             // who stated its digest: key of a document, "url", "" if nobody
	Trust    Trust              // how far that can be believed
}

// Trust grades why the bytes of an entry are believed, strongest first.
type Trust string

// The grades of trust.
const (
	Signed    Trust = "signed"    // chain of digests ends in a signature by a known key
	Stated    Trust = "stated"    // chain of digests ends in a document fetched over TLS, or in the URL
	Transport Trust = "transport" // nobody states a digest; fetched over TLS
	Unvouched Trust = "unvouched" // nobody states a digest; fetched over plain HTTP, or signed by an unknown key
)

// An Index remembers which blob answers for which resource. Implementations are safe for
// concurrent use. Reads of an entry that was put return it whole, or the one before it.
type Index interface {
	// Entry returns the entry of a key, or ErrNotFound.
	Entry(ctx context.Context, key string) (Entry, error)
	// Put stores entries in one transaction, each replacing the one of the same key.
	Put(ctx context.Context, entries ...Entry) error
	// Touch notes that the origin confirmed the entry; no error if there is none.
	Touch(ctx context.Context, key string, checked time.Time, lifetime time.Duration) error
	// Delete removes entries; absent ones are no error.
	Delete(ctx context.Context, keys ...string) error
	// Vouchers returns the documents of an ecosystem under a repository root that make
	// claims (Table is set), last stored first.
	Vouchers(ctx context.Context, ecosystem, repository string) ([]Entry, error)
	// All yields every entry, ordered by key.
	All(ctx context.Context) iter.Seq2[Entry, error]
}
