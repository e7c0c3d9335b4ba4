package gomod

import (
	"net/url"
	"strings"

	"golang.org/x/mod/module"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// Classify reports which resource a request asks for. On hosts that are no known proxy,
// paths with /@v/, /@latest or /sumdb/ in the right places are recognised all the same.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	if _, ok := urlpath.Origin(r.URL); !ok {
		return none, ecosystem.ErrUnknown
	}
	path, plain := decode(r.URL.EscapedPath())
	a, ok := e.locate(r.URL, path)
	known := e.knows(r.URL)
	switch {
	case !plain && known:
		return none, ecosystem.ErrRefused
	case !plain, !ok && !known:
		return none, ecosystem.ErrUnknown
	}
	switch r.Method {
	case "GET", "HEAD":
	case "PUT", "POST", "DELETE", "PATCH":
		return none, ecosystem.ErrBypass // some private proxies take uploads
	default:
		return none, ecosystem.ErrRefused
	}
	if !ok || r.URL.User != nil || r.URL.RawQuery != "" {
		return none, ecosystem.ErrBypass
	}
	return describe(a), nil
}

// describe returns the resource at an address.
func describe(a address) ecosystem.Resource {
	res := ecosystem.Resource{Ecosystem: Name, URL: a.url(), Kind: ecosystem.Document, Sealed: true, Package: a.module, Version: a.version}
	switch a.what {
	case list:
		res.Sealed, res.Floor = false, listFloor
	case latest, query, head:
		res.Floor = listFloor
	case tile:
		res.Floor = tileFloor
	case info, lookup:
		res.Floor = everFloor
	case supported:
		res.Floor = tileFloor
		if a.vouched != "" && a.database == a.vouched {
			// Who is told otherwise asks the database itself: that fails offline.
			res.Literal, res.FormType = []byte("ok"), "text/plain"
		}
	case source:
		res.Kind, res.Sealed = ecosystem.Artifact, false
		if a.vouched != "" {
			res.VouchedBy = []ecosystem.Resource{describe(a.lookup())}
			res.Witnessed = true // a database may refuse to speak of a module, or be out of reach
		}
	}
	return res
}

// knows reports whether a URL lies below a proxy or on a database that is known by name.
func (e *Ecosystem) knows(u *url.URL) bool {
	_, isDatabase := e.sites[strings.ToLower(u.Hostname())]
	_, isProxy := e.proxy(u, u.EscapedPath())
	return isDatabase || isProxy
}

// proxy returns the known proxy that a path lies under, the longest.
func (e *Ecosystem) proxy(u *url.URL, path string) (best proxy, ok bool) {
	for _, p := range e.proxies {
		if !strings.EqualFold(p.host, u.Hostname()) && !strings.EqualFold(p.host, u.Host) {
			continue
		}
		if strings.HasPrefix(path, p.path) && len(p.path) > len(best.path) {
			best, ok = p, true
		}
	}
	return best, ok
}

// locate returns what a decoded path of a URL is the address of.
func (e *Ecosystem) locate(u *url.URL, path string) (address, bool) {
	a := address{origin: u.Scheme + "://" + urlpath.Host(u), path: path}
	p, known := e.proxy(u, path)
	if known {
		a.base, a.vouched = p.path, p.database
		if a.parse(path[len(p.path):]) {
			return a, true
		}
		a.vouched = ""
	}
	if name, ok := e.sites[strings.ToLower(u.Hostname())]; ok {
		a.base, a.root, a.database = "/", "/", name
		return a, a.parseOperation(strings.TrimPrefix(path, "/")) && a.what != supported
	}
	return a, a.guess(path)
}

// guess parses a path below a proxy of which only the shape is known: its base is what
// stands before /sumdb/ or before the first element that looks like the host of a module.
func (a *address) guess(path string) bool {
	if before, _, ok := strings.Cut(path, "/sumdb/"); ok && !strings.Contains(path, "/@v/") {
		a.base = before + "/"
		rest := path[len(a.base):]
		host, _, _ := strings.Cut(strings.TrimPrefix(rest, "sumdb/"), "/")
		return strings.Contains(host, ".") && a.parse(rest)
	}
	if !strings.Contains(path, "/@v/") && !strings.HasSuffix(path, "/@latest") {
		return false
	}
	for _, likely := range [...]func(string) bool{hostLike, func(s string) bool { return strings.Contains(s, ".") }} {
		for i := 0; i < len(path); i++ {
			if path[i] != '/' {
				continue
			}
			first, _, _ := strings.Cut(path[i+1:], "/")
			if a.base = path[:i+1]; likely(first) && a.parse(path[i+1:]) {
				return true
			}
		}
	}
	return false
}

// hostLike reports whether an element of a path looks like a host name: its last label
// consists of letters.
func hostLike(s string) bool {
	i := strings.LastIndexByte(s, '.')
	return i > 0 && len(s) > i+2 && strings.Trim(s[i+1:], "abcdefghijklmnopqrstuvwxyz") == ""
}

// version reads an escaped version: canonical says that it is one, and not a branch or
// another name for one, under which a proxy may answer for different versions.
func version(path, escaped string) (v string, canonical, ok bool) {
	v, err := module.UnescapeVersion(escaped)
	if err != nil {
		return "", false, false
	}
	return v, module.CanonicalVersion(v) == v && module.Check(path, v) == nil, true
}
