package rpm

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// Media types of the two kinds of lists of mirrors.
const (
	metalinkType = "application/metalink+xml"
	listType     = "text/plain; charset=utf-8"
)

const (
	listFloor  = 5 * time.Minute
	listForm   = "few"     // of a list of mirrors: fewer than the origin states
	countParam = "countme" // says how old the client's system is, once a week; the same list answers
)

// mirrorLists are lists of mirrors that only their host and the start or end of their
// path tell.
var mirrorLists = [...]struct{ host, start, end string }{
	{"mirrors.almalinux.org", "/mirrorlist/", ""},
	{"mirrors.elrepo.org", "/mirrors-", ""},
	{"cdn.remirepo.net", "/", "/mirror"},
	{"cdn.remirepo.net", "/", "/httpsmirror"},
	{"rpms.remirepo.net", "/", "/mirror"},
	{centosList, "/", ""},
}

// mirrorList returns the list of mirrors that a request asks for, if it does.
func mirrorList(r ecosystem.Request) (ecosystem.Resource, bool) {
	kind, p, query := listAt(r.URL)
	if kind == "" {
		return ecosystem.Resource{}, false
	}
	res := ecosystem.Resource{Ecosystem: Name, Kind: ecosystem.Document, URL: r.URL.Scheme + "://" + urlpath.Host(r.URL) + p}
	if q := query.Encode(); q != "" {
		res.URL += "?" + q
	}
	if urlpath.Host(r.URL) == centosList {
		base, ok := vault(r.URL.Scheme, query)
		res.FormType, res.Literal = listType, []byte(native(r.Base, base)+"\n")
		return res, ok
	}
	res.Form, res.FormType = listForm, kind
	if kind == listType {
		res.Floor = listFloor
	}
	return res, true
}

// listAt returns what kind of list of mirrors a URL names, "" for none, and its path and
// query in canonical form.
func listAt(u *url.URL) (kind, p string, query url.Values) {
	p = "/"
	if len(u.EscapedPath()) > 1 {
		var ok bool
		if p, ok = urlpath.Canonical(u.EscapedPath()); !ok {
			return "", "", nil
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", "", nil
	}
	query.Del(countParam)
	asked := query.Get("repo") != "" && query.Get("arch") != ""
	name := path.Base(p)
	switch {
	case name == "metalink" && asked:
		return metalinkType, p, query
	case name == "mirrorlist" && asked, name == "mirror.list" && len(query) == 0:
		return listType, p, query
	}
	host := strings.ToLower(u.Hostname())
	for _, l := range mirrorLists {
		if l.host == host && strings.HasPrefix(p, l.start) && strings.HasSuffix(p, l.end) && !strings.HasSuffix(p, "/"+repodata+repomd) {
			return listType, p, query
		}
	}
	return "", "", nil
}

// listOf returns what kind of list of mirrors a canonical URL names.
func listOf(canonical string) (kind string, ok bool) {
	u, err := url.Parse(canonical)
	if err != nil {
		return "", false
	}
	kind, _, _ = listAt(u)
	return kind, kind != ""
}

// hostOf returns the host of a canonical URL.
func hostOf(canonical string) string {
	u, err := url.Parse(canonical)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// native returns the URL of the native endpoint for one of an archive, if a client uses it.
func native(base, archive string) string {
	if base == "" {
		return archive
	}
	for _, m := range mounts() {
		if p, ok := m.Native(archive); ok {
			return base + p
		}
	}
	return archive
}

// The last versions of CentOS, which now lie at vaultHost, by what clients call them.
var vaultVersions = map[string]string{"6": "6.10", "7": "7.9.2009", "8": "8.5.2111", "8-stream": "8-stream"}

const vaultHost = "vault.centos.org"

// word is a value in a query that may become an element of a path.
var word = regexp.MustCompile(`^[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*$`)

// vault returns where what the list of CentOS once led to lies now: the list is gone, and
// images that ask for it could not be built any more.
func vault(scheme string, query url.Values) (string, bool) {
	release, repo, arch := query.Get("release"), query.Get("repo"), query.Get("arch")
	version, ok := vaultVersions[release]
	if !ok || !word.MatchString(repo) || !word.MatchString(arch) {
		return "", false
	}
	if release[0] == '8' {
		return fmt.Sprintf("%s://%s/%s/%s/%s/os/", scheme, vaultHost, version, repo, arch), true
	}
	if !slices.Contains([]string{"x86_64", "i386"}, arch) {
		version = "altarch/" + version
	}
	if sub, ok := strings.CutPrefix(repo, "sclo-"); ok {
		return fmt.Sprintf("%s://%s/%s/sclo/%s/%s/", scheme, vaultHost, version, arch, sub), true
	}
	return fmt.Sprintf("%s://%s/%s/%s/%s/", scheme, vaultHost, version, repo, arch), true
}
