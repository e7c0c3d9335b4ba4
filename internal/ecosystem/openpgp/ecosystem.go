package openpgp

import (
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "openpgp"

// Floors: how long a key counts as fresh whatever its origin says.
const (
	keyFloor  = 10 * 365 * 24 * time.Hour // for ever, as far as builds go
	nameFloor = 24 * time.Hour            // a name may get another key
)

// Options say which further keyservers there are. The zero value is good for the public ones.
type Options struct {
	// Hosts are further keyservers. Their paths are recognised without this; being here,
	// connections to them are opened.
	Hosts []string
}

// An Ecosystem translates the protocols of keyservers. Create it with New.
type Ecosystem struct{ servers ecosystem.Profile } // only its Hosts

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public keyservers and those of o.
func New(o Options) *Ecosystem {
	e := &Ecosystem{}
	e.servers.Hosts = publicServers()
	for _, h := range o.Hosts {
		host, _, _ := strings.Cut(h, "/")
		e.servers.Hosts = append(e.servers.Hosts, strings.ToLower(host))
	}
	return e
}

// publicServers are those that instructions and Dockerfiles name. The first one answers at
// the native endpoint.
func publicServers() []string {
	return []string{
		"keyserver.ubuntu.com",
		"keys.openpgp.org",
		"pgp.mit.edu",
		"keyring.debian.org",
		"pgpkeys.eu",
		"pgp.surf.nl",
		"keys.mailvelope.com",
		"keys.gnupg.net",
	}
}

// dirmngrFile makes gpg's network daemon heed the proxy's variables and trust the CA.
const dirmngrFile = `# gpg's dirmngr heeds no variables by itself; append this to dirmngr.conf in GNUPGHOME.
honor-http-proxy
hkp-cacert {dir}/ca.pem
`

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:     Name,
		Title:    "OpenPGP keyservers (gpg, curl)",
		Hosts:    append([]string(nil), e.servers.Hosts...),
		Mounts:   []ecosystem.Mount{{Path: "/pks/", Origin: "https://" + publicServers()[0] + "/pks/"}},
		Env:      []ecosystem.Setting{{Name: "SUTLER_DIRMNGR_CONF", Value: "{dir}/dirmngr.conf"}},
		Files:    []ecosystem.File{{Name: "dirmngr.conf", Content: dirmngrFile}},
		Verified: "keys asked for by fingerprint, by that fingerprint; by key id or name, by TLS",
		Clients:  []string{"gpg 2.2", "curl 7.88"},
		Unsupported: []string{
			"searches, indexes, short key ids and submissions are passed through, never stored",
			"a key is never fetched again unless it is purged: revocations and new expiry dates show only then",
			"gpg heeds no proxy variable: append $SUTLER_DIRMNGR_CONF to its dirmngr.conf, or name the native endpoint as keyserver",
		},
	}
}
