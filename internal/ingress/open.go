package ingress

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sutler/internal/metrics"
)

// Opens reports whether the connection of a visit is one to open with the local authority.
// One that a client is believed to insist on, or that needs a certificate of the client, is
// not, as long as a tunnel is allowed instead.
func (c *Conduit) Opens(v Visit) bool {
	if v.Stranger || v.To.Port != 443 || v.To.Address || !c.Intercepts(v.To.Host) {
		return false
	}
	return !c.doubts.holds(v.Peer, v.To.Host) || c.admit(v, c.Respond.Terms(v.Build)) != nil
}

// An opened connection is one that a client believes to lead to the host of the visit.
type opened struct {
	*Taken
	Visit
	tail []byte // what was read last, until the handshake is over
	over bool
}

// Read reads from the client's connection.
func (o *opened) Read(b []byte) (int, error) {
	n, err := o.Taken.Read(b)
	if !o.over {
		o.tail = append(o.tail, b[:n]...)
		o.tail = o.tail[max(0, len(o.tail)-len(plainAlert)-1):]
	}
	return n, err
}

// Open answers for the host of the visit: TLS with the local authority, and then requests.
// The connection is closed in the end.
func (c *Conduit) Open(ctx context.Context, near *Taken, v Visit) {
	o := &opened{Taken: near, Visit: v}
	t := tls.Server(o, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.Certificate(nameOf(hello, v))
		},
	})
	_ = near.SetDeadline(time.Now().Add(c.HandshakeTimeout)) // if it fails, so does the handshake
	if err := t.HandshakeContext(ctx); err != nil {
		c.distrusted(v, err, distrust(err, o.tail))
		c.Release(near)
		return
	}
	o.over, o.tail = true, nil
	_ = near.SetDeadline(time.Time{}) // the server sets its own
	c.Forget(near)
	if !c.door.Admit(t) {
		_ = t.Close() // stopping
	}
}

// nameOf returns the name that a client wants a certificate for.
func nameOf(hello *tls.ClientHelloInfo, v Visit) string {
	if hello.ServerName != "" {
		return hello.ServerName
	}
	return v.To.Host
}

// distrusted counts and reports a handshake that failed. why is what the client said against
// the certificate, if it did.
func (c *Conduit) distrusted(v Visit, err error, why string) {
	if why != "" {
		err = fmt.Errorf("the client says: %s", why)
	}
	c.Metrics.HandshakeFailed()
	c.Distrusted(v.To.Host, v.Build, err)
	c.Log.Warn("handshake failed", "build", v.Build, "host", v.To.Host, "err", err.Error())
	if why != "" && c.doubts.failed(v.Peer, v.To.Host, "the client says: "+why) {
		c.doubted(v.Peer, v.To.Host, metrics.GivenUpDistrust)
	}
}

// Through tunnels a connection whose client was not promised anything yet: if that cannot
// be, all that is left is to hang up. The caller releases it.
func (c *Conduit) Through(ctx context.Context, near *Taken, v Visit) {
	dialing, cancel := context.WithTimeout(ctx, c.HandshakeTimeout)
	defer cancel()
	far, err := c.Dial(dialing, v)
	if err != nil {
		return // recorded
	}
	_ = near.SetDeadline(time.Time{}) // if it fails, so does the tunnel
	c.Tunnel(ctx, near, far, v)
}

// visitKey is the key of the visit in the context of requests inside.
type visitKey struct{}

// inside puts the visit of an opened connection into the context of its requests.
func inside(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		if o, ok := t.NetConn().(*opened); ok {
			return context.WithValue(ctx, visitKey{}, o.Visit)
		}
	}
	return ctx
}

// serveInside answers a request that came through an opened connection.
func (c *Conduit) serveInside(w http.ResponseWriter, r *http.Request) {
	v, ok := r.Context().Value(visitKey{}).(Visit)
	if !ok {
		Refuse(w, http.StatusInternalServerError, "connection of unknown origin")
		return
	}
	if r.Method == http.MethodConnect {
		Refuse(w, http.StatusMethodNotAllowed, "no CONNECT inside of one")
		return
	}
	host := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(r.Host), ":443"), ".")
	if host != v.To.Host || r.URL.Scheme != "" && r.URL.Scheme != "https" {
		Refuse(w, http.StatusMisdirectedRequest,
			fmt.Sprintf("this connection was opened for %s, not for %q; open another", v.To.Host, r.Host))
		return
	}
	if !c.Opens(v) {
		w.Header().Set("Connection", "close") // the next connection is a tunnel
	}
	u := &url.URL{Scheme: "https", Host: v.To.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if u.Path == "" {
		u.Path = "/"
	}
	c.Respond.Respond(w, r, c.Respond.Request(r, u, v.Build))
}
