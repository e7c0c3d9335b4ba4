package huggingface

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
	"sutler/internal/urlpath"
)

// A listed file is one of a revision.
type listed struct {
	Name string `json:"rfilename"`
	LFS  *large `json:"lfs"`
}

// A large is what is stated about a file that git keeps elsewhere.
type large struct {
	SHA256 string `json:"sha256"`
	Size   *int64 `json:"size"`
}

// Inspect emits the digests of large files from the lists of a revision. Other documents are
// files, and claim nothing. src is not used.
func (e *Ecosystem) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	u, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	whole := u.RawQuery == blobs
	u.RawQuery = ""
	t, err := e.sites.Read(ecosystem.Request{Method: "GET", URL: u})
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	rest, kind, repo, ok := cutAPI(t.Path)
	if !ok || len(rest) < 2 || rest[0] != "tree" && !whole {
		return evidence, nil
	}
	files, err := list(doc, rest[0] == "tree")
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	if kind == "models" {
		kind = ""
	}
	folder := append(slices.DeleteFunc(append([]string{kind}, repo...), func(s string) bool { return s == "" }), "resolve", rest[1])
	for _, f := range files {
		if c, ok := f.claim(t.Base, folder); ok {
			if err := emit(c); err != nil {
				return ecosystem.Evidence{}, err
			}
		}
	}
	return evidence, nil
}

// list reads the files of a revision: from a part of its tree, or from the whole list, which
// has other names for the same.
func list(doc ecosystem.Body, tree bool) ([]listed, error) {
	if !tree {
		var l struct {
			Files []listed `json:"siblings"`
		}
		err := jsondoc.Decode(doc, &l)
		return l.Files, err
	}
	var entries []struct {
		Path string `json:"path"`
		LFS  *struct {
			OID  string `json:"oid"`
			Size *int64 `json:"size"`
		} `json:"lfs"`
	}
	if err := jsondoc.Decode(doc, &entries); err != nil {
		return nil, err
	}
	var files []listed
	for _, entry := range entries {
		if entry.LFS != nil {
			files = append(files, listed{Name: entry.Path, LFS: &large{SHA256: entry.LFS.OID, Size: entry.LFS.Size}})
		}
	}
	return files, nil
}

// claim returns what is stated about a file that git keeps elsewhere.
func (f listed) claim(base string, folder []string) (ecosystem.Claim, bool) {
	if f.LFS == nil {
		return ecosystem.Claim{}, false
	}
	name := strings.Split(f.Name, "/")
	d, err := digest.New(digest.SHA256, f.LFS.SHA256)
	if err != nil || slices.ContainsFunc(name, func(s string) bool { return !urlpath.Plain(s) }) {
		return ecosystem.Claim{}, false
	}
	c := ecosystem.Claim{URL: urlpath.Join(base, slices.Concat(folder, name)...), Digest: d, Size: -1}
	if f.LFS.Size != nil && *f.LFS.Size >= 0 {
		c.Size = *f.LFS.Size
	}
	return c, true
}
