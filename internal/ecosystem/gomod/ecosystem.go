package gomod

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"sutler/internal/ecosystem"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "gomod"

// Floors: how long a document counts as fresh whatever its origin says.
const (
	listFloor = time.Minute          // versions, branches and tree heads move on
	tileFloor = time.Hour            // tiles never change, but only look-ups check them
	everFloor = 365 * 24 * time.Hour // what is said of a version never changes
)

// publicKey is the key of the checksum database that the go command asks.
const publicKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

// Options say which private proxies there are. The zero value is good for the public ones.
type Options struct {
	// Hosts are further proxies: a host, or a host and the path that the proxy lies under
	// ("athens.example", "nexus.example/repository/go"). The files of modules are
	// recognised without this.
	Hosts []string
	// SumDB is the checksum database that vouches for the modules of Hosts. It is asked
	// through the proxy. If zero, nobody vouches: a database learns the names of the
	// modules that it is asked for, also of private ones.
	SumDB Database
}

// A Database is a checksum database whose key is known. The zero value is none.
type Database struct{ key note.Verifier }

// ParseDatabase reads a database as GOSUMDB has it: "name+hash+key", or the name of the
// public one. Of "" it makes none.
func ParseDatabase(s string) (Database, error) {
	public, _, _ := strings.Cut(publicKey, "+")
	switch s {
	case "":
		return Database{}, nil
	case public:
		s = publicKey
	}
	v, err := note.NewVerifier(s)
	if err != nil {
		return Database{}, fmt.Errorf("checksum database %q: %w; write name+hash+key, as in GOSUMDB", s, err)
	}
	if v.Name() == public && s != publicKey {
		return Database{}, fmt.Errorf("checksum database %q: not the key of %s", s, public)
	}
	return Database{v}, nil
}

// name returns the name of the database, "" for none.
func (d Database) name() string {
	if d.key == nil {
		return ""
	}
	return d.key.Name()
}

// An Ecosystem translates the protocols of module proxies and checksum databases. Create
// it with New.
type Ecosystem struct {
	proxies   []proxy
	hosts     []string                 // of proxies that were configured
	databases map[string]note.Verifier // by name
	sites     map[string]string        // hosts of databases, and the name of each
}

// A proxy is a host, the path with a slash at its end under which modules lie, and the name
// of the database that vouches for them, "" for none.
type proxy struct{ host, path, database string }

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public proxies and those of o.
func New(o Options) *Ecosystem {
	public, _ := ParseDatabase(publicKey) // TestPublicKey checks that it is one
	e := &Ecosystem{databases: map[string]note.Verifier{public.name(): public.key}, sites: map[string]string{}}
	for _, h := range publicDatabases() {
		e.sites[h] = public.name()
	}
	for _, h := range publicProxies() {
		e.proxies = append(e.proxies, proxy{h, "/", public.name()})
	}
	if o.SumDB.key != nil {
		e.databases[o.SumDB.name()] = o.SumDB.key
	}
	for _, h := range o.Hosts {
		host, path, _ := strings.Cut(h, "/")
		if path = strings.Trim(path, "/"); path != "" {
			path += "/"
		}
		e.proxies = append(e.proxies, proxy{strings.ToLower(host), "/" + path, o.SumDB.name()})
		e.hosts = append(e.hosts, strings.ToLower(host))
	}
	return e
}

// publicProxies are the proxies of public modules.
func publicProxies() []string { return []string{"proxy.golang.org", "goproxy.io", "goproxy.cn"} }

// publicDatabases are the hosts of the public checksum database.
func publicDatabases() []string { return []string{"sum.golang.org", "sum.golang.google.cn"} }

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:   Name,
		Title:  "Go modules",
		Hosts:  slices.Concat(publicProxies(), publicDatabases(), e.hosts),
		Mounts: []ecosystem.Mount{{Path: "/go/", Origin: "https://" + publicProxies()[0] + "/"}},
		// Env is empty: the go command heeds the proxy variables and SSL_CERT_FILE, and
		// GOPROXY, GOPRIVATE and GONOSUMDB are the user's decisions.
		Clients:  []string{"go 1.19", "go 1.26"},
		First:    "/go/golang.org/x/mod/@v/list",
		Verified: ".zip and .mod by the h1 hashes of the checksum database, whose signature and proof of inclusion are checked; files of private proxies are pinned to the first download",
		Unsupported: []string{
			"modules fetched from version control (GOPROXY=direct, GOPRIVATE) go past the cache",
			"the field Disable-Module-Fetch is not passed on",
			"list, @latest and .info are covered by no hash; TLS vouches for them",
		},
	}
}
