package npm

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// Inspect checks that a document is JSON and about the package that was asked for. From a
// packument it emits the integrity of each tarball, after checking the registry's
// signatures as far as their keys are known. Other documents claim nothing. src is not used.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	l, err := readListing(newScanner(doc.Reader()))
	if err != nil {
		return ecosystem.Evidence{}, fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	res := doc.Resource
	if (isPackument(res) || isManifest(res)) && l.name != res.Package {
		return ecosystem.Evidence{}, fmt.Errorf("%w: %s is about the package %q", ecosystem.ErrInvalid, res.URL, l.name)
	}
	if !isPackument(res) {
		return ecosystem.Evidence{Note: "not signed"}, nil
	}
	evidence, err := e.keys.check(ctx, l)
	if err != nil {
		return ecosystem.Evidence{}, fmt.Errorf("%s: %w", res.URL, err)
	}
	for i := range l.releases {
		for _, c := range e.claims(res.URL, l, &l.releases[i]) {
			if err := emit(c); err != nil {
				return ecosystem.Evidence{}, err
			}
		}
	}
	return evidence, nil
}

// claims returns what the packument at that URL states about the tarball of a release: at
// most one claim for the URL that the packument gives, and one for the place where its own
// registry has tarballs, if that is another. Only tarballs that name this very packument as
// their voucher are claimed.
func (e *Ecosystem) claims(packumentURL string, l *listing, r *release) []ecosystem.Claim {
	d, ok := r.digest()
	if !ok {
		return nil
	}
	var out []ecosystem.Claim
	for _, candidate := range []string{r.tarball, ownTarball(packumentURL, l.name, r.tarball)} {
		u, err := url.Parse(candidate)
		if err != nil {
			continue
		}
		t, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
		if err != nil || len(t.VouchedBy) == 0 || t.VouchedBy[0].URL != packumentURL {
			continue
		}
		if len(out) == 0 || out[0].URL != t.URL {
			out = append(out, ecosystem.Claim{URL: t.URL, Digest: d, Size: -1, Published: l.published(r.version)})
		}
	}
	return out
}

// ownTarball returns where the registry that the packument came from has a tarball, if the
// URL given has the shape of a tarball's; else "".
func ownTarball(packumentURL, name, tarball string) string {
	base, ok := strings.CutSuffix(packumentURL, escapeName(name))
	i := strings.LastIndex(tarball, "/-/")
	if !ok || i < 0 || !strings.HasSuffix(tarball[:i], "/"+escapePlain(name)) && !strings.HasSuffix(tarball[:i], "/"+escapeName(name)) {
		return ""
	}
	return base + escapePlain(name) + tarball[i:]
}

// digest returns what the release states about its tarball: the strongest algorithm of its
// integrity, or its SHA-1. An integrity with alternatives states nothing that could be
// checked as a claim, which must hold without an "or".
func (r *release) digest() (digest.Digest, bool) {
	all, err := digest.FromSRI(r.integrity)
	if err == nil {
		return all[0], len(all) == 1
	}
	d, err := digest.New(digest.SHA1, r.shasum)
	return d, err == nil
}
