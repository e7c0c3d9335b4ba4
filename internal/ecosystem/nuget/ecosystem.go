package nuget

import (
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "nuget"

// Floors: how long a document counts as fresh whatever its origin says.
const (
	listFloor    = 2 * time.Minute
	catalogFloor = 24 * time.Hour // leaves are written once
)

// Options say which private feeds there are. The zero value is good for the public one.
type Options struct {
	Hosts []string // "host" or "host/path" of the folder with index.json; packages are recognised without this
}

// An Ecosystem translates the NuGet protocol. Create it with New.
type Ecosystem struct{ sites site.List }

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public feed and those of o.
func New(o Options) *Ecosystem {
	return &Ecosystem{sites: site.New(append([]string{"api.nuget.org"}, o.Hosts...)...)}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	hosts := e.sites.Hosts()
	return ecosystem.Profile{
		Name:     Name,
		Title:    "NuGet (dotnet)",
		Hosts:    hosts,
		Mounts:   []ecosystem.Mount{{Path: "/nuget/", Origin: "https://" + hosts[0] + "/"}},
		First:    "/nuget/v3/index.json",
		Verified: "packages of the public feed by the SHA-512 in its catalog, which TLS vouches for; others by nothing, and pinned to the first download",
		Unsupported: []string{
			"searches, vulnerabilities and feeds of version 2 are passed through",
			"signatures inside packages are left to clients",
		},
	}
}
