package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"sutler/internal/ingress"
)

// handshakeTime is what a client may take from CONNECT to the end of the TLS handshake.
const handshakeTime = 30 * time.Second

// clientHello is the first byte of every TLS connection: a record of type handshake.
const clientHello = 0x16

// An opened connection is one that a client believes to lead to the host of the visit.
type opened struct {
	net.Conn // the client's, with the first byte put back
	visit
	first [1]byte
	begun bool
}

// Read gives the byte that was looked at before the others.
func (o *opened) Read(b []byte) (int, error) {
	if o.begun || len(b) == 0 {
		return o.Conn.Read(b)
	}
	o.begun = true
	b[0] = o.first[0]
	return 1, nil
}

// intercept answers for the host of the visit: TLS with the local authority, and then
// requests. What turns out not to be TLS is tunnelled as if the host was unknown.
func (p *Proxy) intercept(w http.ResponseWriter, r *http.Request, v visit) {
	near, ok := p.take(w)
	if !ok {
		return
	}
	o := &opened{Conn: near, visit: v}
	_ = near.SetDeadline(time.Now().Add(handshakeTime)) // if it fails, so does the read
	if _, err := io.ReadFull(near, o.first[:]); err != nil {
		p.release(near) // a client that connected ahead of need and did not need it
		return
	}
	if o.first[0] != clientHello {
		defer p.release(near)
		p.tunnelUnread(r.Context(), o)
		return
	}
	c := tls.Server(o, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.Certificate(nameOf(hello, v))
		},
	})
	if err := c.HandshakeContext(r.Context()); err != nil {
		p.distrusted(v, err)
		p.release(near)
		return
	}
	_ = near.SetDeadline(time.Time{}) // the server sets its own
	p.forget(near)
	if !p.door.admit(c) {
		_ = c.Close() // stopping
	}
}

// nameOf returns the name that a client wants a certificate for.
func nameOf(hello *tls.ClientHelloInfo, v visit) string {
	if hello.ServerName != "" {
		return hello.ServerName
	}
	return v.to.host
}

// distrusted counts and reports a handshake that failed.
func (p *Proxy) distrusted(v visit, err error) {
	p.Metrics.HandshakeFailed()
	p.Distrusted(v.to.host, v.build, err)
	p.Log.Warn("handshake failed", "build", v.build, "host", v.to.host, "err", err.Error())
}

// tunnelUnread tunnels a connection to an intercepted host that does not speak TLS. If
// that cannot be, all that is left is to hang up: the client was told it is connected.
func (p *Proxy) tunnelUnread(ctx context.Context, o *opened) {
	dialing, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	far, err := p.dial(dialing, o.visit)
	if err != nil {
		return // recorded
	}
	_ = o.Conn.SetDeadline(time.Time{}) // if it fails, so does the tunnel
	p.tunnel(ctx, ends{o, far}, o.visit)
}

// visitKey is the key of the visit in the context of requests inside.
type visitKey struct{}

// inside puts the visit of an opened connection into the context of its requests.
func inside(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		if o, ok := t.NetConn().(*opened); ok {
			return context.WithValue(ctx, visitKey{}, o.visit)
		}
	}
	return ctx
}

// serveInside answers a request that came through an opened connection.
func (p *Proxy) serveInside(w http.ResponseWriter, r *http.Request) {
	v, ok := r.Context().Value(visitKey{}).(visit)
	if !ok {
		ingress.Refuse(w, http.StatusInternalServerError, "connection of unknown origin")
		return
	}
	if r.Method == http.MethodConnect {
		ingress.Refuse(w, http.StatusMethodNotAllowed, "no CONNECT inside of one")
		return
	}
	host := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(r.Host), ":443"), ".")
	if host != v.to.host || r.URL.Scheme != "" && r.URL.Scheme != "https" {
		ingress.Refuse(w, http.StatusMisdirectedRequest,
			fmt.Sprintf("this connection was opened for %s, not for %q; open another", v.to.host, r.Host))
		return
	}
	u := &url.URL{Scheme: "https", Host: v.to.host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if u.Path == "" {
		u.Path = "/"
	}
	p.Respond.Respond(w, r, p.Respond.Request(r, u, v.build))
}

// A door is a listener through which opened connections reach the inner server.
type door struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// errClosed is what a closed door says.
var errClosed = errors.New("the proxy has stopped")

// newDoor returns an open door.
func newDoor() *door { return &door{conns: make(chan net.Conn), closed: make(chan struct{})} }

// admit lets a connection in; false if the door is closed.
func (d *door) admit(c net.Conn) bool {
	select {
	case d.conns <- c:
		return true
	case <-d.closed:
		return false
	}
}

// Accept waits for the next connection.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, errClosed
	}
}

// Close closes the door.
func (d *door) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr names the door.
func (d *door) Addr() net.Addr { return doorAddr{} }

// doorAddr is the address of what has none.
type doorAddr struct{}

// Network returns "connect".
func (doorAddr) Network() string { return "connect" }

// String returns "intercepted".
func (doorAddr) String() string { return "intercepted" }
