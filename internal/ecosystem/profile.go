package ecosystem

import (
	"fmt"
	"net/url"
	"strings"
)

// Profile is the constant part of an ecosystem. Native routes, intercepted hosts, CA
// name constraints, client settings, metric labels and documentation derive from it.
type Profile struct {
	Name  string // folder name, metric label
	Title string // for people: "apt (Debian, Ubuntu)"

	// Hosts are the public hosts that clients of the ecosystem ask: exact names, or
	// "*.name" for all names below. Only these are intercepted by default.
	Hosts []string

	// Mounts say where origins appear under the native endpoint, longest path first.
	Mounts []Mount

	// First is a path of the native endpoint that stands for the first request of a client:
	// small, and always there. doctor asks for it. "" if there is none.
	First string

	// Env are the variables that make clients use the cache and trust its CA. Values may
	// hold {proxy} (URL of the forward proxy), {native} (URL of the native endpoint, no
	// slash at its end) and {dir} (directory of Files, no slash at its end).
	Env []Setting

	// Files are put beside the CA bundle (ca.pem) into {dir}; contents may hold the same
	// placeholders.
	Files []File

	// Verified says in one line what is verified by what, for the documentation.
	Verified string
	// Clients are the programs, with versions, that the end-to-end tests run against it, for
	// the documentation; none if there are only recorded cases of their requests.
	Clients []string
	// Unsupported lists what does not work through the cache, for the documentation.
	Unsupported []string
}

// A Setting is an environment variable for clients.
type Setting struct{ Name, Value string }

// A File is a configuration file for clients.
type File struct{ Name, Content string }

// A Mount maps a path of the native endpoint to an origin, and back.
type Mount struct {
	Path   string // "/npm/" or, with the host as first element after it, "/apt/{host}/"
	Origin string // "https://registry.example/" or "http://{host}/"

	// Resolve, if not nil, is asked before Origin: it returns the URL at the origin for a
	// path under Path, in its encoded form, and a query that name another origin than the
	// rest of the mount, or false.
	Resolve func(escapedPath, rawQuery string) (*url.URL, bool)
	// Name, if not nil, is the way back of Resolve: it returns the path and query of the
	// native endpoint for a URL at an origin other than Origin, or false.
	Name func(origin string) (string, bool)
}

// hostMark stands for the origin's host in both members of a Mount.
const hostMark = "{host}"

// URL returns the URL at the origin for a path of the native endpoint, which is in
// its encoded form, or false if the path is not under m.
func (m Mount) URL(escapedPath, rawQuery string) (*url.URL, bool) {
	prefix, suffix, hosted := strings.Cut(m.Path, hostMark)
	rest, ok := strings.CutPrefix(escapedPath, prefix)
	if !ok {
		return nil, false
	}
	if m.Resolve != nil {
		if u, ok := m.Resolve(escapedPath, rawQuery); ok {
			return u, true
		}
	}
	origin := m.Origin
	if hosted {
		host, tail, ok := strings.Cut(rest, suffix)
		host = strings.NewReplacer("%3A", ":", "%3a", ":").Replace(host) // pip escapes it in links
		if !ok || host == "" || strings.ContainsAny(host, "@/\\%") {
			return nil, false
		}
		origin, rest = strings.Replace(m.Origin, hostMark, host, 1), tail
	}
	u, err := url.Parse(origin + rest)
	if err != nil {
		return nil, false
	}
	u.RawQuery = rawQuery
	return u, true
}

// Native returns the path and query of the native endpoint for a URL at the origin, or
// false if m does not cover it.
func (m Mount) Native(origin string) (string, bool) {
	prefix, suffix, hosted := strings.Cut(m.Path, hostMark)
	if !hosted {
		rest, ok := strings.CutPrefix(origin, m.Origin)
		if !ok && m.Name != nil {
			return m.Name(origin)
		}
		return m.Path + rest, ok
	}
	scheme, _, _ := strings.Cut(m.Origin, hostMark)
	rest, ok := strings.CutPrefix(origin, scheme)
	if !ok {
		return "", false
	}
	host, tail, ok := strings.Cut(rest, "/")
	return fmt.Sprintf("%s%s%s%s", prefix, host, suffix, tail), ok
}

// Owns reports whether host, in lower case and without port, is one of p.Hosts.
func (p Profile) Owns(host string) bool {
	for _, h := range p.Hosts {
		if h == host {
			return true
		}
		if below, ok := strings.CutPrefix(h, "*"); ok && strings.HasSuffix(host, below) {
			return true
		}
	}
	return false
}
