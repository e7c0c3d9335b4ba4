package rubygems

import (
	"fmt"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
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
	t, err := e.servers.Locate(r.URL)
	switch {
	case err != nil:
		return ecosystem.Resource{}, err
	case !t.Known:
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	case isLegacy(t.Path) && !e.legacy:
		return ecosystem.Resource{}, errLegacy
	}
	if err := t.Download(r); err != nil {
		return ecosystem.Resource{}, err
	}
	switch {
	case t.Folder:
		return ecosystem.Resource{}, ecosystem.ErrBypass
	case len(t.Path) == 0:
		return e.root(r, t.Base)
	}
	return e.describe(t.Base, t.Path)
}

// root classifies the address of the server itself.
func (e *Ecosystem) root(r ecosystem.Request, base string) (ecosystem.Resource, error) {
	if e.legacy || !strings.Contains(r.Client, clientName) {
		return ecosystem.Resource{}, ecosystem.ErrBypass
	}
	return ecosystem.Resource{
		Ecosystem: Name, URL: base + "/", Kind: ecosystem.Document, Literal: []byte(greeting), FormType: "text/plain",
	}, nil
}

// describe classifies what lies under a server.
func (e *Ecosystem) describe(base string, path []string) (ecosystem.Resource, error) {
	last := path[len(path)-1]
	switch {
	case len(path) == 1 && (last == "versions" || last == "names"):
		res := document(base+"/"+last, "", "")
		res.Floor = listFloor
		return indexed(res), nil
	case len(path) == 2 && path[0] == "info" && validName(last):
		return info(base, last), nil
	case len(path) == 2 && path[0] == "gems":
		if stem, ok := strings.CutSuffix(last, ".gem"); ok && validName(stem) {
			return e.gem(base, stem)
		}
	case len(path) == 3 && path[0] == "quick" && path[1] == marshal:
		stem, ok := strings.CutSuffix(last, ".gemspec.rz")
		if names := cutGem(stem); ok && validName(stem) && len(names) > 0 {
			res := document(urlpath.Join(base, path...), names[0].name, names[0].version)
			res.Sealed, res.Floor = true, specFloor
			return res, nil
		}
	case len(path) == 1 && isLegacy(path):
		res := document(base+"/"+last, "", "")
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
func info(base, name string) ecosystem.Resource {
	res := document(base+"/info/"+name, name, "")
	res.Floor = infoFloor
	return indexed(res)
}

// gem returns the resource for what precedes .gem in a file name. The public site's gems
// are listed by the host of its index, which clients ask, and by itself.
func (e *Ecosystem) gem(base, stem string) (ecosystem.Resource, error) {
	names := cutGem(stem)
	if len(names) == 0 {
		return ecosystem.Resource{}, ecosystem.ErrBypass
	}
	indexes := []string{base}
	if scheme, ok := strings.CutSuffix(base, publicSite); ok && strings.HasSuffix(scheme, "://") {
		indexes = []string{scheme + publicIndex, base}
	}
	res := ecosystem.Resource{
		Ecosystem: Name, URL: base + "/gems/" + stem + ".gem", Kind: ecosystem.Artifact, Package: names[0].name, Version: names[0].version,
	}
	for _, n := range names {
		for _, index := range indexes {
			res.VouchedBy = append(res.VouchedBy, info(index, n.name))
		}
	}
	return res, nil
}

// isLegacy reports whether a path is of the index without checksums.
func isLegacy(path []string) bool {
	switch strings.Join(path, "/") {
	case "specs.4.8", "latest_specs.4.8", "prerelease_specs.4.8", "specs.4.8.gz", "latest_specs.4.8.gz", "prerelease_specs.4.8.gz",
		"api/v1/dependencies", "api/v1/dependencies.json":
		return true
	}
	return false
}
