package helm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// maxIndex is the size of the largest index that is read. Parsed, it takes some thirty
// times as much.
const maxIndex = 24 << 20

// A listing is what is read of an index.
type listing struct {
	Entries map[string][]release `yaml:"entries"`
}

// A release is one version of a chart.
type release struct {
	Version string   `yaml:"version"`
	Digest  string   `yaml:"digest"`
	Created string   `yaml:"created"`
	URLs    []string `yaml:"urls"`
}

// Inspect emits the digest of each chart of an index that lies on the same origin. It says
// nothing about signatures of charts. src is not used.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	if doc.Resource.Proof {
		return ecosystem.Evidence{Note: "not verified here: clients have the keys"}, nil
	}
	var l listing
	if err := parse(doc, &l); err != nil {
		return ecosystem.Evidence{}, err
	}
	if l.Entries == nil {
		return ecosystem.Evidence{}, fmt.Errorf("%w: %s has no entries", ecosystem.ErrInvalid, doc.Resource.URL)
	}
	base, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(l.Entries)) {
		if err := ctx.Err(); err != nil {
			return ecosystem.Evidence{}, err
		}
		for _, r := range l.Entries[name] {
			for _, c := range e.claims(base, r) {
				if err := emit(c); err != nil {
					return ecosystem.Evidence{}, err
				}
			}
		}
	}
	return evidence, nil
}

// parse reads an index into v.
func parse(doc ecosystem.Body, v any) error {
	if doc.Size > maxIndex {
		return fmt.Errorf("%w: %s has %d bytes, more than %d", ecosystem.ErrInvalid, doc.Resource.URL, doc.Size, maxIndex)
	}
	text, err := io.ReadAll(doc.Reader())
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	err = yaml.Unmarshal(text, v)
	var wrong *yaml.TypeError
	switch {
	case errors.As(err, &wrong): // it holds a line for each mistake
		return fmt.Errorf("%w: %s: %s", ecosystem.ErrInvalid, doc.Resource.URL, wrong.Errors[0])
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ecosystem.ErrInvalid, doc.Resource.URL, err)
	}
	return nil
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
