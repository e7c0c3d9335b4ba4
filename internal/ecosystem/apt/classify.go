package apt

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// floor is the least time that a release counts as fresh.
const floor = 2 * time.Minute

// releaseNames are the signed roots, best first.
var releaseNames = [...]string{"InRelease", "Release"}

// Classify implements ecosystem.Ecosystem.
func (a *Apt) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	p := r.URL.Path
	if r.URL.RawQuery != "" || !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.ContainsAny(p, "\\\x00%") {
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	}
	at := location{base: r.URL.Scheme + "://" + r.URL.Host, owned: a.Profile().Owns(r.URL.Hostname())}
	res, ok := at.resource(p)
	switch {
	case !ok:
		return res, ecosystem.ErrUnknown
	case r.Method != "GET" && r.Method != "HEAD":
		return ecosystem.Resource{}, ecosystem.ErrRefused
	}
	return res, nil
}

// A location is the origin that a path is at.
type location struct {
	base  string // scheme://host
	owned bool   // the host is known to hold repositories
}

// url returns the canonical URL of a decoded path.
func (l location) url(p string) string { return l.base + (&url.URL{Path: p}).EscapedPath() }

// resource returns what a path names, by its shape.
func (l location) resource(p string) (ecosystem.Resource, bool) {
	if i := strings.LastIndex(p, "/dists/"); i >= 0 {
		return l.listed(p, p[:i], p[i+len("/dists/"):])
	}
	if i := strings.LastIndex(p, "/pool/"); i >= 0 && isPackage(p) {
		return l.artifact(p, p[:i]), true
	}
	dir, name := path.Split(p)
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case isRelease(name):
		return l.release(p, dir, name), true
	case strings.Contains(dir, "/by-hash/") && l.owned, isIndex(name):
		return l.member(p, dir, []string{indexDir(dir)}), true
	case l.owned && isPackage(p):
		return l.artifact(p, dir), true
	}
	return ecosystem.Resource{}, false
}

// listed returns a resource below dists/.
func (l location) listed(p, root, rest string) (ecosystem.Resource, bool) {
	dir, name := path.Split(rest)
	dir = strings.TrimSuffix(dir, "/")
	if dir == "" || name == "" {
		return ecosystem.Resource{}, false
	}
	if isRelease(name) && marker(strings.Split(dir, "/")) < 0 {
		return l.release(p, root, name), true
	}
	var suites []string
	for _, s := range suitesOf(indexDir(dir)) {
		suites = append(suites, root+"/dists/"+s)
	}
	return l.member(p, root, suites), true
}

// indexDir returns the folder of the index that a by-hash folder belongs to.
func indexDir(dir string) string {
	before, _, _ := strings.Cut(dir, "/by-hash/")
	return before
}

// marker returns the place of the element below the component, or -1.
func marker(elements []string) int {
	return slices.IndexFunc(elements, func(e string) bool {
		return strings.HasPrefix(e, "binary-") || strings.HasPrefix(e, "installer-") || e == "source" || e == "i18n" || e == "dep11" ||
			e == "cnf" || strings.HasPrefix(e, "debian-installer")
	})
}

// suitesOf returns the suites that an index in a folder below dists/ may belong to.
func suitesOf(dir string) []string {
	e := strings.Split(dir, "/")
	if m := marker(e); m >= 2 {
		return []string{strings.Join(e[:m-1], "/")}
	}
	if len(e) > 1 { // Contents files lie in the component or in the suite
		return []string{strings.Join(e[:len(e)-1], "/"), dir}
	}
	return []string{dir}
}

func isRelease(name string) bool {
	return name == "InRelease" || name == "Release" || name == "Release.gpg"
}

func isIndex(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	return stem == "Packages" || stem == "Sources"
}

// isPackage reports whether a path names a binary or source package, or a part of one.
func isPackage(p string) bool {
	for _, s := range [...]string{".deb", ".udeb", ".ddeb", ".dsc", ".diff.gz"} {
		if strings.HasSuffix(p, s) {
			return true
		}
	}
	name := path.Base(p)
	return strings.Contains(name, ".tar.") && (strings.Contains(name, ".orig") || strings.Contains(name, ".debian.") ||
		strings.Contains(p, "/pool/") && strings.Contains(name, "_"))
}

// release returns a signed root, or the detached signature of one.
func (l location) release(p, root, name string) ecosystem.Resource {
	res := ecosystem.Resource{Ecosystem: "apt", URL: l.url(p), Kind: ecosystem.Document, Sealed: true, Floor: floor, Repository: l.url(root)}
	if name == "Release.gpg" {
		res.Proof = true
		return res
	}
	res.Root = true
	return res
}

// member returns an index, whose digest one of the suites' releases states.
func (l location) member(p, root string, suites []string) ecosystem.Resource {
	res := ecosystem.Resource{Ecosystem: "apt", URL: l.url(p), Kind: ecosystem.Document, Sealed: true, Repository: l.url(root)}
	for _, s := range suites {
		for _, name := range releaseNames {
			res.VouchedBy = append(res.VouchedBy, l.release(s+"/"+name, root, name))
		}
	}
	_, hash, ok := strings.Cut(p, "/by-hash/")
	if !ok {
		return res
	}
	alg, hex, _ := strings.Cut(hash, "/")
	if d, err := digest.New(strings.ToLower(alg), hex); err == nil && d.Strong() {
		res.Claims = []ecosystem.Claim{{URL: res.URL, Digest: d, Size: -1, By: ecosystem.ByURL}}
	}
	return res
}

// artifact returns a package file, which any index of the repository may claim.
func (l location) artifact(p, root string) ecosystem.Resource {
	res := ecosystem.Resource{Ecosystem: "apt", URL: l.url(p), Repository: l.url(root)}
	f := strings.Split(path.Base(p), "_")
	res.Package = f[0]
	if len(f) > 1 {
		res.Version = f[1]
		for _, s := range [...]string{".orig", ".debian", ".dsc", ".diff", ".tar"} {
			res.Version, _, _ = strings.Cut(res.Version, s)
		}
	}
	return res
}

// escape returns a decoded relative path as it stands in canonical URLs.
func escape(name string) string { return (&url.URL{Path: "/" + name}).EscapedPath()[1:] }
