// Package config reads the configuration: defaults, then files, then the environment,
// then flags; the later wins.
//
// An empty configuration works. Every key is one row of the table in keys.go, from which
// the names of variables, the commented file of `config init` and the list of
// `config show` derive. All mistakes are reported at once, each with its place and what
// to write instead. Packages get the few values they need, not the struct.
package config

import (
	"time"
)

// A Config is every value in force. Sizes are bytes.
type Config struct {
	Listen    []string // host:port of each listener for clients
	ListenAny bool     // allows Listen to name all addresses (0.0.0.0, ::)
	Bridges   bool     // listen on the addresses of container bridges as well
	ACNG      string   // host:port of the listener for old apt settings (port 3142), "" for none
	Socket    string   // path of the control socket
	Steps     string   // folder with what sutler-runc gives to build steps, "" for none

	Store     Store
	Upstream  Upstream
	Policy    Policy
	Apt       Apt
	Apk       Apk
	RubyGems  RubyGems
	Gomod     Gomod
	RPM       RPM
	Hosts     []string // further hosts: "ecosystem=host" or "ecosystem=host/path"
	Intercept Intercept
	Attach    Attach
	DNS       DNS
	Freshness Freshness
	Log       Log

	Credentials []Credential
}

// Store says where bytes and knowledge are kept.
type Store struct {
	Dir         string        // blobs; may be deleted while sutler is stopped
	State       string        // index, receipts, CA
	MaxSize     int64         // of all blobs, bytes; 0 for no limit
	MinFree     int64         // bytes left free on the file system
	VerifyEvery time.Duration // how long the check of a stored blob holds
}

// Upstream says how origins are reached.
type Upstream struct {
	MaxPerHost   int      // connections at once to one host
	Offline      bool     // reach nothing
	Nameservers  []string // addresses that are asked for names of origins, none for the system's
	Proxy        string   // URL of the proxy to go through, "" for none
	CAFile       string   // PEM file with further roots, "" for none
	Mirrors      []string // "https://origin/path/=https://mirror/path/", asked before the origin
	MirrorsOnly  bool     // never ask the origin of what has a mirror
	AllowPrivate []string
	// AllowLoopback lists host:port that may resolve to loopback; AllowPrivate those that
	// may resolve to private addresses.
	AllowLoopback []string
	Netrc         bool // use the credentials of ~/.netrc
	DockerConfig  bool // use the credentials of ~/.docker/config.json
}

// Policy says what is refused.
type Policy struct {
	Strict       bool   // refuse what nobody vouches for
	UnknownHosts string // Tunnel or Refuse
}

// The values of Policy.UnknownHosts.
const (
	Tunnel = "tunnel"
	Refuse = "refuse"
)

// Apt configures the ecosystem of that name.
type Apt struct {
	Keyrings string // directory with further keyrings, "" for none
}

// Apk configures the ecosystem of that name.
type Apk struct {
	Keys string // directory with further public keys, "" for none
}

// RubyGems configures the ecosystem of that name.
type RubyGems struct {
	Legacy bool // lets clients have the index without checksums
}

// Gomod configures the ecosystem of that name.
type Gomod struct {
	SumDB string // checksum database of configured proxies, as in GOSUMDB; "" for none
}

// RPM configures the ecosystem of that name.
type RPM struct {
	Keyrings string // directory with further keyrings, "" for none
}

// Intercept says which TLS connections are opened with the local CA.
type Intercept struct {
	Enabled   bool
	Listen    []string // host:port for connections that DNS or DNAT led here
	Strangers string   // Open or Tunnel: connections led here of clients that are no build steps
	Hosts     []string // besides those of the ecosystems
	Except    []string // never opened
}

// Open is a value of Intercept.Strangers, besides Tunnel.
const Open = "open"

// Attach says what is changed on this machine so that builds reach sutler.
type Attach struct {
	Tools           []string // that `up` attaches; none given: all that are found; "none": none
	Root            string   // folder that stands for "/" in the paths of tools
	DockerRestart   string   // command that restarts docker, "" to find out how
	BuildKitRestart string   // likewise of buildkitd
	DockerRuntime   string   // path of the OCI runtime wrapper, "" for docker's own runtime
}

// Freshness says how old answers may be.
type Freshness struct {
	Grace time.Duration // how long a stale document may stand in for a failing origin
}

// Log says what is written, and how.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // auto, text or json
}

// A Credential is sent with requests whose URL has the prefix, and with no other.
type Credential struct {
	Prefix       string // "https://host/path/"
	User         string // with Password: basic authentication
	Password     Secret
	Token        Secret // bearer authentication
	PasswordFile string // file whose first line is the Password; read by [Load]
}

// A Place says who runs sutler, from which default folders follow.
type Place struct {
	System bool                // by root, for the whole machine
	Getenv func(string) string // looks up HOME and the XDG folders
}

// Default returns the configuration that is in force where nothing is said.
func Default(p Place) Config {
	d := p.folders()
	return Config{
		Listen:  []string{"127.0.0.1:7885"},
		Bridges: true,
		Socket:  d.socket,
		Steps:   d.steps,
		Store: Store{
			Dir: d.cache, State: d.state,
			MaxSize: 20 << 30, MinFree: 5 << 30, VerifyEvery: 24 * time.Hour,
		},
		Upstream:  Upstream{MaxPerHost: 16},
		Policy:    Policy{UnknownHosts: Tunnel},
		Intercept: Intercept{Enabled: true, Strangers: Open},
		Attach:    Attach{Root: "/"},
		DNS:       defaultDNS(),
		Freshness: Freshness{Grace: 7 * 24 * time.Hour},
		Log:       Log{Level: "info", Format: "auto"},
	}
}
