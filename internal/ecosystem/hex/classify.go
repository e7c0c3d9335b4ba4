package hex

import (
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// Classify reports which resource a request asks for. Paths of Hex can mean anything, so
// only known repositories are recognised; what else they are asked for is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	t, err := e.sites.Read(r)
	if err != nil {
		return ecosystem.Resource{}, err
	}
	base, p := t.Base, t.Path
	if len(p) > 2 && p[0] == "repos" { // of an organisation
		base, p = urlpath.Join(base, p[:2]...), p[2:]
	}
	doc := ecosystem.Resource{Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Document, Sealed: true, Floor: floor}
	switch {
	case !t.Known || len(p) == 0:
	case len(p) == 1 && (p[0] == "names" || p[0] == "versions" || p[0] == "public_key"):
		return doc, nil
	case len(p) == 2 && p[0] == "packages" && isName(p[1]):
		return releases(base, p[1]), nil
	case len(p) == 2 && p[0] == "tarballs":
		name, version, _ := strings.Cut(strings.TrimSuffix(p[1], ".tar"), "-")
		if isName(name) && version != "" && strings.HasSuffix(p[1], ".tar") {
			return ecosystem.Resource{
				Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Artifact, Package: name, Version: version,
				VouchedBy: []ecosystem.Resource{releases(base, name)},
			}, nil
		}
	case len(p) == 2 && p[0] == "docs" && strings.HasSuffix(p[1], ".tar.gz"), len(p) >= 2 && p[0] == "installs":
		return doc, nil
	}
	return ecosystem.Resource{}, t.None()
}

// releases returns the resource that lists the releases of a package.
func releases(base, name string) ecosystem.Resource {
	return ecosystem.Resource{
		Ecosystem: Name, URL: urlpath.Join(base, "packages", name), Kind: ecosystem.Document,
		Package: name, Sealed: true, Floor: floor,
	}
}

// isName reports whether s can be the name of a package.
func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
