package rubygems

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sutler/internal/ecosystem"
)

// Inspect checks that a part of the compact index is one: lines of the right shape. From an
// info file it emits the checksum of each gem. Of gemspecs and the old index, which are in
// Ruby's own serialisation, nothing is read. src is not used.
func (e *Ecosystem) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	res := doc.Resource
	if res.Sealed {
		return evidence, readable(doc)
	}
	if res.Package == "" {
		if err := checkList(doc); err != nil {
			return ecosystem.Evidence{}, fmt.Errorf("%s: %w", res.URL, err)
		}
		return evidence, nil
	}
	releases, err := readInfo(doc)
	if err != nil {
		return ecosystem.Evidence{}, fmt.Errorf("%s: %w", res.URL, err)
	}
	for _, r := range releases {
		if r.checksum == "" {
			continue
		}
		for _, u := range e.claimed(res, r) {
			if err := emit(ecosystem.Claim{URL: u, Digest: r.checksum, Size: -1, Published: r.created}); err != nil {
				return ecosystem.Evidence{}, err
			}
		}
	}
	return evidence, nil
}

// readable returns the error of a document that cannot be read.
func readable(doc ecosystem.Body) error {
	if doc.Size == 0 {
		return nil
	}
	_, err := doc.ReadAt(make([]byte, 1), 0)
	return err
}

// claimed returns the URLs of a release that name the info file as their voucher: on its own
// server, and for the host of the public index on the public site.
func (e *Ecosystem) claimed(res ecosystem.Resource, r release) []string {
	base := strings.TrimSuffix(res.URL, "/info/"+res.Package)
	servers := []string{base}
	if scheme, ok := strings.CutSuffix(base, "://"+publicIndex); ok {
		servers = append(servers, scheme+"://"+publicSite)
	}
	var out []string
	for _, s := range servers {
		gem, err := e.gem(s, res.Package+"-"+r.version)
		if err == nil && slices.ContainsFunc(gem.VouchedBy, func(v ecosystem.Resource) bool { return v.URL == res.URL }) {
			out = append(out, gem.URL)
		}
	}
	return out
}
