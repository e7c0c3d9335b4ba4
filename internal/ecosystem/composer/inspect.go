package composer

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// A release is one entry of a metadata file. In the minified form it holds only what
// differs from the entry before it, where "__unset" takes the place of what is missing.
type release struct {
	Dist json.RawMessage `json:"dist"`
}

// Inspect checks that a document is JSON and, if it is metadata, about the package asked
// for. It emits the SHA-1 of dists that lie in the same repository. src is not used.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	if doc.Resource.Package == "" {
		var root map[string]json.RawMessage
		return evidence, jsondoc.Decode(doc, &root)
	}
	var meta struct {
		Packages map[string][]release `json:"packages"`
	}
	if err := jsondoc.Decode(doc, &meta); err != nil {
		return ecosystem.Evidence{}, err
	}
	releases, ok := meta.Packages[doc.Resource.Package]
	if !ok {
		return ecosystem.Evidence{}, fmt.Errorf("%w: %s is not about %s", ecosystem.ErrInvalid, doc.Resource.URL, doc.Resource.Package)
	}
	for _, r := range releases {
		if err := ctx.Err(); err != nil {
			return ecosystem.Evidence{}, err
		}
		if c, ok := e.claim(doc.Resource, r); ok {
			if err := emit(c); err != nil {
				return ecosystem.Evidence{}, err
			}
		}
	}
	return evidence, nil
}

// claim returns what metadata states about the dist of a release, if that names this very
// metadata as its voucher.
func (e *Ecosystem) claim(meta ecosystem.Resource, r release) (ecosystem.Claim, bool) {
	var dist struct{ URL, Shasum string }
	if len(r.Dist) == 0 || json.Unmarshal(r.Dist, &dist) != nil {
		return ecosystem.Claim{}, false
	}
	d, err := digest.New(digest.SHA1, dist.Shasum)
	if err != nil {
		return ecosystem.Claim{}, false
	}
	u, err := url.Parse(dist.URL)
	if err != nil {
		return ecosystem.Claim{}, false
	}
	res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u, Client: client})
	names := func(v ecosystem.Resource) bool { return v.URL == meta.URL }
	if err != nil || !slices.ContainsFunc(res.VouchedBy, names) {
		return ecosystem.Claim{}, false
	}
	return ecosystem.Claim{URL: res.URL, Digest: d, Size: -1}, true
}
