package pypi

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// Inspect checks that a page is about the project that was asked for, and emits the digest
// of each file and of its metadata. Only files that name this very page as their voucher are
// claimed. Other documents claim nothing. src is not used.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	p, err := readPage(doc, true)
	if err != nil {
		return ecosystem.Evidence{}, fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	if !isPage(doc.Resource) {
		return evidence, nil
	}
	if name := text(p.members["name"]); normalize(name) != doc.Resource.Package {
		return ecosystem.Evidence{}, fmt.Errorf("%w: %s is about the project %q", ecosystem.ErrInvalid, doc.Resource.URL, name)
	}
	for i := range p.files {
		if err := ctx.Err(); err != nil {
			return ecosystem.Evidence{}, err
		}
		for _, c := range e.claims(doc.Resource, &p.files[i]) {
			if err := emit(c); err != nil {
				return ecosystem.Evidence{}, err
			}
		}
	}
	return evidence, nil
}

// claims returns what a page states about a file and its metadata.
func (e *Ecosystem) claims(page ecosystem.Resource, f *file) []ecosystem.Claim {
	res, ok := e.claimed(page, f)
	if !ok {
		return nil
	}
	var out []ecosystem.Claim
	if d, ok := strongest(f.hashes()); ok {
		out = append(out, ecosystem.Claim{URL: res.URL, Digest: d, Size: f.size(), Published: f.published()})
	}
	if d, ok := strongest(f.metadata()); ok {
		out = append(out, ecosystem.Claim{URL: res.URL + metadataSuffix, Digest: d, Size: -1, Published: f.published()})
	}
	return out
}

// claimed returns the resource of a file, and whether the page may speak of it.
func (e *Ecosystem) claimed(page ecosystem.Resource, f *file) (ecosystem.Resource, bool) {
	u, err := url.Parse(f.url)
	if err != nil || f.url == "" || strings.HasSuffix(f.url, metadataSuffix) {
		return ecosystem.Resource{}, false
	}
	res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	return res, err == nil && slices.ContainsFunc(res.VouchedBy, func(v ecosystem.Resource) bool { return v.URL == page.URL })
}

// algorithms are those of which an index may state digests, best first. MD5 and SHA-1 verify
// nothing, but a file that contradicts them is not the one that was meant.
func algorithms() []string {
	return []string{digest.SHA256, digest.SHA512, digest.SHA384, digest.SHA1, digest.MD5}
}

// strongest returns the best digest among those stated, by algorithm.
func strongest(hashes map[string]string) (digest.Digest, bool) {
	for _, alg := range algorithms() {
		if d, err := digest.New(alg, hashes[alg]); err == nil {
			return d, true
		}
	}
	return "", false
}
