package hex

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// The numbers of the fields that are read.
const (
	signedPayload, signedSignature protowire.Number = 1, 2

	listRepository protowire.Number = 2 // of names and versions

	packageReleases, packageName, packageRepository protowire.Number = 1, 2, 3

	releaseVersion, releaseOuter protowire.Number = 1, 5
)

// Inspect checks the signature of a list, and emits the checksum of each tarball in a list
// of releases. Other documents are kept as they come. src is not used.
func (e *Ecosystem) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	res := doc.Resource
	numbers := listRepository
	switch {
	case res.Package != "":
		numbers = packageRepository
	case !strings.HasSuffix(res.URL, "/names") && !strings.HasSuffix(res.URL, "/versions") || strings.Contains(res.URL, "/installs/"):
		return ecosystem.Evidence{Note: "not signed"}, nil
	}
	list, evidence, err := e.open(doc, numbers)
	if err != nil || res.Package == "" {
		return evidence, err
	}
	if name := string(list.last(packageName)); name != res.Package {
		return ecosystem.Evidence{}, fmt.Errorf("%w: %s is about the package %.100q", ecosystem.ErrInvalid, res.URL, name)
	}
	base := strings.TrimSuffix(res.URL, "/packages/"+res.Package)
	for _, raw := range list[packageReleases] {
		r, err := parse(raw)
		if err != nil {
			return ecosystem.Evidence{}, fmt.Errorf("%w: %s: %w", ecosystem.ErrInvalid, res.URL, err)
		}
		sum, version := r.last(releaseOuter), string(r.last(releaseVersion))
		file := res.Package + "-" + version + ".tar"
		if len(sum) != sha256.Size || version == "" || !urlpath.Plain(file) {
			continue // releases from before there were outer checksums
		}
		if err := emit(ecosystem.Claim{URL: urlpath.Join(base, "tarballs", file), Digest: digest.FromSum(sum), Size: -1}); err != nil {
			return ecosystem.Evidence{}, err
		}
	}
	return evidence, nil
}
