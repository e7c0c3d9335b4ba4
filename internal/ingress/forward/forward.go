// Package forward is the HTTP proxy: clients name it in http_proxy and https_proxy, and
// their programs, lock files and link targets stay as they are.
//
// Requests in absolute form go to the engine. CONNECT to a host of a package registry is
// answered with TLS by the local authority, and what comes through it goes to the engine
// too, over HTTP/1.1 or HTTP/2. CONNECT to any other host, if policy allows it, is a
// tunnel: bytes go through unseen and are only counted. Requests whose target is a path
// are none for a proxy; they go to the native endpoint.
package forward

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"sutler/internal/ingress"
)

// Options are what a Proxy is made of. Conduit and Local are required.
type Options struct {
	Conduit *ingress.Conduit // takes what comes by CONNECT
	Local   http.Handler     // requests whose target is a path
	// Own reports whether host:port is sutler itself, so that a client that asks for the
	// native endpoint through the proxy gets it. If nil, nothing is.
	Own func(hostport string) bool
}

// A Proxy is the handler of the proxy's listeners. It is safe for concurrent use.
type Proxy struct{ Options }

// New returns a proxy.
func New(o Options) (*Proxy, error) {
	if o.Conduit == nil || o.Local == nil {
		return nil, errors.New("forward: conduit and local are required")
	}
	if o.Own == nil {
		o.Own = func(string) bool { return false }
	}
	return &Proxy{o}, nil
}

// ServeHTTP answers a request of any of the three forms.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case r.URL.IsAbs():
		p.absolute(w, r)
	default:
		p.Local.ServeHTTP(w, r)
	}
}

// absolute answers a request in absolute form. Its target alone counts: net/http drops a
// Host field that says otherwise, as RFC 9112 wants.
func (p *Proxy) absolute(w http.ResponseWriter, r *http.Request) {
	if p.Own(withPort(r.URL)) {
		local := r.Clone(r.Context())
		local.URL.Scheme, local.URL.Host = "", ""
		p.Local.ServeHTTP(w, local)
		return
	}
	u, err := canonical(r.URL)
	if err != nil {
		ingress.Refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	respond := p.Conduit.Respond
	respond.Respond(w, r, respond.Request(r, u, ingress.Build(r)))
}

// canonical returns the URL that is asked for: host in lower case, no default port, a path
// that is not empty, and http://HTTPS///host/path, apt-cacher-ng's way to name an https
// origin, as what it means.
func canonical(u *url.URL) (*url.URL, error) {
	if rest, ok := strings.CutPrefix(u.EscapedPath(), "///"); ok && u.Host == "HTTPS" && u.Scheme == "http" {
		named, err := url.Parse("https://" + rest)
		if err != nil {
			return nil, err
		}
		named.RawQuery = u.RawQuery
		u = named
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	if host == u.Host && u.Path != "" {
		return u, nil
	}
	c := *u
	c.Host = host
	if c.Path == "" {
		c.Path = "/"
	}
	return &c, nil
}

// withPort returns host:port of u.
func withPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
