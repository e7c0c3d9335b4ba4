package nuget

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
	"sutler/internal/urlpath"
)

// An entry is what the catalog states about a version. A leaf names it, or holds it.
type entry struct {
	ID        string `json:"id"`
	Hash      string `json:"packageHash"`
	Algorithm string `json:"packageHashAlgorithm"`
	Size      *int64 `json:"packageSize"`
	Created   string `json:"created"`
}

// Inspect checks that a document is JSON. From the registration leaf of a version it emits
// the digest of the package, which it takes from the catalog leaf that src has.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, src ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	res := doc.Resource
	if res.Version == "" {
		var object map[string]json.RawMessage
		return evidence, jsondoc.Decode(doc, &object)
	}
	var l struct {
		Entry json.RawMessage `json:"catalogEntry"`
	}
	if err := jsondoc.Decode(doc, &l); err != nil {
		return ecosystem.Evidence{}, err
	}
	base, ok := above(res)
	if !ok || len(l.Entry) == 0 {
		return evidence, nil
	}
	stated, err := e.entry(ctx, res, l.Entry, src)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	d, ok := stated.digest()
	if !ok {
		return evidence, nil
	}
	c := ecosystem.Claim{
		URL:    urlpath.Join(base, container, res.Package, res.Version, res.Package+"."+res.Version+".nupkg"),
		Digest: d, Size: -1,
	}
	if stated.Size != nil && *stated.Size >= 0 {
		c.Size = *stated.Size
	}
	if at, err := time.Parse(time.RFC3339, stated.Created); err == nil {
		c.Published = at
	}
	return evidence, emit(c)
}

// above returns the URL of the folder in which a leaf's hive and the flat container lie.
func above(leaf ecosystem.Resource) (string, bool) {
	for _, hive := range hives {
		if base, ok := strings.CutSuffix(leaf.URL, urlpath.Join("/v3/"+hive, leaf.Package, leaf.Version+".json")); ok {
			return base, true
		}
	}
	return "", false
}

// entry returns the catalog's entry for a leaf: what the leaf holds, or what lies at the
// URL that it holds, if that is in the catalog of the same origin.
func (e *Ecosystem) entry(ctx context.Context, leaf ecosystem.Resource, raw json.RawMessage, src ecosystem.Source) (entry, error) {
	var out entry
	var at string
	if json.Unmarshal(raw, &at) != nil {
		body := ecosystem.Body{Resource: leaf, ReaderAt: bytes.NewReader(raw), Size: int64(len(raw))}
		return out, jsondoc.Decode(body, &out)
	}
	u, err := url.Parse(at)
	if err != nil {
		return out, fmt.Errorf("%w: %s: catalogEntry is no URL", ecosystem.ErrInvalid, leaf.URL)
	}
	res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	if err != nil || res.Floor != catalogFloor || !sameOrigin(res.URL, leaf.URL) {
		return out, nil // it is as good as none: feeds that mirror others name the catalog there
	}
	doc, err := src.Document(ctx, res)
	if err != nil {
		return out, err
	}
	if err := jsondoc.Decode(doc, &out); err != nil {
		return out, err
	}
	if !strings.EqualFold(out.ID, leaf.Package) {
		return out, fmt.Errorf("%w: %s is about %.100q, not %q", ecosystem.ErrInvalid, res.URL, out.ID, leaf.Package)
	}
	return out, nil
}

// digest returns the digest of the package, if one is stated.
func (s entry) digest() (digest.Digest, bool) {
	if s.Algorithm != "SHA512" {
		return "", false
	}
	all, err := digest.FromSRI("sha512-" + s.Hash)
	if err != nil || len(all) != 1 {
		return "", false
	}
	return all[0], true
}

// sameOrigin reports whether two canonical URLs are of one origin.
func sameOrigin(a, b string) bool {
	cut := func(u string) string {
		scheme, rest, _ := strings.Cut(u, "://")
		host, _, _ := strings.Cut(rest, "/")
		return scheme + "://" + host
	}
	return cut(a) == cut(b)
}
