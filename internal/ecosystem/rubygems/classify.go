package rubygems

import (
	"fmt"
	"net/url"
	"strings"

	"sutler/internal/ecosystem"
)

// clientName is part of the User-Agent of the gem command, in all versions.
const clientName = "RubyGems/"

// greeting answers the gem command, which asks whether a server is there before it asks
// for its compact index: it must not depend on a website being up.
const greeting = "compact index\n"

// errLegacy refuses the index without checksums.
var errLegacy = fmt.Errorf("%w: this index states no checksums; rubygems.legacy = true lets clients have it", ecosystem.ErrRefused)

// Classify reports which resource a request asks for, on known servers. What is no part of
// an index is passed through. Of servers that are not known nothing is recognised: gems
// could be, but not the info files that vouch for them.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	if r.URL == nil || r.URL.Host == "" || r.URL.Scheme != "https" && r.URL.Scheme != "http" {
		return none, ecosystem.ErrUnknown
	}
	at, rest, known := e.server(r.URL)
	if !known {
		return none, ecosystem.ErrUnknown
	}
	segments, ok := decode(rest)
	if !ok {
		return none, ecosystem.ErrRefused
	}
	switch r.Method {
	case "GET", "HEAD":
	case "PUT", "POST", "DELETE", "PATCH":
		return none, ecosystem.ErrBypass
	default:
		return none, ecosystem.ErrRefused
	}
	if isLegacy(segments) {
		switch {
		case !e.legacy:
			return none, errLegacy
		case segments[0] == "api":
			return none, ecosystem.ErrBypass
		}
	}
	if r.URL.User != nil || r.URL.RawQuery != "" || r.URL.ForceQuery {
		return none, ecosystem.ErrBypass
	}
	if len(segments) == 0 {
		return e.root(r, at)
	}
	return e.describe(at, segments)
}

// server returns the URL of the server that a URL is of, with a slash at its end, and the
// path below, which is escaped.
func (e *Ecosystem) server(u *url.URL) (at, rest string, known bool) {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	longest := ""
	for _, s := range e.servers {
		if !s.on(u) || len(s.path) <= len(longest) {
			continue
		}
		if below, ok := strings.CutPrefix(path, s.path); ok {
			longest, rest = s.path, below
		}
	}
	return u.Scheme + "://" + canonicalHost(u) + longest, rest, longest != ""
}

// on reports whether the server is on the host of u.
func (s server) on(u *url.URL) bool {
	return strings.EqualFold(s.host, u.Hostname()) || strings.EqualFold(s.host, u.Host)
}

// root classifies the address of the server itself.
func (e *Ecosystem) root(r ecosystem.Request, at string) (ecosystem.Resource, error) {
	if e.legacy || !strings.Contains(r.Client, clientName) {
		return ecosystem.Resource{}, ecosystem.ErrBypass
	}
	return ecosystem.Resource{
		Ecosystem: Name, URL: at, Kind: ecosystem.Document, Literal: []byte(greeting), FormType: "text/plain",
	}, nil
}

// describe classifies what lies under a server.
func (e *Ecosystem) describe(at string, segments []string) (ecosystem.Resource, error) {
	last := segments[len(segments)-1]
	switch {
	case len(segments) == 1 && (last == "versions" || last == "names"):
		res := document(at+last, "", "")
		res.Floor = listFloor
		return indexed(res), nil
	case len(segments) == 2 && segments[0] == "info" && validName(last):
		return info(at, last), nil
	case len(segments) == 2 && segments[0] == "gems":
		if stem, ok := strings.CutSuffix(last, ".gem"); ok && validName(stem) {
			return e.gem(at, stem)
		}
	case len(segments) == 3 && segments[0] == "quick" && segments[1] == marshal:
		stem, ok := strings.CutSuffix(last, ".gemspec.rz")
		if names := cutGem(stem); ok && validName(stem) && len(names) > 0 {
			res := document(at+"quick/"+marshal+"/"+last, names[0].name, names[0].version)
			res.Sealed, res.Floor = true, specFloor
			return res, nil
		}
	case isLegacy(segments):
		res := document(at+last, "", "")
		res.Sealed, res.Floor = true, listFloor
		return res, nil
	}
	return ecosystem.Resource{}, ecosystem.ErrBypass
}

// document returns a document about a version of a gem, or about all.
func document(address, name, version string) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: address, Kind: ecosystem.Document, Package: name, Version: version}
}

// indexed gives a part of the compact index the fields by which clients check it.
func indexed(res ecosystem.Resource) ecosystem.Resource {
	res.Header = []ecosystem.Setting{
		{Name: "ETag", Value: `"{md5}"`},
		{Name: "Repr-Digest", Value: "sha-256=:{sha256-base64}:"},
	}
	return res
}

// info returns the resource that lists the versions of a gem.
func info(at, name string) ecosystem.Resource {
	res := document(at+"info/"+name, name, "")
	res.Floor = infoFloor
	return indexed(res)
}

// gem returns the resource for what precedes .gem in a file name. The public site's gems
// are listed by the host of its index, which clients ask, and by itself.
func (e *Ecosystem) gem(at, stem string) (ecosystem.Resource, error) {
	names := cutGem(stem)
	if len(names) == 0 {
		return ecosystem.Resource{}, ecosystem.ErrBypass
	}
	indexes := []string{at}
	if scheme, ok := strings.CutSuffix(at, "://"+publicSite+"/"); ok {
		indexes = []string{scheme + "://" + publicIndex + "/", at}
	}
	res := ecosystem.Resource{
		Ecosystem: Name, URL: at + "gems/" + stem + ".gem", Kind: ecosystem.Artifact, Package: names[0].name, Version: names[0].version,
	}
	for _, n := range names {
		for _, index := range indexes {
			res.VouchedBy = append(res.VouchedBy, info(index, n.name))
		}
	}
	return res, nil
}

// isLegacy reports whether a path is of the index without checksums.
func isLegacy(segments []string) bool {
	switch strings.Join(segments, "/") {
	case "specs.4.8", "latest_specs.4.8", "prerelease_specs.4.8", "specs.4.8.gz", "latest_specs.4.8.gz", "prerelease_specs.4.8.gz",
		"api/v1/dependencies", "api/v1/dependencies.json":
		return true
	}
	return false
}
