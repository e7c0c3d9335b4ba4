package composer

import (
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
	"sutler/internal/urlpath"
)

// client is how the User-Agent of Composer starts.
const client = "Composer/"

// Classify reports which resource a request asks for. Metadata is recognised on every host
// by its path; root documents and dists, whose names others use too, where a repository is
// known or Composer asks. What else a known repository is asked for is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	t, err := e.sites.Read(r)
	if err != nil {
		return ecosystem.Resource{}, err
	}
	n := len(t.Path)
	asked := t.Known || strings.HasPrefix(r.Client, client)
	switch {
	case n == 0:
	case t.Known && strings.HasSuffix(t.Base, "://"+codeHost):
		if n == 5 && t.Path[0] == "repos" && (t.Path[3] == "zipball" || t.Path[3] == "tarball") && isHex(t.Path[4], 40) {
			return ecosystem.Resource{
				Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Artifact, Optional: true,
				Package: t.Path[1] + "/" + t.Path[2], Version: t.Path[4],
			}, nil
		}
	case t.Path[n-1] == "packages.json" && asked:
		return ecosystem.Resource{Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Document, Floor: floor}, nil
	case n >= 3 && t.Path[n-3] == "p2":
		if res, ok := metadata(t.Up(3), t.Path[n-2], t.Path[n-1]); ok {
			return res, nil
		}
	case n >= 2 && (t.Path[n-2] == "p" || n >= 3 && t.Path[n-3] == "p"):
		if res, ok := hashed(t); ok {
			return res, nil
		}
	case asked:
		if res, ok := dist(t); ok {
			return res, nil
		}
	}
	return ecosystem.Resource{}, t.None()
}

// metadata returns the resource that lists the versions of a package, or the branches if
// the file is that of ~dev. base is the URL of the repository.
func metadata(base, vendor, file string) (ecosystem.Resource, bool) {
	name, ok := strings.CutSuffix(file, ".json")
	pkg := strings.TrimSuffix(name, "~dev")
	return ecosystem.Resource{
		Ecosystem: Name, URL: urlpath.Join(base, "p2", vendor, file), Kind: ecosystem.Document,
		Package: vendor + "/" + pkg, Floor: floor,
	}, ok && pkg != ""
}

// hashed returns the resource of a file whose name holds its SHA-256.
func hashed(t site.Target) (ecosystem.Resource, bool) {
	_, sum, _ := strings.Cut(strings.TrimSuffix(t.Path[len(t.Path)-1], ".json"), "$")
	d, err := digest.New(digest.SHA256, sum)
	return ecosystem.Resource{
		Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Artifact,
		Claims: []ecosystem.Claim{{URL: t.URL(), Digest: d, Size: -1, By: ecosystem.ByURL}},
	}, err == nil
}

// dist returns the resource of an archive that a repository has itself:
// dist/{vendor}/{name}/…/{file}. The metadata of the package may state its digest.
func dist(t site.Target) (ecosystem.Resource, bool) {
	file := t.Path[len(t.Path)-1]
	if !strings.HasSuffix(file, ".zip") && !strings.HasSuffix(file, ".tar") && !strings.HasSuffix(file, ".tar.gz") {
		return ecosystem.Resource{}, false
	}
	for i, s := range t.Path {
		if s != "dist" && s != "dists" || len(t.Path)-i < 4 {
			continue
		}
		base, vendor, name := t.Up(len(t.Path)-i), t.Path[i+1], t.Path[i+2]
		releases, ok := metadata(base, vendor, name+".json")
		branches, _ := metadata(base, vendor, name+"~dev.json")
		return ecosystem.Resource{
			Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Artifact, Package: vendor + "/" + name,
			VouchedBy: []ecosystem.Resource{releases, branches},
		}, ok
	}
	return ecosystem.Resource{}, false
}

// isHex reports whether s is n lower-case hexadecimal digits.
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
