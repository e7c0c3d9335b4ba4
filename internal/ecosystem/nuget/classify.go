package nuget

import (
	"slices"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
	"sutler/internal/urlpath"
)

// container is the flat container of the public feed.
const container = "v3-flatcontainer"

// hives are the folders of registrations of the public feed. The second and the third come
// compressed; the third alone has versions of SemVer 2.
var hives = []string{"registration5-semver1", "registration5-gz-semver1", "registration5-gz-semver2"}

// Classify reports which resource a request asks for. Packages, the flat containers of the
// commonest servers, /v3/index.json and the parts of a feed that lead to digests are
// recognised on every host; what else a known feed is asked for is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	t, err := e.sites.Read(r)
	if err != nil {
		return ecosystem.Resource{}, err
	}
	n := len(t.Path)
	if n == 0 || !strings.Contains(t.Path[n-1], ".") {
		return ecosystem.Resource{}, t.None()
	}
	if res, ok := pkg(t); ok {
		return res, nil
	}
	doc := ecosystem.Resource{Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Document, Floor: listFloor}
	index := t.Path[n-1] == "index.json"
	switch {
	case index && (t.Known && n == 1 || n >= 2 && t.Path[n-2] == "v3"):
		return doc, nil
	case index && n >= 3 && isContainer(t.Path[n-3], t.Known):
		doc.Package = t.Path[n-2]
		return doc, nil
	case n >= 3 && slices.Contains(hives, t.Path[n-3]) && strings.HasSuffix(t.Path[n-1], ".json"):
		return leaf(t.Up(2), t.Path[n-2], strings.TrimSuffix(t.Path[n-1], ".json")), nil
	case n >= 5 && slices.Contains(hives, t.Path[n-5]) && t.Path[n-3] == "page" && strings.HasSuffix(t.Path[n-1], ".json"):
		doc.Package = t.Path[n-4]
		return doc, nil
	case t.Known && index && slices.Contains(t.Path, "repository-signatures"):
		return doc, nil
	case n >= 4 && t.Path[n-4] == "catalog0" && t.Path[n-3] == "data" && strings.HasSuffix(t.Path[n-1], ".json"):
		doc.Floor = catalogFloor
		return doc, nil
	}
	return ecosystem.Resource{}, t.None()
}

// isContainer reports whether a folder of that name holds the folders of packages. Some
// names are common, and count only at known feeds.
func isContainer(folder string, known bool) bool {
	switch folder {
	case container, "flatcontainer", "flat2":
		return true
	case "content", "download", "package":
		return known
	}
	return false
}

// pkg returns the resource of a package or its specification:
// {id}/{version}/{id}.{version}.nupkg or {id}/{version}/{id}.nuspec.
func pkg(t site.Target) (ecosystem.Resource, bool) {
	n := len(t.Path)
	if n < 3 {
		return ecosystem.Resource{}, false
	}
	id, version, file := t.Path[n-3], t.Path[n-2], t.Path[n-1]
	res := ecosystem.Resource{Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Artifact, Package: id, Version: version}
	switch file {
	case id + "." + version + ".nupkg":
		if n >= 4 && t.Path[n-4] == container {
			res.VouchedBy = []ecosystem.Resource{leaf(t.Up(4, "v3", hives[0]), id, version), leaf(t.Up(4, "v3", hives[2]), id, version)}
		}
		return res, true
	case id + ".nuspec":
		return res, true
	}
	return ecosystem.Resource{}, false
}

// leaf returns the resource that describes one version, or all if version is "index". base
// is the URL of the folder of registrations.
func leaf(base, id, version string) ecosystem.Resource {
	res := ecosystem.Resource{
		Ecosystem: Name, URL: urlpath.Join(base, id, version+".json"), Kind: ecosystem.Document, Package: id, Floor: listFloor,
	}
	if version != "index" {
		res.Version = version
	}
	return res
}
