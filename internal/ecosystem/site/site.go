// Package site takes requests apart for ecosystems whose registries lie at fixed paths of
// known hosts: which registry is asked, and for what path of it. Paths that servers may
// read in two ways are no paths here.
package site

import (
	"net/url"
	"slices"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// A List holds the registries of an ecosystem.
type List []registry

// A registry is a host, in lower case and with its port if it has one, and the decoded
// path on it.
type registry struct {
	host string
	path []string
}

// New returns a list of registries, each "host" or "host/path".
func New(registries ...string) List {
	var l List
	for _, r := range registries {
		host, path, _ := strings.Cut(r, "/")
		path = strings.Trim(path, "/")
		var segments []string
		if path != "" {
			segments = strings.Split(path, "/")
		}
		l = append(l, registry{strings.ToLower(host), segments})
	}
	return l
}

// Hosts returns the hosts of the list, without ports, each once.
func (l List) Hosts() []string {
	var out []string
	for _, r := range l {
		name := (&url.URL{Host: r.host}).Hostname()
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// A Target is where a path leads.
type Target struct {
	Known  bool   // lies under a registry of the list
	Origin string // "https://host", canonical
	Base   string // URL of the registry, or the origin if it is not known; no slash at its end
	// Path are the decoded segments below Base, all of them printable and none a step;
	// empty if Base itself is asked for.
	Path []string
	// Folder says that a slash ends the path, which URL does not keep.
	Folder bool
}

// Read takes a request apart. What is no download is ErrBypass at a registry of the list,
// or ErrRefused if it cannot be one; anywhere else it is ErrUnknown.
func (l List) Read(r ecosystem.Request) (Target, error) {
	t, err := l.Locate(r.URL)
	if err == nil {
		err = t.Download(r)
	}
	if err != nil {
		return Target{}, err
	}
	return t, nil
}

// Locate takes a URL apart, whatever is to be done with it. Its query is passed over. A
// path that servers may read in two ways is ErrRefused on the hosts of the list, and
// ErrUnknown elsewhere.
func (l List) Locate(u *url.URL) (Target, error) {
	origin, ok := urlpath.Origin(u)
	if !ok {
		return Target{}, ecosystem.ErrUnknown
	}
	segments, folder, ok := urlpath.Segments(u.EscapedPath())
	switch {
	case !ok && l.Owns(u):
		return Target{}, ecosystem.ErrRefused
	case !ok:
		return Target{}, ecosystem.ErrUnknown
	}
	t := l.locate(u, segments)
	t.Origin, t.Folder = origin, folder && len(t.Path) > 0
	t.Base = urlpath.Join(origin, segments[:len(segments)-len(t.Path)]...)
	return t, nil
}

// Download returns nil if r is a GET or HEAD without a query, or the error that Read returns.
func (t Target) Download(r ecosystem.Request) error {
	switch r.Method {
	case "GET", "HEAD":
		if r.URL.User != nil || r.URL.RawQuery != "" || r.URL.ForceQuery {
			return t.None()
		}
		return nil
	case "PUT", "POST", "DELETE", "PATCH":
		return t.None()
	}
	if t.Known {
		return ecosystem.ErrRefused
	}
	return ecosystem.ErrUnknown
}

// None is the error for a target that is no resource of the ecosystem.
func (t Target) None() error {
	if t.Known {
		return ecosystem.ErrBypass
	}
	return ecosystem.ErrUnknown
}

// URL returns the canonical URL of the target.
func (t Target) URL() string { return t.Up(0) }

// Up returns the URL that is n segments shorter than the target's, with the segments given
// after it.
func (t Target) Up(n int, more ...string) string {
	return urlpath.Join(t.Base, append(slices.Clone(t.Path[:max(0, len(t.Path)-n)]), more...)...)
}

// Owns reports whether a URL is on a host of the list.
func (l List) Owns(u *url.URL) bool {
	return slices.ContainsFunc(l, func(r registry) bool { return r.is(u) })
}

// is reports whether u is on the host of the registry.
func (r registry) is(u *url.URL) bool {
	return strings.EqualFold(r.host, u.Hostname()) || strings.EqualFold(r.host, u.Host)
}

// locate finds the registry with the longest path that holds the segments.
func (l List) locate(u *url.URL, segments []string) Target {
	t := Target{Path: segments}
	for _, r := range l {
		n := len(r.path)
		if r.is(u) && n <= len(segments) && slices.Equal(r.path, segments[:n]) && len(segments)-n <= len(t.Path) {
			t.Known, t.Path = true, segments[n:]
		}
	}
	return t
}
