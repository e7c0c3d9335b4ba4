package pypi

import (
	"net/url"
	"slices"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// maxVouchers bounds how many pages are read to find out about one file.
const maxVouchers = 4

// metadataSuffix is what the URL of a file's metadata ends in.
const metadataSuffix = ".metadata"

// Classify reports which resource a request asks for. Project pages and files are known by
// the host and path of their index, or on any host by /simple/ and the layouts of files that
// index programs have. What else is asked of a public index is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	u := r.URL
	if _, ok := urlpath.Origin(u); !ok {
		return none, ecosystem.ErrUnknown
	}
	public := e.public(u.Hostname())
	segments, dir, ok := urlpath.Segments(u.EscapedPath())
	switch {
	case !ok && public:
		return none, ecosystem.ErrRefused
	case !ok:
		return none, ecosystem.ErrUnknown
	case public && !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, r.Method):
		return none, ecosystem.ErrRefused
	}
	if (r.Method == "GET" || r.Method == "HEAD") && u.User == nil && u.RawQuery == "" {
		// Where links are rewritten, a page without its slash is no trap: none is relative.
		if res, ok := e.resource(u, segments, dir || r.Base != "" && e.bare(u, segments)); ok {
			return forClient(res, r), nil
		}
	}
	if public {
		return none, ecosystem.ErrBypass
	}
	return none, ecosystem.ErrUnknown
}

// public reports whether a host has nothing but a public index or its files.
func (e *Ecosystem) public(host string) bool {
	return slices.ContainsFunc(e.roots, func(r root) bool {
		return r.public && (strings.EqualFold(r.host, host) || strings.EqualFold(r.files, host))
	})
}

// resource returns what lies at a path, if that is known.
func (e *Ecosystem) resource(u *url.URL, segments []string, dir bool) (ecosystem.Resource, bool) {
	if len(segments) == 0 {
		return ecosystem.Resource{}, false
	}
	origin := u.Scheme + "://" + urlpath.Host(u)
	above, last := segments[:len(segments)-1], segments[len(segments)-1]
	switch {
	case dir:
		if !e.index(u, above) || !validProject(last) {
			return ecosystem.Resource{}, false
		}
		return projectPage(origin+join(above), normalize(last)), true
	case last == "json" && e.public(u.Hostname()):
		return description(origin, above)
	}
	return e.file(u, above, last)
}

// bare reports whether a path is that of a project page, but for the slash at its end.
func (e *Ecosystem) bare(u *url.URL, segments []string) bool {
	n := len(segments) - 1
	return n > 0 && e.index(u, segments[:n]) && len(releases(strings.TrimSuffix(segments[n], metadataSuffix))) == 0
}

// index reports whether project pages lie under a path: the last step is called so by the
// specification, or it is under the root of an index that is known.
func (e *Ecosystem) index(u *url.URL, segments []string) bool {
	if n := len(segments); n > 0 && (segments[n-1] == "simple" || segments[n-1] == "+simple") {
		return true
	}
	return slices.ContainsFunc(e.roots, func(r root) bool {
		return r.serves(u) && strings.HasPrefix(join(segments), r.path)
	})
}

// serves reports whether the pages of the index are on the host of u.
func (r root) serves(u *url.URL) bool {
	return strings.EqualFold(r.host, u.Hostname()) || strings.EqualFold(r.host, u.Host)
}

// projectPage returns the resource that lists the files of a project; index is a URL with a
// slash at its end.
func projectPage(index, project string) ecosystem.Resource {
	return ecosystem.Resource{
		Ecosystem: Name, URL: index + project + "/", Kind: ecosystem.Document, Package: project,
		Accept: pageTypes, Floor: pageFloor, Header: []ecosystem.Setting{{Name: "Cache-Control", Value: clientAge}},
	}
}

// isPage reports whether res is a project page.
func isPage(res ecosystem.Resource) bool { return strings.HasSuffix(res.URL, "/") }

// description returns the resource for /pypi/{project}/json and /pypi/{project}/{version}/json,
// where poetry reads what a version depends on, and others read about projects.
func description(origin string, above []string) (ecosystem.Resource, bool) {
	if n := len(above); n != 2 && n != 3 || above[0] != "pypi" || !validProject(above[1]) {
		return ecosystem.Resource{}, false
	}
	path := append([]string{"pypi", normalize(above[1])}, above[2:]...)
	return ecosystem.Resource{
		Ecosystem: Name, URL: origin + join(path) + "json", Kind: ecosystem.Document, Package: path[1],
		Version: strings.Join(above[2:], ""), Accept: "application/json", Floor: pageFloor,
	}, true
}

// file returns the resource for a distribution or its metadata, and the pages that may speak
// of it. It is of no index that is known if there is no such page.
func (e *Ecosystem) file(u *url.URL, above []string, name string) (ecosystem.Resource, bool) {
	distribution, _ := strings.CutSuffix(name, metadataSuffix)
	var pages []ecosystem.Resource
	var of release
	for _, r := range releases(distribution) {
		for _, index := range e.indexes(u, above, r, strings.HasSuffix(distribution, ".whl")) {
			p := projectPage(index, r.project)
			if len(pages) < maxVouchers && !slices.ContainsFunc(pages, func(o ecosystem.Resource) bool { return o.URL == p.URL }) {
				pages = append(pages, p)
			}
		}
		if of == (release{}) && len(pages) > 0 {
			of = r
		}
	}
	return ecosystem.Resource{
		Ecosystem: Name, URL: u.Scheme + "://" + urlpath.Host(u) + join(above) + escapeFile(name), Kind: ecosystem.Artifact,
		Package: of.project, Version: of.version, VouchedBy: pages,
	}, len(pages) > 0
}

// indexes returns the URLs of the indexes that a file may be of, best first: those that keep
// their files on its host; else the one it lies in, the one that the layout of its path
// shows, and those that are known on its host.
func (e *Ecosystem) indexes(u *url.URL, above []string, r release, wheel bool) []string {
	path := join(above)
	for _, known := range e.roots {
		switch {
		case !strings.EqualFold(known.files, u.Hostname()):
		case strings.HasPrefix(path, known.path):
			return []string{"https://" + known.host + path}
		default:
			return []string{"https://" + known.host + known.path}
		}
	}
	var out []string
	origin := u.Scheme + "://" + urlpath.Host(u)
	if n := len(above); n > 0 && normalize(above[n-1]) == r.project && e.index(u, above[:n-1]) {
		out = append(out, origin+join(above[:n-1]))
	} else if e.index(u, above) {
		out = append(out, origin+path)
	}
	if index, ok := layout(above, r, wheel); ok {
		out = append(out, origin+join(index))
	}
	var near []string
	for _, known := range e.roots {
		parent := known.path[:strings.LastIndexByte(strings.TrimSuffix(known.path, "/"), '/')+1]
		if known.serves(u) && strings.HasPrefix(path, parent) {
			near = append(near, origin+known.path)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return len(b) - len(a) })
	return append(out, near...)
}

// layout returns the index that files at a path belong to, if the path is one that index
// programs give them: packages/{xx}/{yy}/{digest} (the public index and copies of it),
// packages/{project}/{version}, pypi/files/{digest}, +f/…; for wheels packages alone.
func layout(above []string, r release, wheel bool) (index []string, ok bool) {
	for i, step := range above {
		simple, rest := "simple", above[i+1:]
		if len(rest) > 0 && rest[0] == "packages" {
			rest = rest[1:] // a proxy's own folder, and then that of what it copies
		}
		switch {
		case step == "+f":
			simple = "+simple"
		case step != "packages" && step != "files":
			continue
		case len(rest) == 3 && isHex(rest[0], 2) && isHex(rest[1], 2) && isHex(rest[2], 60):
		case len(rest) == 2 && normalize(rest[0]) == r.project && rest[1] == r.version:
		case len(rest) == 1 && isHex(rest[0], 64) && i > 0 && above[i-1] == "pypi":
		case wheel && len(rest) == 0:
		default:
			continue
		}
		return append(slices.Clone(above[:i]), simple), true
	}
	return nil, false
}

// isHex reports whether s consists of n lower-case hexadecimal digits.
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// knows reports whether a URL is of a resource of this ecosystem.
func (e *Ecosystem) knows(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	_, err = e.Classify(ecosystem.Request{Method: "GET", URL: u})
	return err == nil
}
