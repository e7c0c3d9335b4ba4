package cargo

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"sutler/internal/ecosystem"
)

// Inspect checks a document. An index file must be lines of JSON about the crate that was
// asked for, each version once; it emits the checksum of each crate, at the places where
// the registry has it. The registry's config.json is read through src for that.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, src ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	res := doc.Resource
	if res.Package == "" {
		if _, err := readConfig(doc); err != nil {
			return ecosystem.Evidence{}, fmt.Errorf("%s: %w", res.URL, err)
		}
		return evidence, nil
	}
	releases, err := readIndex(doc)
	if err != nil {
		return ecosystem.Evidence{}, fmt.Errorf("%s: %w", res.URL, err)
	}
	if len(releases) == 0 {
		return evidence, nil
	}
	places, err := e.places(ctx, res, src)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	for _, r := range releases {
		for _, u := range e.claimed(res, places, r) {
			if err := emit(ecosystem.Claim{URL: u, Digest: r.cksum, Size: -1, Published: r.published}); err != nil {
				return ecosystem.Evidence{}, err
			}
		}
	}
	return evidence, nil
}

// places returns the templates of the URLs of the crates that an index file lists.
func (e *Ecosystem) places(ctx context.Context, res ecosystem.Resource, src ecosystem.Source) ([]string, error) {
	base := strings.TrimSuffix(res.URL, indexPath(res.Package))
	body, err := src.Document(ctx, config(base))
	if err != nil {
		return nil, fmt.Errorf("where %s has its crates: %w", base, err)
	}
	c, err := readConfig(body)
	if err != nil {
		return nil, fmt.Errorf("%sconfig.json: %w", base, err)
	}
	out := []string{c.downloads}
	if !hasMark(c.downloads) {
		// Some hosts have crates under both names.
		out = []string{c.downloads + "/{crate}/{version}/download", c.downloads + "/{crate}/{crate}-{version}.crate"}
	}
	if c.api != "" {
		out = append(out, c.api+"/api/v1/crates/{crate}/{version}/download")
	}
	return out, nil
}

// claimed returns the URLs of a release that name the index file as their voucher, each once.
func (e *Ecosystem) claimed(res ecosystem.Resource, places []string, r release) []string {
	var out []string
	for _, template := range places {
		u, err := url.Parse(r.at(template))
		if err != nil {
			continue
		}
		crate, err := e.Classify(ecosystem.Request{Method: "GET", URL: u, Client: clientName})
		if err != nil || crate.Package != r.name || crate.Version != r.version || slices.Contains(out, crate.URL) {
			continue
		}
		if slices.ContainsFunc(crate.VouchedBy, func(v ecosystem.Resource) bool { return v.URL == res.URL }) {
			out = append(out, crate.URL)
		}
	}
	return out
}
