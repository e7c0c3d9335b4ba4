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
	LFS  *struct {
		SHA256 string `json:"sha256"`
		Size   *int64 `json:"size"`
	} `json:"lfs"`
}

// Inspect emits the digests of large files from the list of a revision. Other documents are
// files, and claim nothing. src is not used.
func (e *Ecosystem) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	u, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	if u.RawQuery != blobs {
		return evidence, nil
	}
	var l struct {
		Files []listed `json:"siblings"`
	}
	if err := jsondoc.Decode(doc, &l); err != nil {
		return ecosystem.Evidence{}, err
	}
	u.RawQuery = ""
	t, err := e.sites.Read(ecosystem.Request{Method: "GET", URL: u})
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	rest, kind, repo, ok := cutAPI(t.Path)
	if !ok || len(rest) != 2 {
		return evidence, nil
	}
	if kind == "models" {
		kind = ""
	}
	folder := append(slices.DeleteFunc(append([]string{kind}, repo...), func(s string) bool { return s == "" }), "resolve", rest[1])
	for _, f := range l.Files {
		if c, ok := f.claim(t.Base, folder); ok {
			if err := emit(c); err != nil {
				return ecosystem.Evidence{}, err
			}
		}
	}
	return evidence, nil
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
