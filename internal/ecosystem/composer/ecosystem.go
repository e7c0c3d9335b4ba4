package composer

import (
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "composer"

// floor is how long metadata counts as fresh whatever its origin says.
const floor = 2 * time.Minute

// codeHost makes the dist archives of public packages.
const codeHost = "api.github.com"

// Options say which private repositories there are. The zero value is good for the public one.
type Options struct {
	Hosts []string // "host" or "host/path"; Composer's requests are recognised without this
}

// An Ecosystem translates the Composer repository protocol. Create it with New.
type Ecosystem struct{ sites site.List }

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public repository and those of o.
func New(o Options) *Ecosystem {
	public := []string{"repo.packagist.org", "packagist.org", codeHost}
	return &Ecosystem{sites: site.New(append(public, o.Hosts...)...)}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	hosts := e.sites.Hosts()
	return ecosystem.Profile{
		Name:     Name,
		Title:    "Composer (PHP)",
		Hosts:    hosts,
		Mounts:   []ecosystem.Mount{{Path: "/composer/", Origin: "https://" + hosts[0] + "/"}},
		Clients:  []string{"composer 2.5"},
		Env:      []ecosystem.Setting{{Name: "COMPOSER_CAFILE", Value: "{dir}/ca.pem"}},
		First:    "/composer/packages.json",
		Verified: "metadata by TLS; dist archives by nothing but their commit, and pinned to the first download",
		Unsupported: []string{
			"at the native endpoint dist archives are fetched from the hosts that the metadata names",
			"dists that a private repository states a SHA-1 of must match it, but count as unvouched",
			"searches, statistics and the notify-batch of installs are passed through",
		},
	}
}
