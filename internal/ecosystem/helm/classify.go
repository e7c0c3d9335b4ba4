package helm

import (
	"slices"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// indexName is the file that makes a folder a repository.
const indexName = "index.yaml"

// Classify reports which resource a request asks for: an index on every host, charts and
// their signatures where a repository is known or Helm asks. The rest is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	t, err := e.sites.Read(r)
	if err != nil {
		return ecosystem.Resource{}, err
	}
	asked := t.Known || strings.HasPrefix(r.Client, "Helm/")
	switch file := last(t); {
	case file == indexName:
		return index(t.URL()), nil
	case strings.HasSuffix(file, ".tgz") && asked:
		return chart(t), nil
	case strings.HasSuffix(file, ".tgz.prov") && asked:
		return ecosystem.Resource{Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Document, Sealed: true, Proof: true, Floor: floor}, nil
	}
	return ecosystem.Resource{}, t.None()
}

// last returns the last segment of the path, "" if there is none.
func last(t site.Target) string {
	if len(t.Path) == 0 {
		return ""
	}
	return t.Path[len(t.Path)-1]
}

// index returns the resource of an index.
func index(url string) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: url, Kind: ecosystem.Document, Floor: floor}
}

// chart returns the resource of a chart. The index that lists it lies beside it or, by a
// widespread habit, above a folder charts.
func chart(t site.Target) ecosystem.Resource {
	res := ecosystem.Resource{
		Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Artifact,
		VouchedBy: []ecosystem.Resource{index(t.Up(1, indexName))},
	}
	res.Package, res.Version = cutVersion(strings.TrimSuffix(last(t), ".tgz"))
	if n := len(t.Path); n >= 2 && t.Path[n-2] == "charts" {
		res.VouchedBy = slices.Insert(res.VouchedBy, 0, index(t.Up(2, indexName)))
	}
	return res
}

// cutVersion splits name-version where a version starts: at the first digit after a dash,
// with or without a v.
func cutVersion(stem string) (name, version string) {
	for i := 1; i < len(stem)-1; i++ {
		if stem[i] != '-' {
			continue
		}
		if v := strings.TrimPrefix(stem[i+1:], "v"); v != "" && '0' <= v[0] && v[0] <= '9' {
			return stem[:i], stem[i+1:]
		}
	}
	return stem, ""
}
