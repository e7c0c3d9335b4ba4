package apk

import (
	"slices"
	"strings"

	"sutler/internal/ecosystem"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "apk"

// Options configure the ecosystem. The zero value is good for Alpine itself.
type Options struct {
	// Keys are further public keys, by the name of their file in /etc/apk/keys. A signature
	// by any of them counts, whatever repository it is for. What CheckKey refuses adds none.
	Keys []Key
	// Hosts are further hosts of repositories: "host" or "host/path". Indexes, and packages
	// that are named as Alpine names them, are recognised without this.
	Hosts []string
}

// An Ecosystem translates the protocol of apk repositories. Create it with New.
type Ecosystem struct {
	keys  keyring
	hosts []string // "host" or "host/path/"
	names []string // of the hosts that were configured
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem.
func New(o Options) *Ecosystem {
	e := &Ecosystem{keys: newKeyring(append(publicKeys(), o.Keys...)), hosts: publicHosts()}
	for _, h := range o.Hosts {
		host, path, _ := strings.Cut(strings.TrimRight(h, "/"), "/")
		host = strings.ToLower(host)
		if !slices.Contains(e.names, host) {
			e.names = append(e.names, host)
		}
		if path != "" {
			host += "/" + path + "/"
		}
		e.hosts = append(e.hosts, host)
	}
	return e
}

// publicHosts are the mirrors that Alpine runs itself, and other distributions that use apk.
func publicHosts() []string {
	return []string{
		"dl-cdn.alpinelinux.org", "dl-2.alpinelinux.org", "dl-3.alpinelinux.org", "dl-4.alpinelinux.org", "dl-5.alpinelinux.org",
		"dl-master.alpinelinux.org", "uk.alpinelinux.org", "nl.alpinelinux.org",
		"packages.wolfi.dev", "packages.cgr.dev", "apk.cgr.dev",
		"mirror.postmarketos.org", "downloads.openwrt.org",
	}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:     Name,
		Title:    "apk (Alpine, Wolfi, OpenWrt)",
		Hosts:    append(publicHosts(), e.names...),
		Mounts:   []ecosystem.Mount{{Path: "/apk/{host}/", Origin: "http://{host}/"}},
		First:    "/apk/" + publicHosts()[0] + "/alpine/latest-stable/main/x86_64/APKINDEX.tar.gz",
		Verified: "signature of the index → digest of a package's control member (its SHA-1, looked through for collisions) or tree → SHA-256 of its data",
		Unsupported: []string{
			"an index signed by no known key counts as vouched for by TLS; over plain HTTP it is unvouched, and refused under strict policy",
			"packages of the first version of the format, which state no digest of their data, are refused",
			"packages of an index of version 3 that names them by a pattern of its own are unvouched",
		},
	}
}
