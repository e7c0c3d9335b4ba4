package apt

import (
	"path"
	"strings"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// Floors: how long a document counts as fresh whatever its origin says. That of a detached
// signature is shorter, so that it is never older than a release that was just fetched.
const (
	releaseFloor   = 2 * time.Minute
	signatureFloor = time.Minute
	changelogFloor = time.Hour
)

// releaseNames are the names of a release, best first.
var releaseNames = [...]string{"InRelease", "Release"}

// aptClient is how the User-Agent of apt starts, in all versions.
const aptClient = "Debian APT-"

// Classify reports which resource a request asks for, by the shape of its path: mirrors
// need not be known. Only packages outside of pool/ and dists/ are left to others, unless
// apt asks for them, or the host is known to hold repositories and the name has a version.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	u := r.URL
	origin, ok := urlpath.Origin(u)
	if !ok || u.User != nil || u.RawQuery != "" || u.ForceQuery {
		return none, ecosystem.ErrUnknown
	}
	p, ok := urlpath.Canonical(u.EscapedPath())
	if !ok {
		if len(u.Path) > 1 && e.owns(u) {
			return none, ecosystem.ErrRefused
		}
		return none, ecosystem.ErrUnknown
	}
	pl, ok := locate(p)
	switch {
	case !ok:
		return none, ecosystem.ErrUnknown
	case pl.flat && pl.kind == packaged && !strings.HasPrefix(r.Client, aptClient) && !(isVersioned(pl.name) && e.owns(u)):
		return none, ecosystem.ErrUnknown
	case r.Method != "GET" && r.Method != "HEAD":
		return none, ecosystem.ErrRefused
	}
	return location{origin: origin}.resource(pl), nil
}

// A location is where a path lies.
type location struct {
	origin string // scheme://host
}

// resource returns what lies at a place.
func (l location) resource(pl place) ecosystem.Resource {
	switch pl.kind {
	case release:
		return l.release(pl.dir, pl.name, pl.root)
	case signature:
		return l.signature(pl.dir, pl.root)
	case packaged:
		return l.packaged(pl)
	case changelogs:
		return l.document(pl, changelogFloor)
	case patch:
		// Its name is the time of its version: it never changes.
		return ecosystem.Resource{Ecosystem: Name, URL: l.origin + pl.path, VouchedBy: []ecosystem.Resource{l.sibling(pl.dir + "Index")}}
	case image:
		res := l.document(pl, 0)
		res.VouchedBy = []ecosystem.Resource{l.sibling(pl.images + "SHA256SUMS")}
		return res
	}
	return l.member(pl)
}

// document returns a document that lies at a place.
func (l location) document(pl place, floor time.Duration) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: l.origin + pl.path, Kind: ecosystem.Document, Sealed: true,
		Repository: l.origin + pl.root, Floor: floor}
}

// sibling returns the member at another path.
func (l location) sibling(p string) ecosystem.Resource {
	pl, _ := locate(p) // the path of a sibling of a place is one
	return l.member(pl)
}

// release returns the release of a folder.
func (l location) release(dir, name, root string) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: l.origin + dir + name, Kind: ecosystem.Document, Root: true, Sealed: true,
		Repository: l.origin + root, Floor: releaseFloor}
}

// signature returns the detached signature of the Release of a folder.
func (l location) signature(dir, root string) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: l.origin + dir + "Release.gpg", Kind: ecosystem.Document, Sealed: true, Proof: true,
		Repository: l.origin + root, Floor: signatureFloor}
}

// member returns a file whose digest a release states. A digest in its path is a claim as
// well, if it is a strong one; who signed it is known only from the release.
func (l location) member(pl place) ecosystem.Resource {
	res := l.document(pl, 0)
	res.VouchedBy = make([]ecosystem.Resource, 0, len(pl.suites)*len(releaseNames))
	for _, dir := range pl.suites {
		for _, name := range releaseNames {
			res.VouchedBy = append(res.VouchedBy, l.release(dir, name, pl.root))
		}
	}
	if pl.digest.Strong() {
		res.Claims = []ecosystem.Claim{{URL: res.URL, Digest: pl.digest, Size: -1, By: ecosystem.ByURL}}
	}
	return res
}

// packaged returns a file that any index of the repository may list.
func (l location) packaged(pl place) ecosystem.Resource {
	res := ecosystem.Resource{Ecosystem: Name, URL: l.origin + pl.path, Repository: l.origin + pl.root}
	res.Package, res.Version = cutName(path.Base(pl.path))
	return res
}
