package pub

import (
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "pub"

// floor is how long a list of versions counts as fresh whatever its origin says.
const floor = 2 * time.Minute

// mediaType is how clients ask for version 2 of the protocol.
const mediaType = "application/vnd.pub.v2+json"

// Options say which private repositories there are. The zero value is good for public ones.
type Options struct {
	Hosts []string // "host" or "host/path"
}

// An Ecosystem translates the protocol of package repositories. Create it with New.
type Ecosystem struct{ sites site.List }

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for public repositories and those of o.
func New(o Options) *Ecosystem {
	public := []string{"pub.dev", "pub.dartlang.org", "pub.flutter-io.cn"}
	return &Ecosystem{sites: site.New(append(public, o.Hosts...)...)}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	hosts := e.sites.Hosts()
	return ecosystem.Profile{
		Name:     Name,
		Title:    "pub (Dart, Flutter)",
		Hosts:    hosts,
		Mounts:   []ecosystem.Mount{{Path: "/pub/", Origin: "https://" + hosts[0] + "/"}},
		First:    "/pub/api/packages/path",
		Verified: "archives by the SHA-256 in the list of versions; that by TLS",
		Unsupported: []string{
			"Dart has no variable for a CA: it must be among the system's, or the native endpoint be used",
			"at the native endpoint lock files name the endpoint",
		},
	}
}
