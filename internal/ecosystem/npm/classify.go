package npm

import (
	"net/url"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// maxName is the longest package name accepted; the registry allows 214 bytes.
const maxName = 256

// Classify reports which resource a request asks for. Everything that is not a download
// from a registry is passed through. On hosts that are no known registry only tarballs and
// scoped packuments are recognised, because a bare /name can be anything.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	origin, ok := urlpath.Origin(r.URL)
	if !ok {
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	}
	base, path, known := e.registry(r.URL)
	segments, ok := decode(path)
	switch {
	case known && path == "":
		return ecosystem.Resource{}, ecosystem.ErrBypass
	case !ok && known:
		return ecosystem.Resource{}, ecosystem.ErrRefused
	case !ok:
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	case !known:
		return foreign(r, origin, segments)
	}
	if err := method(r.Method); err != nil {
		return ecosystem.Resource{}, err
	}
	if r.URL.User != nil || r.URL.RawQuery != "" {
		// ?write=true asks for a copy to change; other queries are of no known meaning.
		return ecosystem.Resource{}, ecosystem.ErrBypass
	}
	return native(r, origin+base, segments)
}

// method returns nil for downloads, ErrBypass for what clients use to publish, audit and
// log in, and ErrRefused for the rest.
func method(m string) error {
	switch m {
	case "GET", "HEAD":
		return nil
	case "PUT", "POST", "DELETE", "PATCH":
		return ecosystem.ErrBypass
	}
	return ecosystem.ErrRefused
}

// registry splits the path of a URL at the base path of the registry on its host. known is
// false if there is none; then path is the whole path.
func (e *Ecosystem) registry(u *url.URL) (base, path string, known bool) {
	host, whole := u.Hostname(), u.EscapedPath()
	for _, reg := range e.registries {
		if !strings.EqualFold(reg.host, host) && !strings.EqualFold(reg.host, u.Host) {
			continue
		}
		if rest, ok := strings.CutPrefix(whole, reg.path); ok && len(reg.path) > len(base) {
			base, path, known = reg.path, rest, true
		}
	}
	if !known {
		return "/", strings.TrimPrefix(whole, "/"), false
	}
	return base, path, true
}

// native classifies a download from a known registry; base is the registry's URL with a
// slash at its end.
func native(r ecosystem.Request, base string, segments []string) (ecosystem.Resource, error) {
	if len(segments) > 1 && segments[0] == "-" {
		return service(base, segments[1:])
	}
	if t, ok := special(base, segments); ok {
		return t, nil
	}
	name, rest, ok := cutName(segments)
	if !ok {
		return ecosystem.Resource{}, ecosystem.ErrBypass
	}
	switch {
	case len(rest) == 0:
		return forClient(packument(base, name), r), nil
	case rest[0] == "-":
		if t, ok := tarball(base, name, rest[1:]); ok {
			return t, nil
		}
	case len(rest) == 1:
		return forClient(manifest(base, name, rest[0]), r), nil
	}
	return ecosystem.Resource{}, ecosystem.ErrBypass
}

// foreign classifies a request to a host that is no known registry.
func foreign(r ecosystem.Request, origin string, segments []string) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	if r.Method != "GET" && r.Method != "HEAD" || r.URL.User != nil || r.URL.RawQuery != "" {
		return none, ecosystem.ErrUnknown
	}
	for i, s := range segments {
		if s != "-" || i == 0 {
			continue
		}
		start := i - 1
		if start > 0 && strings.HasPrefix(segments[start-1], "@") {
			start--
		}
		name, rest, ok := cutName(segments[start:])
		if !ok || len(rest) < 2 {
			return none, ecosystem.ErrUnknown
		}
		t, ok := tarball(origin+join("/", segments[:start]), name, rest[1:])
		if !ok || t.Version == "" {
			return none, ecosystem.ErrUnknown
		}
		return t, nil
	}
	last := segments[len(segments)-1]
	if name, _, ok := cutName([]string{last}); ok && strings.HasPrefix(name, "@") {
		return forClient(packument(origin+join("/", segments[:len(segments)-1]), name), r), nil
	}
	return none, ecosystem.ErrUnknown
}

// service classifies what lies under /-/: documents about packages and the registry.
func service(base string, segments []string) (ecosystem.Resource, error) {
	path := join(base+"-/", segments)
	path = strings.TrimSuffix(path, "/")
	doc := ecosystem.Resource{Ecosystem: Name, URL: path, Kind: ecosystem.Document, Accept: fullType}
	switch {
	case path == base+"-/npm/v1/keys":
		doc.Floor = keysFloor
		return doc, nil
	case len(segments) >= 4 && strings.HasPrefix(path, base+"-/npm/v1/attestations/"):
		doc.Package, doc.Version = cutVersion(strings.Join(segments[3:], "/"))
		doc.URL = base + "-/npm/v1/attestations/" + escapeName(doc.Package) + "@" + url.PathEscape(doc.Version)
		doc.Floor = keysFloor
		return doc, valid(doc.Package != "" && validName(doc.Package))
	case segments[0] == "package" && len(segments) >= 3 && segments[len(segments)-1] == "dist-tags":
		doc.Package = strings.Join(segments[1:len(segments)-1], "/")
		doc.URL = base + "-/package/" + escapeName(doc.Package) + "/dist-tags"
		doc.Floor = packumentFloor
		return doc, valid(validName(doc.Package))
	}
	return ecosystem.Resource{}, ecosystem.ErrBypass
}

// valid returns nil, or ErrBypass for requests whose meaning is unknown.
func valid(ok bool) error {
	if ok {
		return nil
	}
	return ecosystem.ErrBypass
}

// cutVersion splits name@version at its last @; a scope's @ is none.
func cutVersion(s string) (name, version string) {
	if i := strings.LastIndexByte(s, '@'); i > 0 {
		return s[:i], s[i+1:]
	}
	return "", ""
}

// special classifies the tarball paths of two registries that have their own: the package
// registry of a code host (download/@scope/name/version/digest) and the npm side of a
// TypeScript registry (~/build/@scope/name/version.tgz).
func special(base string, segments []string) (ecosystem.Resource, bool) {
	var name, version string
	switch {
	case len(segments) == 5 && segments[0] == "download" && strings.HasPrefix(segments[1], "@"):
		name, version = segments[1]+"/"+segments[2], segments[3]
	case len(segments) == 5 && segments[0] == "~" && strings.HasPrefix(segments[2], "@"):
		name, version = segments[2]+"/"+segments[3], strings.TrimSuffix(segments[4], ".tgz")
	default:
		return ecosystem.Resource{}, false
	}
	if !validName(name) {
		return ecosystem.Resource{}, false
	}
	return ecosystem.Resource{
		Ecosystem: Name, URL: strings.TrimSuffix(join(base, segments), "/"), Kind: ecosystem.Artifact,
		Package: name, Version: version,
		VouchedBy: []ecosystem.Resource{packument(base, name)},
	}, true
}

// packument returns the resource that lists the versions of a package.
func packument(base, name string) ecosystem.Resource {
	return ecosystem.Resource{
		Ecosystem: Name, URL: base + escapeName(name), Kind: ecosystem.Document,
		Package: name, Accept: fullType, Floor: packumentFloor,
	}
}

// manifest returns the resource that describes one version, or the one that a tag names.
func manifest(base, name, version string) ecosystem.Resource {
	return ecosystem.Resource{
		Ecosystem: Name, URL: base + escapeName(name) + "/" + url.PathEscape(version), Kind: ecosystem.Document,
		Package: name, Version: version, Accept: fullType, Floor: packumentFloor,
	}
}

// tarball returns the resource for what follows /-/ in a path: the file, after the scope
// on registries that repeat it. Version is "" if the file is not named after the package.
func tarball(base, name string, rest []string) (ecosystem.Resource, bool) {
	scope, short, scoped := strings.Cut(name, "/")
	if !scoped {
		scope, short = "", name
	}
	if len(rest) != 1 && (len(rest) != 2 || !scoped || rest[0] != scope) {
		return ecosystem.Resource{}, false
	}
	file := rest[len(rest)-1]
	stem, ok := strings.CutSuffix(file, ".tgz")
	if !ok {
		return ecosystem.Resource{}, false
	}
	version, _ := strings.CutPrefix(stem, short+"-")
	if version == stem || version == "" || version[0] < '0' || version[0] > '9' {
		version = ""
	}
	return ecosystem.Resource{
		Ecosystem: Name, Kind: ecosystem.Artifact, Package: name, Version: version,
		URL:       strings.TrimSuffix(join(base+escapePlain(name)+"/-/", rest), "/"),
		VouchedBy: []ecosystem.Resource{packument(base, name)},
	}, true
}
