package conda

import (
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "conda"

// floor is how long repodata counts as fresh whatever its origin says: it is large, and
// public channels are published a few times an hour.
const floor = 5 * time.Minute

// Options say which private channels there are. The zero value is good for public ones.
type Options struct {
	Hosts []string // "host" or "host/path"; channels are recognised without this
}

// An Ecosystem translates the layout of Conda channels. Create it with New.
type Ecosystem struct{ sites site.List }

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for public channels and those of o.
func New(o Options) *Ecosystem {
	public := []string{"conda.anaconda.org", "repo.anaconda.com", "prefix.dev", "repo.prefix.dev", "conda.modular.com"}
	return &Ecosystem{sites: site.New(append(public, o.Hosts...)...)}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	hosts := e.sites.Hosts()
	return ecosystem.Profile{
		Name:   Name,
		Title:  "Conda (conda, mamba, pixi)",
		Hosts:  hosts,
		Mounts: []ecosystem.Mount{{Path: "/conda/", Origin: "https://" + hosts[0] + "/"}},
		Env: []ecosystem.Setting{
			{Name: "CONDA_SSL_VERIFY", Value: "{dir}/ca.pem"},
			{Name: "MAMBA_SSL_VERIFY", Value: "{dir}/ca.pem"},
		},
		Verified: "packages by the SHA-256 that repodata states; repodata by TLS",
		Unsupported: []string{
			"sharded repodata and jlap are passed through, not stored",
			"channels whose repodata names another place for packages (base_url) are read past the native endpoint",
		},
	}
}
