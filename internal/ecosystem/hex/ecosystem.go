package hex

import (
	"crypto/rsa"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "hex"

// floor is how long a document counts as fresh whatever its origin says.
const floor = 2 * time.Minute

// Options say which private repositories there are. The zero value is good for the public one.
type Options struct {
	Hosts []string // "host" or "host/path"
}

// An Ecosystem translates the Hex protocol. Create it with New.
type Ecosystem struct {
	sites site.List
	key   *rsa.PublicKey // of the public repository
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public repository and those of o.
func New(o Options) *Ecosystem {
	public := []string{"repo.hex.pm", "builds.hex.pm"}
	return &Ecosystem{sites: site.New(append(public, o.Hosts...)...), key: publicKey()}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	hosts := e.sites.Hosts()
	return ecosystem.Profile{
		Name:     Name,
		Title:    "Hex (Erlang, Elixir, Gleam)",
		Hosts:    hosts,
		Mounts:   []ecosystem.Mount{{Path: "/hex/", Origin: "https://" + hosts[0] + "/"}},
		Env:      []ecosystem.Setting{{Name: "HEX_CACERTS_PATH", Value: "{dir}/ca.pem"}},
		First:    "/hex/packages/jason",
		Verified: "tarballs by the SHA-256 in the package's list of releases; that by the signature of the public repository, elsewhere by TLS",
		Clients:  []string{"rebar3 3.19"},
		Unsupported: []string{
			"rebar3 does not send the name of its build, so receipts lack its requests, and it trusts no CA by a variable: name it in ssl_cacerts_path of its rebar.config",
			"the API on its own host, for publishing and searching, is not intercepted",
			"documentation archives and installers are stored, but not verified",
		},
	}
}
