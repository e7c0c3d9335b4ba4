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
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sutler/internal/ingress"
	"sutler/internal/metrics"
	"sutler/internal/policy"
	"sutler/internal/receipt"
	"sutler/internal/upstream"
)

// Options are what a Proxy is made of. The members up to Log are required.
type Options struct {
	Respond     *ingress.Responder
	Local       http.Handler                                // requests whose target is a path
	Intercepts  func(host string) bool                      // host in lower case, without port
	Certificate func(name string) (*tls.Certificate, error) // for intercepted hosts
	Dialer      upstream.Dialer                             // opens tunnels
	Receipts    receipt.Sink
	Metrics     *metrics.Metrics
	Log         *slog.Logger

	Rules   policy.Rules // refuse unknown hosts
	Tunnels Tunnels
	// Own reports whether host:port is sutler itself, so that a client that asks for the
	// native endpoint through the proxy gets it. If nil, nothing is.
	Own func(hostport string) bool
	// Distrusted is told of each handshake that a client broke off, most likely because it
	// does not trust the local authority: pinned clients. If nil, nobody is.
	Distrusted func(host, build string, err error)
	// IdleTimeout ends tunnels through which nothing went for so long. If zero, one hour.
	IdleTimeout time.Duration
	Now         func() time.Time // if nil, time.Now is used
}

// A Proxy is the handler of the proxy's listeners. It is safe for concurrent use. Whoever
// made it calls Shutdown after that of the servers it was given to.
type Proxy struct {
	Options
	inner *http.Server // serves what comes through intercepted connections
	door  *door

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // that this package took over from the server
	closed bool
	taken  sync.WaitGroup // handlers that own a connection
	inside sync.WaitGroup // the goroutine of inner
}

// New returns a proxy.
func New(o Options) (*Proxy, error) {
	if o.Respond == nil || o.Local == nil || o.Intercepts == nil || o.Certificate == nil || o.Dialer == nil ||
		o.Receipts == nil || o.Metrics == nil || o.Log == nil {
		return nil, errors.New("forward: an option that is required is missing")
	}
	if o.Own == nil {
		o.Own = func(string) bool { return false }
	}
	if o.Distrusted == nil {
		o.Distrusted = func(string, string, error) {}
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Proxy{Options: o, door: newDoor(), conns: map[net.Conn]struct{}{}}
	p.inner = ingress.NewServer(http.HandlerFunc(p.serveInside), o.Log)
	p.inner.ConnContext = inside
	p.inside.Go(func() {
		// It ends when the door closes, in Shutdown, and then always with that error.
		_ = p.inner.Serve(p.door)
	})
	return p, nil
}

// Shutdown ends intercepted connections as soon as they are idle, and waits for tunnels,
// until ctx is done; then it closes what is left. It returns when all has ended.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.inner.Shutdown(ctx)
	done := make(chan struct{})
	go func() { p.taken.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		p.closeAll()
		<-done
	}
	if err != nil {
		err = errors.Join(err, p.inner.Close())
	}
	p.inside.Wait()
	return err
}

// closeAll closes every connection that this package took over and still serves itself.
func (p *Proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // whoever uses it sees the error
	}
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
	p.Respond.Respond(w, r, p.Respond.Request(r, u, ingress.Build(r)))
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
