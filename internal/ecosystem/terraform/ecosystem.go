package terraform

import (
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "terraform"

// Floors: how long a document counts as fresh whatever its origin says.
const (
	listFloor    = 2 * time.Minute
	releaseFloor = time.Hour // what describes one version hardly ever changes
)

// The public hosts.
const (
	registryHost = "registry.terraform.io"
	openHost     = "registry.opentofu.org"
	releaseHost  = "releases.hashicorp.com" // releases of the registry's own maker
	codeHost     = "github.com"             // all others
)

// Options say which private registries there are. The zero value is good for public ones.
type Options struct {
	Hosts []string // providers are recognised without this
}

// An Ecosystem translates the registry protocol. Create it with New.
type Ecosystem struct{ sites site.List }

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public registries and those of o.
func New(o Options) *Ecosystem {
	return &Ecosystem{sites: site.New(append([]string{registryHost, openHost}, o.Hosts...)...)}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:     Name,
		Title:    "Terraform, OpenTofu (providers)",
		Clients:  []string{"Terraform 1.11 (where it is installed)"},
		Hosts:    append(e.sites.Hosts(), releaseHost, codeHost),
		Verified: "provider archives by the digest that the registry states, or the list beside them; both by TLS",
		Unsupported: []string{
			"there is no native endpoint: clients ask for the registry's host by name, over HTTPS only",
			"where modules lie is passed through; they are fetched from there",
			"signatures of the lists of digests are left to clients",
		},
	}
}
