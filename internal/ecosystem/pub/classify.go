package pub

import (
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
	"sutler/internal/urlpath"
)

// Classify reports which resource a request asks for. What else a known repository is asked
// for is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	t, err := e.sites.Read(r)
	if err != nil {
		return ecosystem.Resource{}, err
	}
	p := t.Path
	switch {
	case !t.Known:
	case len(p) == 3 && p[0] == "api" && p[1] == "packages" && isName(p[2]):
		return list(t.Base, p[2]), nil
	case len(p) == 4 && p[0] == "api" && p[1] == "packages" && p[3] == "advisories" && isName(p[2]):
		res := list(t.Base, p[2])
		res.URL, res.Sealed = t.URL(), true
		return res, nil
	case len(p) == 3 && p[0] == "api" && p[1] == "archives":
		name, file, _ := strings.Cut(p[2], "-")
		if res, ok := archive(t, name, file); ok {
			return res, nil
		}
	case len(p) == 4 && p[0] == "packages" && p[2] == "versions":
		if res, ok := archive(t, p[1], p[3]); ok {
			return res, nil
		}
	}
	return ecosystem.Resource{}, t.None()
}

// list returns the resource that lists the versions of a package.
func list(base, name string) ecosystem.Resource {
	return ecosystem.Resource{
		Ecosystem: Name, URL: urlpath.Join(base, "api", "packages", name), Kind: ecosystem.Document,
		Package: name, Accept: mediaType, Floor: floor,
	}
}

// archive returns the resource of a version of a package; file is the version and suffix.
func archive(t site.Target, name, file string) (ecosystem.Resource, bool) {
	version, ok := strings.CutSuffix(file, ".tar.gz")
	return ecosystem.Resource{
		Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Artifact, Package: name, Version: version,
		VouchedBy: []ecosystem.Resource{list(t.Base, name)},
	}, ok && version != "" && isName(name)
}

// isName reports whether s can be the name of a package: an identifier.
func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}
