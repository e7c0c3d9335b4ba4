package upstream

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// passed are the request fields that Pass forwards, besides those that passedPrefixes
// name. Cookies are not among them: package managers have none, browsers do.
var passed = []string{
	"Authorization", "Cache-Control", "Git-Protocol", "Origin", "Pragma", "Range", "Referer",
	"User-Agent", "X-Requested-With",
}

// passedPrefixes name groups of request fields that Pass forwards.
var passedPrefixes = []string{"Accept", "Content-", "If-", "Npm-", "Pacote-", "X-Npm-", "Cargo-", "X-Pypi-", "X-Gem-"}

// dropped are the answer's fields that end here: those of one connection, and cookies.
var dropped = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Set-Cookie", "Set-Cookie2", "Alt-Svc",
}

// Pass implements Passer. Method, body and the fields of an allow-list go to the origin,
// under the same guard as fetches; its answer comes back as it is, without cookies and
// the fields of the connection. Redirects are the client's business, and so are its
// credentials: those of the configuration are not added, for they would let anybody act in
// the operator's name. Mirrors are passed by unless MirrorsOnly is set: few of them
// answer more than downloads.
func (c *Client) Pass(ctx context.Context, r *http.Request) (*http.Response, error) {
	switch r.Method {
	case http.MethodConnect, http.MethodTrace, "TRACK":
		return nil, fmt.Errorf("%w: method %s", ErrBlocked, r.Method)
	}
	u := *r.URL
	if c.MirrorsOnly {
		at, err := url.Parse(c.places(u.String())[0])
		if err != nil {
			return nil, fmt.Errorf("%w: %s", ErrInvalid, Redact(u.String()))
		}
		u = *at
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	out := (&http.Request{
		Method: r.Method, URL: &u, Host: u.Host, Header: passHeader(r.Header),
		Body: r.Body, ContentLength: r.ContentLength, GetBody: r.GetBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if r.ContentLength == 0 {
		out.Body = nil // lets the transport send it again on a connection that went stale
	}
	resp, err := c.send(out, &c.passing)
	if err != nil {
		return nil, err
	}
	for _, f := range append(connectionFields(resp.Header), dropped...) {
		resp.Header.Del(f)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close() // nothing asked for it
		return nil, fmt.Errorf("%w: %s: switches protocols unasked", ErrInvalid, Redact(u.String()))
	}
	return resp, nil
}

// passHeader returns the fields of h that may go to an origin.
func passHeader(h http.Header) http.Header {
	out := http.Header{"User-Agent": nil} // nil: the transport must not add its own
	hop := connectionFields(h)
	for name, values := range h {
		if !slices.Contains(hop, name) && passes(name) {
			out[name] = slices.Clone(values)
		}
	}
	return out
}

// passes reports whether a request field is on the allow-list.
func passes(name string) bool {
	if slices.Contains(passed, name) {
		return true
	}
	// The length is the request's own, not a field that is copied.
	return name != "Content-Length" &&
		slices.ContainsFunc(passedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// connectionFields returns the fields that the Connection field names as its own.
func connectionFields(h http.Header) []string {
	var names []string
	for _, v := range h.Values("Connection") {
		for f := range strings.SplitSeq(v, ",") {
			names = append(names, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(f)))
		}
	}
	return names
}

// DialContext implements Dialer, for tunnels: network is "tcp", address is host:port, and
// the port is 443 or 80, so that nobody can relay mail, or any on behalf of a client. It gives up
// after 10 seconds. If a proxy is configured for the address, the tunnel goes through it.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, fmt.Errorf("%w: %s: network %q", ErrBlocked, address, network)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: write host:port", ErrBlocked, address)
	}
	if _, behalf := behalfOf(ctx); port != "443" && port != "80" && !behalf {
		return nil, fmt.Errorf("%w: %s: no tunnels to port %s", ErrBlocked, address, port)
	}
	address = net.JoinHostPort(canonicalHost(host), port)
	if err := c.checkHost(ctx, address); err != nil {
		return nil, err
	}
	conn, err := c.tunnel(ctx, address)
	if err != nil {
		return nil, unavailable(address, err)
	}
	return conn, nil
}
