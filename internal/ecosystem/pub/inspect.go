package pub

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// A release is one version of a package.
type release struct {
	URL       string `json:"archive_url"`
	SHA256    string `json:"archive_sha256"`
	Published string `json:"published"`
}

// Inspect checks that a document is JSON and about the package asked for, and emits the
// digest of each archive in the same repository. src is not used.
func (e *Ecosystem) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	if doc.Resource.Sealed {
		var object map[string]json.RawMessage
		return evidence, jsondoc.Decode(doc, &object)
	}
	var l struct {
		Name     string    `json:"name"`
		Versions []release `json:"versions"`
	}
	if err := jsondoc.Decode(doc, &l); err != nil {
		return ecosystem.Evidence{}, err
	}
	if l.Name != doc.Resource.Package {
		return ecosystem.Evidence{}, fmt.Errorf("%w: %s is about the package %.100q", ecosystem.ErrInvalid, doc.Resource.URL, l.Name)
	}
	for _, r := range l.Versions {
		if c, ok := e.claim(doc.Resource, r); ok {
			if err := emit(c); err != nil {
				return ecosystem.Evidence{}, err
			}
		}
	}
	return evidence, nil
}

// claim returns what a list states about the archive of a release, if that names this very
// list as its voucher.
func (e *Ecosystem) claim(list ecosystem.Resource, r release) (ecosystem.Claim, bool) {
	d, err := digest.New(digest.SHA256, r.SHA256)
	if err != nil {
		return ecosystem.Claim{}, false
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return ecosystem.Claim{}, false
	}
	res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	names := func(v ecosystem.Resource) bool { return v.URL == list.URL }
	if err != nil || !slices.ContainsFunc(res.VouchedBy, names) {
		return ecosystem.Claim{}, false
	}
	return ecosystem.Claim{URL: res.URL, Digest: d, Size: -1, Published: published(r.Published)}, true
}

// published reads the time at which a version was uploaded; zero if that is not stated.
func published(s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return at
}
