package forward

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"sutler/internal/ingress"
)

// connect answers CONNECT: the connection is opened with the local authority, tunnelled, or
// refused.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	to, err := ingress.ParseTarget(r.Host)
	if err != nil {
		ingress.Refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	v := ingress.Visit{To: to, Build: ingress.Build(r)}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		v.Peer = at.Addr().Unmap()
	}
	if p.Conduit.Opens(v) {
		p.open(w, r, v)
		return
	}
	far, err := p.Conduit.Dial(r.Context(), v)
	if err != nil {
		ingress.RefuseTunnel(w, err)
		return
	}
	near, ok := p.take(w)
	if !ok {
		_ = far.Close() // nothing went through it
		return
	}
	defer p.Conduit.Release(near)
	p.Conduit.Tunnel(r.Context(), near, far, v)
}

// open answers for the host of the visit. What turns out to be no TLS, or none that
// carries HTTP, is tunnelled as if the host was unknown.
func (p *Proxy) open(w http.ResponseWriter, r *http.Request, v ingress.Visit) {
	near, ok := p.take(w)
	if !ok {
		return
	}
	_ = near.SetDeadline(time.Now().Add(p.Conduit.HandshakeTimeout)) // if it fails, so does the read
	hello, err := near.Hello(r.Context())
	switch {
	case err != nil:
		p.Conduit.Release(near) // a client that connected ahead of need and did not need it
	case hello.TLS && hello.HTTP():
		p.Conduit.Open(r.Context(), near, v)
	default:
		defer p.Conduit.Release(near)
		p.Conduit.Through(r.Context(), near, v)
	}
}

// take takes the client's connection over from the server and says that it is open. ok is
// false if that failed, or if the proxy is about to stop; the request is answered then.
// The caller releases it at the end.
func (p *Proxy) take(w http.ResponseWriter) (c *ingress.Taken, ok bool) {
	c, err := p.Conduit.Take(func() (net.Conn, []byte, error) {
		raw, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return nil, nil, err
		}
		ahead, err := buf.Peek(buf.Reader.Buffered())
		return raw, slices.Clone(ahead), err
	})
	switch {
	case errors.Is(err, ingress.ErrStopping):
		ingress.Refuse(w, http.StatusServiceUnavailable, "sutler is stopping; try again when it runs again")
		return nil, false
	case err != nil:
		ingress.Refuse(w, http.StatusNotImplemented, "CONNECT works over HTTP/1.1 only")
		return nil, false
	}
	if _, err := c.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		p.Conduit.Release(c) // the client is gone
		return nil, false
	}
	return c, true
}
