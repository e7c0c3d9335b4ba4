package cargo

import (
	"slices"
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "cargo"

// Floors: how long a document counts as fresh whatever its origin says.
const (
	indexFloor  = time.Minute
	configFloor = 10 * time.Minute // changes when a registry moves
)

// The hosts of the public registry.
const (
	publicIndex     = "index.crates.io"
	publicDownloads = "static.crates.io"
	publicSite      = "crates.io"
)

// Options say which private registries there are. The zero value is good for the public one.
type Options struct {
	// Hosts are further registries: the host of the index, or the host and the path that
	// the index lies under ("crates.example/index"), and hosts that only crates come from.
	Hosts []string
}

// An Ecosystem translates the sparse registry protocol. Create it with New.
type Ecosystem struct {
	private []place // of registries that were configured
}

// A place is a host and the path, with a slash at both ends, under which an index lies.
type place struct{ host, path string }

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public registry and those of o.
func New(o Options) *Ecosystem {
	e := &Ecosystem{}
	for _, h := range o.Hosts {
		host, path, _ := strings.Cut(h, "/")
		if path = strings.Trim(path, "/"); path != "" {
			path += "/"
		}
		e.private = append(e.private, place{strings.ToLower(host), "/" + path})
	}
	return e
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	hosts := []string{publicIndex, publicDownloads, publicSite}
	for _, p := range e.private {
		if host, _, _ := strings.Cut(p.host, ":"); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return ecosystem.Profile{
		Name:  Name,
		Title: "cargo (Rust crates)",
		Hosts: hosts,
		// No prefix of an index is a single dash.
		Mounts: []ecosystem.Mount{
			{Path: "/cargo/-/{host}/", Origin: "https://{host}/"},
			{Path: "/cargo/", Origin: "https://" + publicIndex + "/"},
		},
		Env: []ecosystem.Setting{
			// cargo 1.68 and 1.69 read the index from git unless told otherwise.
			{Name: "CARGO_REGISTRIES_CRATES_IO_PROTOCOL", Value: "sparse"},
		},
		First:    "/cargo/config.json",
		Verified: "crates by the SHA-256 in the index file of their registry; index files by TLS",
		Clients:  []string{"cargo 1.96"},
		Unsupported: []string{
			"indexes in git (cargo before 1.68) and git dependencies are passed through, not stored",
			"publishing, yanking, searching and logging in are passed through, never stored",
			"crates at URLs without their name and version are plain downloads",
		},
	}
}
