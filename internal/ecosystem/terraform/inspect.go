package terraform

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
	"sutler/internal/urlpath"
)

// maxSums is the size of the largest list of digests that is read.
const maxSums = 1 << 20

// Inspect emits the digest of the archive that a download document names, and those of a
// list beside archives. Other documents must be JSON, and claim nothing. src is not used.
func (e *Ecosystem) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	res := doc.Resource
	switch {
	case res.Proof:
		return ecosystem.Evidence{Note: "not verified here: clients have the key from the registry"}, nil
	case strings.HasSuffix(res.URL, "_SHA256SUMS"):
		return evidence, e.sums(doc, emit)
	case res.Version == "":
		var object map[string]json.RawMessage
		return evidence, jsondoc.Decode(doc, &object)
	}
	var d struct {
		URL    string `json:"download_url"`
		Shasum string `json:"shasum"`
	}
	if err := jsondoc.Decode(doc, &d); err != nil {
		return ecosystem.Evidence{}, err
	}
	u, err := url.Parse(res.URL)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	if u, err = u.Parse(d.URL); err != nil {
		return ecosystem.Evidence{}, fmt.Errorf("%w: %s: download_url is no URL", ecosystem.ErrInvalid, res.URL)
	}
	sum, err := digest.New(digest.SHA256, d.Shasum)
	if err != nil {
		return ecosystem.Evidence{}, fmt.Errorf("%w: %s: shasum %.100q is no SHA-256", ecosystem.ErrInvalid, res.URL, d.Shasum)
	}
	archive, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	names := func(v ecosystem.Resource) bool { return v.URL == res.URL }
	if err != nil || !slices.ContainsFunc(archive.VouchedBy, names) {
		return evidence, nil // whoever asks for it will not ask this document
	}
	return evidence, emit(ecosystem.Claim{URL: archive.URL, Digest: sum, Size: -1})
}

// sums emits the digests of a list, one "HEX  NAME" a line, for the files beside it.
func (e *Ecosystem) sums(doc ecosystem.Body, emit func(ecosystem.Claim) error) error {
	if doc.Size > maxSums {
		return fmt.Errorf("%w: %s has %d bytes, more than %d", ecosystem.ErrInvalid, doc.Resource.URL, doc.Size, maxSums)
	}
	base := doc.Resource.URL[:strings.LastIndexByte(doc.Resource.URL, '/')]
	text, err := io.ReadAll(doc.Reader())
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 2 || !urlpath.Plain(strings.TrimPrefix(f[1], "*")) {
			return fmt.Errorf("%w: %s: %.100q is no line of digest and name", ecosystem.ErrInvalid, doc.Resource.URL, line)
		}
		d, err := digest.New(digest.SHA256, f[0])
		if err != nil {
			return fmt.Errorf("%w: %s: %.100q is no SHA-256", ecosystem.ErrInvalid, doc.Resource.URL, f[0])
		}
		if err := emit(ecosystem.Claim{URL: urlpath.Join(base, strings.TrimPrefix(f[1], "*")), Digest: d, Size: -1}); err != nil {
			return err
		}
	}
	return nil
}
