package pypi

import (
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "pypi"

// pageFloor is how long a page counts as fresh whatever its index says. The public one says
// ten minutes; the floor only matters for those that say nothing.
const pageFloor = 2 * time.Minute

// clientAge is how long clients may use a page without asking, in seconds: pip 25.1 and newer
// keep to it, so a page that was withdrawn or filtered must not live long with them.
const clientAge = "max-age=60"

// Options say which private indexes there are. The zero value is good for the public ones.
type Options struct {
	// Hosts are further indexes: a host, or a host and the path under which project pages
	// lie ("nexus.example/repository/pypi/simple"); without a path it is /simple/.
	Hosts []string
}

// An Ecosystem translates the simple repository API. Create it with New.
type Ecosystem struct {
	roots []root
	hosts []string // of indexes that were configured
}

// A root is where an index has its project pages.
type root struct {
	host  string
	path  string // begins and ends with a slash
	files string // host that has its files, "" if its own
	// public marks an index on a host of its own: all else there is none of a cache's business.
	public bool
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public indexes and those of o.
func New(o Options) *Ecosystem {
	e := &Ecosystem{roots: publicRoots()}
	for _, h := range o.Hosts {
		host, path, _ := strings.Cut(h, "/")
		host = strings.ToLower(host)
		if path = strings.Trim(path, "/"); path == "" {
			path = "simple"
		}
		e.roots = append(e.roots, root{host: host, path: "/" + path + "/"})
		e.hosts = append(e.hosts, host)
	}
	return e
}

// publicRoots are the indexes that clients ask without being configured for them, and one
// that the instructions of a widely used library name.
func publicRoots() []root {
	return []root{
		{"pypi.org", "/simple/", "files.pythonhosted.org", true},
		{"test.pypi.org", "/simple/", "test-files.pythonhosted.org", true},
		{"download.pytorch.org", "/whl/", "download-r2.pytorch.org", true},
	}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	p := ecosystem.Profile{
		Name:  Name,
		Title: "PyPI (pip, uv, poetry, pdm)",
		// No Env: the variables for CA bundles that pip, poetry and uv read are those of many clients.
		First:    "/pypi/simple/six/",
		Verified: "wheels, source archives and metadata files by the digests that the project page states; pages by TLS",
		Clients:  []string{"pip 23.0, 25.1, 26.2", "poetry 2.3"},
		Unsupported: []string{
			"uploads, searches and the list of all projects are passed through, never stored",
			"attestations and OpenPGP signatures are not verified",
			"indexes that sutler neither knows nor is told of are recognised by /simple/ in their paths",
		},
	}
	public := publicRoots()
	for _, r := range public {
		p.Hosts = append(p.Hosts, r.host, r.files)
	}
	for _, h := range e.hosts {
		if !p.Owns(h) {
			p.Hosts = append(p.Hosts, h)
		}
	}
	// The last one comes last although it covers the second: links are mapped by the first
	// mount that covers them.
	p.Mounts = []ecosystem.Mount{
		{Path: "/pypi/files/", Origin: "https://" + public[0].files + "/"},
		{Path: "/pypi/host/{host}/", Origin: "https://{host}/"},
		{Path: "/pypi/", Origin: "https://" + public[0].host + "/"},
	}
	return p
}
