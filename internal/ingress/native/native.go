// Package native serves the paths of sutler's own endpoint: for each ecosystem those of
// its mounts, so that clients can be pointed at sutler as if it were the registry, and
// beside them what operators look at.
//
// A client's path becomes a URL at the origin by the mount table; links in documents are
// mapped back by the engine, to the address that the client used.
package native

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ingress"
)

// A Handler serves the native endpoint. Respond and Profiles are required. It must not be
// changed once it serves.
type Handler struct {
	Respond  *ingress.Responder
	Profiles []ecosystem.Profile // their mounts are the routes

	// Ready says why the process cannot serve; nil if it can. If Ready is nil, it always can.
	Ready func() error
	// Metrics serves /metrics. If nil, that is 404.
	Metrics http.Handler
	// Own serves what is under /-/. If nil, that is 404.
	Own http.Handler

	// Names are the DNS names that clients may use for this endpoint, besides localhost
	// and addresses. Others are refused: a web page could have pointed one of its own at
	// us to read our answers.
	Names []string

	// AptCacher adds the paths of apt-cacher-ng: /host/path for http://host/path, and a
	// front page by which clients recognise one.
	AptCacher bool

	routes []ecosystem.Mount
}

// New returns h with its routes in place: longest path first, whoever mounted it.
func New(h Handler) *Handler {
	for _, p := range h.Profiles {
		h.routes = append(h.routes, p.Mounts...)
	}
	slices.SortStableFunc(h.routes, func(a, b ecosystem.Mount) int { return len(b.Path) - len(a.Path) })
	return &h
}

// ServeHTTP answers r, whose target is a path.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.known(r.Host) {
		ingress.Refuse(w, http.StatusMisdirectedRequest,
			fmt.Sprintf("%q is no name of this endpoint; use an address, localhost, or a name that is configured", r.Host))
		return
	}
	switch path := r.URL.Path; {
	case path == "/livez":
		say(w, "alive\n")
	case path == "/readyz":
		h.ready(w)
	case path == "/metrics" && h.Metrics != nil:
		h.Metrics.ServeHTTP(w, r)
	case path == "/" && h.AptCacher:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(frontPage)) // whoever is gone does not read it
	case strings.HasPrefix(path, "/-/") && h.Own != nil && !strings.HasPrefix(path, BuildPath):
		h.Own.ServeHTTP(w, r)
	default:
		h.mounted(w, r)
	}
}

// frontPage has the title that auto-apt-proxy looks for.
const frontPage = "<!DOCTYPE html>\n<title>Apt-Cacher compatible: sutler</title>\n<p>This is sutler, which can be used as a proxy for apt.\n"

// ready says whether the process can serve.
func (h *Handler) ready(w http.ResponseWriter) {
	if h.Ready != nil {
		if err := h.Ready(); err != nil {
			ingress.Refuse(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
	}
	say(w, "ready\n")
}

// say answers with a line of text. Whoever is gone does not read it.
func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(text))
}

// mounted answers r if its path is that of a mount.
func (h *Handler) mounted(w http.ResponseWriter, r *http.Request) {
	build, path := attributed(r)
	if u, ok := overTLS(path, r.URL.RawQuery); ok {
		h.Respond.Respond(w, r, h.Respond.Request(r, u, build))
		return
	}
	for _, m := range h.routes {
		u, ok := m.URL(path, r.URL.RawQuery)
		if !ok {
			continue
		}
		req := h.Respond.Request(r, u, build)
		req.Base = base(r)
		h.Respond.Respond(w, r, req)
		return
	}
	if u, ok := aptCacher(path, r.URL.RawQuery); ok && h.AptCacher {
		h.Respond.Respond(w, r, h.Respond.Request(r, u, build))
		return
	}
	ingress.Refuse(w, http.StatusNotFound, "no ecosystem is mounted at "+path+"; sutler's paths are "+strings.Join(h.paths(), " "))
}

// paths returns what the paths of this endpoint begin with.
func (h *Handler) paths() []string {
	var out []string
	for _, m := range h.routes {
		first, _, _ := strings.Cut(strings.TrimPrefix(m.Path, "/"), "/")
		if p := "/" + first + "/"; !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// BuildPath is what the paths of a build's clients begin with, before the build's name and
// the path itself. Links in documents do not have it: they end up in lock files.
const BuildPath = "/-/build/"

// attributed returns the build that r belongs to, "" if it does not say, and the path that
// it asks for.
func attributed(r *http.Request) (build, path string) {
	path = r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, BuildPath); ok {
		id, below, ok := strings.Cut(rest, "/")
		if ok && ingress.IsBuild(id) {
			return id, "/" + below
		}
	}
	return ingress.Build(r), path
}

// overTLS reads apt-cacher-ng's way to ask for an https origin: /HTTPS///host/path. Its
// documents hold no links, so they are not rewritten.
func overTLS(path, query string) (*url.URL, bool) {
	rest, ok := strings.CutPrefix(path, "/HTTPS///")
	if !ok {
		return nil, false
	}
	return origin("https://", rest, query)
}

// aptCacher reads /host/path, where host has a dot or a port, for http://host/path.
func aptCacher(path, query string) (*url.URL, bool) {
	rest := strings.TrimPrefix(path, "/")
	host, _, ok := strings.Cut(rest, "/")
	if !ok || !strings.ContainsAny(host, ".:") {
		return nil, false
	}
	return origin("http://", rest, query)
}

// origin returns the URL of an origin.
func origin(scheme, rest, query string) (*url.URL, bool) {
	u, err := url.Parse(scheme + rest)
	if err != nil || u.Host == "" {
		return nil, false
	}
	u.Host = strings.ToLower(u.Host)
	u.RawQuery = query
	return u, true
}

// base returns the URL that the client used for this endpoint, without a slash at its end.
func base(r *http.Request) string {
	host := r.Host
	if host == "" { // HTTP/1.0 need not say
		if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			host = a.String()
		}
	}
	if r.TLS != nil {
		return "https://" + host
	}
	return "http://" + host
}

// known reports whether a Host field names this endpoint.
func (h *Handler) known(field string) bool {
	if field == "" {
		return true
	}
	host := field
	if i := strings.LastIndexByte(field, ':'); i >= 0 && !strings.HasSuffix(field, "]") {
		port := field[i+1:]
		if strings.Trim(port, "0123456789") != "" {
			return false
		}
		host = field[:i]
	}
	if address, ok := strings.CutPrefix(host, "["); ok {
		address, ok = strings.CutSuffix(address, "]")
		return ok && net.ParseIP(address) != nil
	}
	if strings.EqualFold(host, "localhost") || net.ParseIP(host) != nil {
		return true
	}
	return slices.ContainsFunc(h.Names, func(n string) bool { return strings.EqualFold(n, host) })
}
