package rpm

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// Floors: how long a document counts as fresh whatever its origin says. That of a signature
// is shorter, so that it is never older than a repomd.xml that was just fetched. A metalink
// has none: it states the digest of repomd.xml, so an older one would contradict a newer.
const (
	repomdFloor    = 2 * time.Minute
	signatureFloor = time.Minute
	keyFloor       = time.Hour
)

const (
	repodata  = "repodata/"
	repomd    = "repomd.xml"
	signature = "repomd.xml.asc"
	publicKey = "repomd.xml.key"
)

// Classify reports which resource a request asks for, by the shape of its path: mirrors
// need not be known. Packages are left to others unless a client of the ecosystem asks
// for them, the host is known, or the folder has a name that those of repositories have.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	u := r.URL
	origin, ok := urlpath.Origin(u)
	if !ok || u.User != nil || u.Fragment != "" {
		return none, ecosystem.ErrUnknown
	}
	if res, ok := mirrorList(r); ok {
		return res, method(r.Method)
	}
	p, ok := urlpath.Canonical(u.EscapedPath())
	if !ok {
		if len(u.Path) > 1 && e.profile.Owns(strings.ToLower(u.Hostname())) {
			return none, ecosystem.ErrRefused
		}
		return none, ecosystem.ErrUnknown
	}
	if u.RawQuery != "" || u.ForceQuery {
		return none, ecosystem.ErrUnknown
	}
	l := location{origin: origin}
	dir, name := path.Split(p)
	var res ecosystem.Resource
	switch {
	case strings.HasSuffix(dir, "/"+repodata):
		res, ok = l.metadata(strings.TrimSuffix(dir, repodata), name)
	case strings.HasSuffix(name, ".drpm"):
		res, ok = l.delta(dir, name)
	default:
		res, ok = l.packaged(dir, name)
		ok = ok && (isClient(r.Client) || isPackageFolder(dir) || e.profile.Owns(strings.ToLower(u.Hostname())))
	}
	if !ok {
		return none, ecosystem.ErrUnknown
	}
	if err := method(r.Method); err != nil {
		return none, err
	}
	return res, nil
}

// method returns nil for downloads.
func method(m string) error {
	if m != "GET" && m != "HEAD" {
		return ecosystem.ErrRefused
	}
	return nil
}

// clients are how the User-Agent fields of dnf, microdnf, yum and zypper start.
var clients = [...]string{"libdnf", "librepo/", "dnf/", "urlgrabber/", "ZYpp ", "zypper"}

// isClient reports whether a client of the ecosystem asks.
func isClient(agent string) bool {
	return slices.ContainsFunc(clients[:], func(c string) bool { return strings.HasPrefix(agent, c) })
}

// A location is where a path lies.
type location struct {
	origin string // scheme://host
}

// document returns a document of a repository. Where the base of the repository of a
// package is cannot be seen from its path, so all of a host are searched for it; what an
// index may speak of is bounded when it is read.
func (l location) document(p string, floor time.Duration) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: l.origin + p, Kind: ecosystem.Document, Sealed: true,
		Repository: l.origin + "/", Floor: floor}
}

// root returns the repomd.xml of the repository with that base.
func (l location) root(base string) ecosystem.Resource {
	res := l.document(base+repodata+repomd, repomdFloor)
	res.Root = true
	return res
}

// signature returns the detached signature of repomd.xml.
func (l location) signature(base string) ecosystem.Resource {
	res := l.document(base+repodata+signature, signatureFloor)
	res.Proof = true
	return res
}

// indexName is what files in repodata are named: after what they hold and how that is
// packed, or after their digest.
var indexName = regexp.MustCompile(`^(?:([0-9a-f]{32,128})-.+|[^/]+\.(?:xml|sqlite|yaml)(?:\.(?:gz|xz|zst|bz2|zck))?|productid(?:\.gz)?)$`)

// metadata returns a file of the folder repodata.
func (l location) metadata(base, name string) (ecosystem.Resource, bool) {
	switch name {
	case repomd:
		return l.root(base), true
	case signature:
		return l.signature(base), true
	case publicKey:
		return l.document(base+repodata+name, keyFloor), true
	}
	m := indexName.FindStringSubmatch(name)
	if m == nil {
		return ecosystem.Resource{}, false
	}
	return l.member(base, name, m[1]), true
}

// member returns an index, whose digest repomd.xml states. A digest in its name is a claim
// as well, if it is a strong one; who signed it is known only from repomd.xml.
func (l location) member(base, name, sum string) ecosystem.Resource {
	res := l.document(base+repodata+name, 0)
	res.VouchedBy = []ecosystem.Resource{l.root(base)}
	algorithm := ""
	switch len(sum) {
	case 64:
		algorithm = digest.SHA256
	case 128:
		algorithm = digest.SHA512
	}
	if d, err := digest.New(algorithm, sum); err == nil && d.Strong() {
		res.Claims = []ecosystem.Claim{{URL: res.URL, Digest: d, Size: -1, By: ecosystem.ByURL}}
	}
	return res
}

// primary returns the index of packages under the one name that it has in every
// generation, however it is packed: see alias.
func (l location) primary(base string) ecosystem.Resource {
	return l.member(base, "primary.xml", "")
}

// packageFolders lie below the base of a repository, and hold nothing but packages.
var packageFolders = [...]string{"/Packages/", "/packages/", "/getPackage/", "/getPackageSource/", "/RPMS/"}

// architectures are names of folders that packages lie in, with or without a base above.
var architectures = [...]string{"x86_64", "noarch", "aarch64", "i386", "i586", "i686", "ppc64le", "s390x", "armv7hl", "riscv64", "src", "nosrc", "SRPMS"}

// isPackageFolder reports whether a folder has a name that tells it holds packages.
func isPackageFolder(dir string) bool {
	if _, ok := packageBase(dir); ok {
		return true
	}
	return slices.Contains(architectures[:], path.Base(dir))
}

// packageBase returns the base of the repository of a folder of packages, if its name tells.
func packageBase(dir string) (string, bool) {
	for _, f := range packageFolders {
		if i := strings.LastIndex(dir, f); i >= 0 {
			return dir[:i+1], true
		}
	}
	return "", false
}

// packageName is NAME-VERSION-RELEASE.ARCH.rpm. Without a digit in its version it is the
// name of a download that changes ("latest"), and no package of a repository.
var packageName = regexp.MustCompile(`^(.+)-([^-]*[0-9][^-]*-[^-]+)\.[A-Za-z0-9_]+\.rpm$`)

// packaged returns a package that any index of its host may list.
func (l location) packaged(dir, name string) (ecosystem.Resource, bool) {
	if !strings.HasSuffix(name, ".rpm") {
		return ecosystem.Resource{}, false
	}
	decoded, ok := urlpath.Decode(name)
	m := packageName.FindSubmatch(decoded)
	if !ok || m == nil {
		return ecosystem.Resource{}, false
	}
	res := ecosystem.Resource{Ecosystem: Name, URL: l.origin + dir + name, Repository: l.origin + "/", Package: string(m[1]), Version: string(m[2])}
	if base, ok := packageBase(dir); ok {
		res.VouchedBy = []ecosystem.Resource{l.primary(base)}
	}
	return res, true
}

// delta returns the difference between two packages. prestodelta.xml lists it.
func (l location) delta(dir, name string) (ecosystem.Resource, bool) {
	return ecosystem.Resource{Ecosystem: Name, URL: l.origin + dir + name, Repository: l.origin + "/"}, strings.HasSuffix(dir, "/drpms/")
}
