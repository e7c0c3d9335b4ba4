package apk

import (
	"net/url"
	"path"
	"strings"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// indexFloor is how long an index counts as fresh whatever its origin says.
const indexFloor = 2 * time.Minute

// The names of indexes: of version 2 of the format, and of version 3.
const (
	index2     = "APKINDEX.tar.gz"
	index3     = "Packages.adb"
	index3Open = "packages.adb" // as OpenWrt spells it
	index3Same = "APKINDEX.adb"
)

// Classify reports which resource a request asks for. Indexes have names of their own, so
// mirrors need not be known. A package on an unknown host must be named NAME-VERSION-rN.apk,
// because programs for phones have names that end in .apk as well.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	u := r.URL
	origin, ok := urlpath.Origin(u)
	if !ok || u.User != nil || u.RawQuery != "" || u.ForceQuery {
		return none, ecosystem.ErrUnknown
	}
	p, ok := canonicalPath(u.EscapedPath())
	if !ok {
		if len(u.Path) > 1 && e.owns(u) {
			return none, ecosystem.ErrRefused
		}
		return none, ecosystem.ErrUnknown
	}
	dir, name := path.Split(p)
	l := location{origin: origin, dir: dir}
	var res ecosystem.Resource
	switch {
	case isIndex(name):
		res = l.index(name)
	case strings.HasSuffix(name, ".apk") && (e.owns(u) || isVersioned(name)):
		res = l.packaged(name)
	default:
		return none, ecosystem.ErrUnknown
	}
	if r.Method != "GET" && r.Method != "HEAD" {
		return none, ecosystem.ErrRefused
	}
	return res, nil
}

// isIndex reports whether a file is an index.
func isIndex(name string) bool {
	return name == index2 || name == index3 || name == index3Open || name == index3Same
}

// owns reports whether a URL is on a host of repositories.
func (e *Ecosystem) owns(u *url.URL) bool {
	for _, h := range e.hosts {
		host, below, deep := strings.Cut(h, "/")
		if (strings.EqualFold(u.Hostname(), host) || strings.EqualFold(u.Host, host)) && (!deep || strings.HasPrefix(u.Path, "/"+below)) {
			return true
		}
	}
	return false
}

// A location is a folder of a repository. An index lies in the folder of an architecture,
// beside the packages of it; others that it lists lie in folders beside that (noarch).
type location struct {
	origin string // scheme://host
	dir    string // with slashes at both ends
}

// base returns the URL of the folder that the folders of the architectures lie in.
func (l location) base() string {
	above, _ := path.Split(strings.TrimSuffix(l.dir, "/"))
	if above == "" {
		above = "/" // an index at the root of its host has nothing above it
	}
	return l.origin + above
}

// index returns an index of the folder.
func (l location) index(name string) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: l.origin + l.dir + name, Kind: ecosystem.Document, Root: true, Sealed: true,
		Repository: l.base(), Floor: indexFloor}
}

// packaged returns a package of the folder.
func (l location) packaged(name string) ecosystem.Resource {
	res := ecosystem.Resource{Ecosystem: Name, URL: l.origin + l.dir + name, Repository: l.base(), VouchedBy: []ecosystem.Resource{l.index(index2)}}
	res.Package, res.Version = cutName(name)
	return res
}

// isVersioned reports whether the name of a file is NAME-VERSION-rN.apk.
func isVersioned(name string) bool {
	_, version := cutName(name)
	return version != ""
}

// cutName splits NAME-VERSION-rN.apk into name and version-rN. Of other names, the version
// is not known.
func cutName(file string) (name, version string) {
	stem := strings.TrimSuffix(file, ".apk")
	if decoded, err := url.PathUnescape(stem); err == nil {
		stem = decoded
	}
	release := strings.LastIndexByte(stem, '-')
	if release <= 0 {
		return stem, ""
	}
	at := strings.LastIndexByte(stem[:release], '-')
	digits, ok := strings.CutPrefix(stem[release:], "-r")
	if at <= 0 || !ok || digits == "" || strings.Trim(digits, "0123456789") != "" || stem[at+1] < '0' || stem[at+1] > '9' {
		return stem, ""
	}
	return stem[:at], stem[at+1:]
}
