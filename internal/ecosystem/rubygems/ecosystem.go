package rubygems

import (
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "rubygems"

// Floors: how long a document counts as fresh whatever its origin says. That of an info
// file is shorter, so that it is seldom older than the list that sends clients to it.
const (
	listFloor = 2 * time.Minute
	infoFloor = 30 * time.Second
	specFloor = 24 * time.Hour // the gemspec of a version never changes
)

// The hosts of the public server: one has the website and the gems, the other the index.
const (
	publicSite  = "rubygems.org"
	publicIndex = "index.rubygems.org"
)

// Options say which private servers there are. The zero value is good for the public one.
type Options struct {
	// Hosts are further servers: a host, or a host and the path that the server lies under
	// ("nexus.example/repository/gems").
	Hosts []string
	// Legacy lets clients have the index without checksums too. Gems are verified all the same.
	Legacy bool
}

// An Ecosystem translates the protocol of gem servers. Create it with New.
type Ecosystem struct {
	servers site.List
	legacy  bool
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public server and those of o.
func New(o Options) *Ecosystem {
	return &Ecosystem{legacy: o.Legacy, servers: site.New(append([]string{publicSite, publicIndex}, o.Hosts...)...)}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:  Name,
		Title: "RubyGems (Bundler, gem)",
		Hosts: e.servers.Hosts(),
		Mounts: []ecosystem.Mount{
			{Path: "/gems/-/{host}/", Origin: "https://{host}/"}, // no server has a folder of that name
			{Path: "/gems/", Origin: "https://" + publicSite + "/"},
		},
		Env: []ecosystem.Setting{
			// A certificate in a configuration file would replace what Ruby trusts; the
			// variable goes before it.
			{Name: "BUNDLE_SSL_CA_CERT", Value: "{dir}/ca.pem"},
		},
		First:    "/gems/info/rake",
		Verified: "gems by the SHA-256 in the info file of their server, whatever index the client read; info files by TLS",
		Clients:  []string{"Bundler 2.3, 4.0", "gem 3.3"},
		Unsupported: []string{
			"the index without checksums (specs.4.8.gz, dependency API), which gem fetch, gem search and gem update read, is refused unless rubygems.legacy is set",
			"publishing, yanking, searching the site and logging in are passed through, never stored",
			"servers that are not configured are not recognised",
		},
	}
}
