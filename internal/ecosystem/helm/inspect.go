package helm

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// A release is one version of a chart.
type release struct {
	Version string
	Digest  string
	Created string
	URLs    []string
}

// Inspect emits the digest of each chart of an index that lies on the same origin. It says
// nothing about signatures of charts. src is not used.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	if doc.Resource.Proof {
		return ecosystem.Evidence{Note: "not verified here: clients have the keys"}, nil
	}
	defer e.alone(doc)()
	root, err := parse(doc)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	base, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	all, err := releases(root)
	if err != nil {
		return ecosystem.Evidence{}, invalid(doc, err)
	}
	for _, n := range all {
		r, err := read(n)
		if err != nil {
			return ecosystem.Evidence{}, invalid(doc, err)
		}
		if err := ctx.Err(); err != nil {
			return ecosystem.Evidence{}, err
		}
		for _, c := range e.claims(base, r) {
			if err := emit(c); err != nil {
				return ecosystem.Evidence{}, err
			}
		}
	}
	return evidence, nil
}

// claims returns what an index states about a release: its digest, for each place on the
// same origin where whoever asks for it would look into this index.
func (e *Ecosystem) claims(index *url.URL, r release) []ecosystem.Claim {
	d, err := digest.New(digest.SHA256, strings.TrimPrefix(r.Digest, "sha256:"))
	if err != nil {
		return nil
	}
	var out []ecosystem.Claim
	for _, raw := range r.URLs {
		u, err := index.Parse(raw)
		if err != nil {
			continue
		}
		t, err := e.sites.Read(ecosystem.Request{Method: "GET", URL: u})
		if err != nil || !strings.HasSuffix(last(t), ".tgz") {
			continue
		}
		c := chart(t)
		if slices.ContainsFunc(c.VouchedBy, func(v ecosystem.Resource) bool { return v.URL == index.String() }) {
			out = append(out, ecosystem.Claim{URL: c.URL, Digest: d, Size: -1, Published: r.created()})
		}
	}
	return out
}

// created returns when the release was put into the index; zero if that is not stated.
func (r release) created() time.Time {
	at, err := time.Parse(time.RFC3339, r.Created)
	if err != nil {
		return time.Time{}
	}
	return at
}
