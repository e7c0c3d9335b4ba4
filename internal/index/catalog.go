package index

import (
	"context"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// A Catalog answers questions about all entries of an index: for the collection of
// garbage and for people. Methods may read the whole index. Safe for concurrent use.
type Catalog interface {
	// DropBlob deletes every entry that refers to d, as its Blob or its Table, in one
	// transaction, and returns how many there were.
	DropBlob(ctx context.Context, d digest.Digest) (int, error)
	// Refers reports whether an entry refers to d, as its Blob or its Table.
	Refers(ctx context.Context, d digest.Digest) (bool, error)
	// Usage adds up the entries of each ecosystem and kind, ordered by these.
	Usage(ctx context.Context) ([]Usage, error)
	// List returns the entries that match q, ordered by key, at most q.Limit.
	List(ctx context.Context, q Query) ([]Entry, error)
}

// A Usage adds up entries of one ecosystem and kind.
type Usage struct {
	Ecosystem string
	Kind      ecosystem.Kind
	Entries   int64
	Bytes     int64 // sum of Entry.Size: a blob that answers for two resources counts twice
}

// A Query selects entries. The zero Query selects all.
type Query struct {
	Ecosystem string // "" for all
	Match     string // part of the URL or of the package name; A to Z are like a to z
	Limit     int    // at most that many; 0 for no limit
}

// Matches reports whether q selects e, apart from the limit.
func (q Query) Matches(e Entry) bool {
	if q.Ecosystem != "" && q.Ecosystem != e.Ecosystem {
		return false
	}
	m := lowerASCII(q.Match)
	return strings.Contains(lowerASCII(e.URL), m) || strings.Contains(lowerASCII(e.Package), m)
}

// lowerASCII lowers A to Z only, as SQL's LIKE does, so that all indexes agree.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
