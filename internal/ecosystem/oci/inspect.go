package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// maxManifest is the size that engines accept; registries accept no more either.
const maxManifest = 4 << 20

// A descriptor names content (image-spec, descriptor.md).
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// A manifest has the members of every kind of manifest and index. Those that a kind lacks
// are empty.
type manifest struct {
	Manifests []descriptor `json:"manifests"` // of an index, and the answer to referrers
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
	Blobs     []descriptor `json:"blobs"` // of an artifact manifest
	Subject   *descriptor  `json:"subject"`
	FSLayers  []struct {
		BlobSum string `json:"blobSum"`
	} `json:"fsLayers"` // schema 1
}

// Inspect reads a manifest and emits the digests of what it is made of; for a tag, also
// that its bytes are those of the manifest with their digest, so that a client which asks
// by digest next is answered from the store. Nothing is signed. src is not used.
func (e *Ecosystem) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	res := doc.Resource
	if doc.Size > maxManifest {
		return evidence, fmt.Errorf("%w: %s has %d bytes, a manifest has at most %d", ecosystem.ErrInvalid, res.URL, doc.Size, maxManifest)
	}
	b, err := io.ReadAll(doc.Reader())
	if err != nil {
		return evidence, err
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return evidence, fmt.Errorf("%w: %s: %w", ecosystem.ErrInvalid, res.URL, err)
	}
	if strings.Contains(res.URL[len(res.Repository):], "tags/list") {
		return evidence, nil
	}
	for _, c := range m.claims(res.Repository) {
		if err := emit(c); err != nil {
			return evidence, err
		}
	}
	if res.Probe != "" {
		d := digest.OfBytes(b)
		err = emit(ecosystem.Claim{URL: res.Repository + "manifests/" + string(d), Digest: d, Size: doc.Size})
	}
	return evidence, err
}

// claims returns what m states about the rest of the repository at root. Descriptors of
// algorithms that are not known state nothing.
func (m *manifest) claims(root string) []ecosystem.Claim {
	var out []ecosystem.Claim
	add := func(kind string, d descriptor) {
		if isDigest(d.Digest) && d.Size >= 0 {
			out = append(out, ecosystem.Claim{URL: root + kind + "/" + d.Digest, Digest: digest.Digest(d.Digest), Size: d.Size, Type: d.MediaType})
		}
	}
	for _, d := range m.Manifests {
		add("manifests", d)
	}
	blobs := append(m.Layers, m.Blobs...)
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	for _, d := range blobs {
		add("blobs", d)
	}
	for _, l := range m.FSLayers {
		if isDigest(l.BlobSum) {
			out = append(out, ecosystem.Claim{URL: root + "blobs/" + l.BlobSum, Digest: digest.Digest(l.BlobSum), Size: -1})
		}
	}
	return out
}
