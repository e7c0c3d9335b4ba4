package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"sutler/internal/ecosystem"
)

const (
	tlsTimeout     = 10 * time.Second
	headerTimeout  = 30 * time.Second // from the request to the answer's header
	idleTimeout    = 60 * time.Second // of a body, reset by each byte
	documentLimit  = 10 * time.Minute // for a document as a whole; artifacts take as long as they take
	maxHeaderBytes = 256 << 10
	defaultPerHost = 16
	poolTimeout    = 90 * time.Second
)

// A Client fetches over HTTP. It is a Fetcher, a Passer and a Dialer. Fields are options
// and must not change after the first call; the zero Client reaches public addresses only.
// It is safe for concurrent use.
type Client struct {
	// Version is sent to origins in the User-Agent field, as "sutler/Version".
	Version string

	// Known reports whether a host, in lower case and without port, is named in a profile
	// or in the configuration. Known hosts may resolve to private and reserved addresses,
	// because names often do so inside companies; others must resolve to public ones.
	// Nobody's name may lead to link-local addresses or cloud metadata. If nil, no host is known.
	Known func(host string) bool

	// AllowLoopback reports whether "host:port" is configured to be on this machine. If
	// nil, nothing is.
	AllowLoopback func(hostport string) bool

	// Own reports whether an address is one that sutler itself listens on; it is never
	// connected to. If nil, none is.
	Own func(netip.AddrPort) bool

	// Resolve looks up a host name. If nil, the system's resolver does. It must not be one
	// that answers with sutler's own address for intercepted names.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	// Roots are the certificate authorities that are believed. If nil, the system's are.
	Roots *x509.CertPool

	// Proxy returns the proxy for a request, nil for none, as in http.Transport. Proxies
	// are configured, so they may be anywhere. If nil, there is no proxy.
	Proxy func(*http.Request) (*url.URL, error)

	// Credentials are sent to the origins that they are bound to. Of several that match,
	// the one with the longest prefix is sent.
	Credentials []Credential

	// Mirrors are asked, in this order, before the origin. With MirrorsOnly the origin of
	// what has a mirror is never asked.
	Mirrors     []Mirror
	MirrorsOnly bool

	// PerHost bounds the requests that run at once to one host. If zero, 16.
	PerHost int

	// Reaches reports whether a client, for whom something is passed or tunnelled (see
	// Behalf), reaches a private address without us. If nil, no client does.
	Reaches func(client, to netip.Addr) bool

	// Observe is called once for each Fetch when its body has ended, was closed, or could
	// not be had: with the last status, 0 if there was no answer, the time since the call,
	// and the bytes of the body. It must not block. If nil, nobody is told.
	Observe func(ecosystem string, status int, took time.Duration, bytes int64)

	// ClientCertificate is told of each host, in lower case and without port, that asked
	// for a certificate of the client in a TLS handshake; it got none. If nil, nobody is.
	ClientCertificate func(host string)

	// connect dials a checked address; tests put a network without one in its place.
	connect func(context.Context, netip.AddrPort) (net.Conn, error)

	once      sync.Once
	transport *http.Transport
	onceApart sync.Once
	apart     *http.Transport // of what is done on behalf of clients
	proxies   sync.Map        // hostport of each proxy that was used → true
	broken    breakers
	tokens    tokens
	fetching  limiter
	asking    limiter // for tokens: fetches that wait for one hold no place here
	passing   limiter // apart from fetching: what clients upload slowly must not delay fetches
}

var (
	_ Fetcher = (*Client)(nil)
	_ Passer  = (*Client)(nil)
	_ Dialer  = (*Client)(nil)
)

// Roots returns the system's certificate authorities and those in the PEM files given, for
// Client.Roots. It is an error if a file holds no certificate.
func Roots(pems ...[]byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("system certificates: %w", err)
	}
	for i, p := range pems {
		if !pool.AppendCertsFromPEM(p) {
			return nil, fmt.Errorf("certificate authority %d: no PEM certificate in it", i+1)
		}
	}
	return pool, nil
}

// Close closes the connections that nobody uses. The client stays usable.
func (c *Client) Close() { c.roundTripper().CloseIdleConnections() }

// roundTripper returns the one pool of connections.
func (c *Client) roundTripper() *http.Transport {
	c.once.Do(func() {
		c.transport = &http.Transport{
			Proxy: c.proxyFor,
			DialContext: func(ctx context.Context, _, hostport string) (net.Conn, error) {
				return c.dial(ctx, hostport)
			},
			TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(0),
				GetClientCertificate: c.noCertificate},
			TLSHandshakeTimeout:    tlsTimeout,
			ResponseHeaderTimeout:  headerTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			IdleConnTimeout:        poolTimeout,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    c.perHost(),
			DisableCompression:     true, // digests are over the bytes as they are
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: idleTimeout / 2, PingTimeout: idleTimeout / 4},
		}
	})
	return c.transport
}

// perHost returns how many requests run at once to one host.
func (c *Client) perHost() int { return cmp.Or(c.PerHost, defaultPerHost) }

// agent returns the User-Agent field.
func (c *Client) agent() string { return "sutler/" + cmp.Or(c.Version, "dev") }

// proxyFor returns the proxy for a request, and remembers it, so that dial knows its
// address from an origin's.
func (c *Client) proxyFor(r *http.Request) (*url.URL, error) {
	if c.Proxy == nil {
		return nil, nil
	}
	u, err := c.Proxy(r)
	if err != nil || u == nil {
		return nil, err
	}
	c.proxies.Store(hostport(u), true)
	return u, nil
}

// isProxy reports whether host:port is that of a proxy.
func (c *Client) isProxy(hostport string) bool {
	_, ok := c.proxies.Load(hostport)
	return ok
}

// checkURL refuses URLs that no request may be sent to, whether by a proxy or directly.
// Names are resolved and checked later, by dial.
func (c *Client) checkURL(ctx context.Context, u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "" {
		return fmt.Errorf("%w: no http or https URL", ErrInvalid)
	}
	return c.checkHost(ctx, hostport(u))
}

// checkHost refuses host:port if it can be seen without looking the name up that it must
// not be reached. It matters where a proxy would do the looking up.
func (c *Client) checkHost(ctx context.Context, hostport string) error {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil || host == "" {
		return fmt.Errorf("%w: %s is no host:port", ErrBlocked, hostport)
	}
	if c.isProxy(hostport) {
		return fmt.Errorf("%w: %s is a proxy, not an origin", ErrBlocked, hostport)
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		host = "127.0.0.1"
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		to, err := netip.ParseAddrPort(net.JoinHostPort(addr.String(), port))
		if err != nil {
			return fmt.Errorf("%w: %s is no host:port", ErrBlocked, hostport)
		}
		return c.check(ctx, addr.String(), hostport, to)
	}
	if endsInNumber(host) {
		return fmt.Errorf("%w: %s looks like an address, but is none", ErrBlocked, hostport)
	}
	return nil
}

// endsInNumber reports whether resolvers may take a name for an IPv4 address in one of its
// old forms: 127.1, 0x7f000001, 2130706433.
func endsInNumber(host string) bool {
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// An observation is what Observe will be told about one Fetch.
type observation struct {
	report    func(ecosystem string, status int, took time.Duration, bytes int64)
	ecosystem string
	start     time.Time
	status    int
	once      sync.Once
}

// observe starts an observation.
func (c *Client) observe(res ecosystem.Resource) *observation {
	return &observation{report: c.Observe, ecosystem: res.Ecosystem, start: time.Now()}
}

// end reports, the first time it is called.
func (o *observation) end(bytes int64) {
	o.once.Do(func() {
		if o.report != nil {
			o.report(o.ecosystem, o.status, time.Since(o.start), bytes)
		}
	})
}
