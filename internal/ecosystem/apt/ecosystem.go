package apt

import (
	"sutler/internal/ecosystem"
	"sutler/internal/pgp"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "apt"

// Options configure the ecosystem.
type Options struct {
	// Keyrings are OpenPGP keyrings, binary or armored, as files in /etc/apt/keyrings are.
	// A signature by any key in them counts, whatever repository it is for. What
	// pgp.Check refuses adds no keys.
	Keyrings [][]byte
}

// An Ecosystem translates the protocol of Debian repositories. Create it with New.
type Ecosystem struct {
	keys  pgp.Keyring
	hosts hostSet
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem.
func New(o Options) *Ecosystem {
	return &Ecosystem{keys: pgp.New(o.Keyrings), hosts: newHostSet(publicHosts())}
}

// configuration makes apt trust the local authority. It is read before the files of
// /etc/apt, so that what a user configured there wins. apt takes proxies from http_proxy
// and https_proxy (in lower case only) by itself.
const configuration = `// apt trusts the authority of the cache, beside the public ones.
Acquire::https::CaInfo "{dir}/ca.pem";
`

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:     Name,
		Title:    "apt (Debian, Ubuntu and third parties)",
		Hosts:    publicHosts(),
		Mounts:   []ecosystem.Mount{{Path: "/apt/{host}/", Origin: "http://{host}/"}},
		Env:      []ecosystem.Setting{{Name: "APT_CONFIG", Value: "{dir}/apt.conf"}},
		Files:    []ecosystem.File{{Name: "apt.conf", Content: configuration}},
		First:    "/apt/" + publicHosts()[0] + "/debian/dists/stable/InRelease",
		Verified: "OpenPGP signature of the release → SHA-256 of its indexes → SHA-256 of packages and sources",
		Clients:  []string{"apt-get 2.6", "debootstrap"},
		Unsupported: []string{
			"a release signed by no known key is served as unvouched, and refused under strict policy",
			"repositories that ask for a client certificate are tunnelled",
			"flat repositories whose packages lie outside of the folder of their index are served as unvouched",
			"changelogs are passed on unverified: nobody states their digests",
		},
	}
}
