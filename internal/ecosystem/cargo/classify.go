package cargo

import (
	"net/url"
	"slices"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// clientName is how the User-Agent of cargo starts, in all versions.
const clientName = "cargo"

// minShape is the least length of a name that an index path repeats: /ab/cd/abcdef can be
// nothing else, /1/a can. Names of minDigest hexadecimal digits are of a store of blobs.
const (
	minShape  = 3
	minDigest = 32
)

// Classify reports which resource a request asks for. On hosts that are no known registry
// crates and index files are recognised by their paths, and config.json if cargo asks for
// it. The rest of a known registry (searches, publishing) is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	origin, ok := urlpath.Origin(r.URL)
	if !ok {
		return none, ecosystem.ErrUnknown
	}
	known := e.knows(r.URL)
	other := ecosystem.ErrUnknown // for what is no resource
	if known {
		other = ecosystem.ErrBypass
	}
	segments, folder, ok := urlpath.Segments(r.URL.EscapedPath())
	switch {
	case !ok && known:
		return none, ecosystem.ErrRefused
	case !ok, folder, len(segments) == 0, r.URL.User != nil, r.URL.RawQuery != "", r.URL.ForceQuery:
		return none, other
	}
	res, ok := e.crate(r, origin, segments)
	if !ok {
		res, ok = e.index(r, origin, segments)
	}
	if !ok {
		return none, other
	}
	return res, method(r.Method, known)
}

// method returns nil for downloads. What clients use to publish is passed through, where
// the registry is known.
func method(m string, known bool) error {
	switch {
	case m == "GET" || m == "HEAD":
		return nil
	case !known:
		return ecosystem.ErrUnknown
	case m == "PUT" || m == "POST" || m == "DELETE" || m == "PATCH":
		return ecosystem.ErrBypass
	}
	return ecosystem.ErrRefused
}

// knows reports whether the host is of the public registry, or was configured.
func (e *Ecosystem) knows(u *url.URL) bool {
	if isPublic(u) {
		return true
	}
	for _, p := range e.private {
		if p.at(u) {
			return true
		}
	}
	return false
}

// isPublic reports whether the host is of the public registry.
func isPublic(u *url.URL) bool {
	switch strings.ToLower(u.Hostname()) {
	case publicIndex, publicDownloads, publicSite:
		return true
	}
	return false
}

// at reports whether the place is on the host of u.
func (p place) at(u *url.URL) bool {
	return strings.EqualFold(p.host, u.Hostname()) || strings.EqualFold(p.host, u.Host)
}

// index classifies what may be of an index.
func (e *Ecosystem) index(r ecosystem.Request, origin string, segments []string) (ecosystem.Resource, bool) {
	none := ecosystem.Resource{}
	known := e.knows(r.URL)
	name, base, named := cutIndexFile(segments)
	at := join(base)
	if !named {
		if segments[len(segments)-1] != "config.json" {
			return none, false
		}
		at = join(segments[:len(segments)-1])
	}
	switch {
	case known && !slices.Contains(e.bases(r.URL), at):
		return none, false
	case named && (known || isShape(name)):
		return indexFile(origin+at, name), true
	case !named && (known || strings.HasPrefix(r.Client, clientName)):
		return config(origin + at), true
	}
	return none, false
}

// isShape reports whether a name makes the path of its index file unmistakable.
func isShape(name string) bool {
	return len(name) >= minShape && (len(name) < minDigest || strings.Trim(name, "0123456789abcdef") != "")
}

// bases returns the paths of the indexes known to lie on the host of u.
func (e *Ecosystem) bases(u *url.URL) []string {
	if strings.EqualFold(u.Hostname(), publicIndex) {
		return []string{"/"}
	}
	var out []string
	for _, p := range e.private {
		if p.at(u) {
			out = append(out, p.path)
		}
	}
	return out
}

// indexFile returns the resource that lists the versions of a crate; base is the URL of the
// index, with a slash at its end.
func indexFile(base, name string) ecosystem.Resource {
	return ecosystem.Resource{
		Ecosystem: Name, URL: base + indexPath(name), Kind: ecosystem.Document, Package: name, Floor: indexFloor,
	}
}

// config returns the resource that says where crates are.
func config(base string) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: base + "config.json", Kind: ecosystem.Document, Floor: configFloor}
}

// crate classifies the two usual shapes of a download: …/{crate}/{version}/download and
// …/{crate}-{version}.crate. Others have downloads of the first shape too: on hosts that are
// not known it counts below a folder crates/, or if cargo asks.
func (e *Ecosystem) crate(r ecosystem.Request, origin string, segments []string) (ecosystem.Resource, bool) {
	u := r.URL
	name, version, base, ok := cutCrate(segments)
	if !ok || strings.EqualFold(u.Hostname(), publicIndex) {
		return ecosystem.Resource{}, false
	}
	plain := strings.HasSuffix(u.Path, ".crate") || len(base) > 0 && base[len(base)-1] == "crates" || strings.HasPrefix(r.Client, clientName)
	if !e.knows(u) && !(plain && isShape(name)) {
		return ecosystem.Resource{}, false
	}
	res := ecosystem.Resource{
		Ecosystem: Name, URL: origin + strings.TrimSuffix(join(segments), "/"), Kind: ecosystem.Artifact, Package: name, Version: version,
	}
	for _, at := range e.indexesOf(u, origin, base) {
		res.VouchedBy = append(res.VouchedBy, indexFile(at, strings.ToLower(name)))
	}
	return res, true
}

// indexesOf returns where the index may be that crates under a folder are of, best first:
// what is configured, or where common registries have it beside their downloads.
func (e *Ecosystem) indexesOf(u *url.URL, origin string, base []string) []string {
	if isPublic(u) {
		return []string{u.Scheme + "://" + publicIndex + "/"}
	}
	var here, there []string
	known := false
	for _, p := range e.private {
		if p.at(u) {
			known = true
			here = append(here, origin+p.path)
		} else {
			there = append(there, u.Scheme+"://"+p.host+p.path)
		}
	}
	if known {
		return append(here, there...)
	}
	for _, tail := range [...][2]string{
		{"", ""},               // the index is the folder of the crates
		{"api/v1/crates/", ""}, // the index is where the API is
		{"v1/crates/", "index/"},
		{"crates/", ""},
		{"crates/", "index/"},
	} {
		if root, ok := strings.CutSuffix(join(base), "/"+tail[0]); ok {
			here = append(here, origin+root+"/"+tail[1])
		}
	}
	return here
}
