package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// tunnel connects to host:port, through the proxy that is configured for it, if one is.
func (c *Client) tunnel(ctx context.Context, address string) (net.Conn, error) {
	target := &http.Request{Method: http.MethodConnect, URL: &url.URL{Scheme: "https", Host: address}, Host: address, Header: http.Header{}}
	proxy, err := c.proxyFor(target)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return c.dial(ctx, address)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.dialProxy(ctx, proxy)
	if err != nil {
		return nil, err
	}
	// The connection knows no contexts: when ctx ends, its deadline makes the exchange end.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // closed below, if it fails
	through, err := connectThrough(conn, target, proxy.User)
	if err != nil || !stop() {
		_ = conn.Close() // of no use
		return nil, fmt.Errorf("proxy %s: %w", proxy.Host, firstError(err, ctx.Err()))
	}
	return through, nil
}

// dialProxy connects to a proxy, with TLS if its URL says so.
func (c *Client) dialProxy(ctx context.Context, proxy *url.URL) (net.Conn, error) {
	if proxy.Scheme != "http" && proxy.Scheme != "https" {
		return nil, fmt.Errorf("%w: tunnels go through http and https proxies only, not %s", ErrUnavailable, proxy.Scheme)
	}
	conn, err := c.dial(ctx, hostport(proxy))
	if err != nil || proxy.Scheme == "http" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12, ServerName: proxy.Hostname()})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // of no use
		return nil, err
	}
	return secure, nil
}

// connectThrough asks the proxy at the other end of conn for a tunnel.
func connectThrough(conn net.Conn, target *http.Request, user *url.Userinfo) (net.Conn, error) {
	if user != nil {
		password, _ := user.Password()
		target.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := target.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, target)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close() // the connection is closed by the caller
		return nil, fmt.Errorf("%w: %s", ErrUnavailable, statusText(resp.StatusCode))
	}
	return &buffered{conn, r}, nil
}

// A buffered connection first yields what was read ahead.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

// Read reads from the buffer and then from the connection.
func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// CloseWrite tells the other end that nothing more comes.
func (b *buffered) CloseWrite() error {
	if w, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// firstError returns the first that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return context.Canceled
}
