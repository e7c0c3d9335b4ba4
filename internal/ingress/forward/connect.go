package forward

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sutler/internal/engine"
	"sutler/internal/ingress"
	"sutler/internal/metrics"
	"sutler/internal/policy"
	"sutler/internal/receipt"
	"sutler/internal/upstream"
)

// Tunnel is the ecosystem of tunnels in receipts.
const Tunnel = "tunnel"

// Tunnels say where CONNECT may lead, besides port 443 of hosts that have a name. The
// address guard of package upstream holds in any case.
type Tunnels struct {
	Addresses bool  // to IP addresses too
	Ports     []int // to these ports too
}

// refuses returns a refusal if the tunnel is not allowed, else nil.
func (t Tunnels) refuses(to target) error {
	if to.address && !t.Addresses {
		return &policy.RefusedError{Rule: "tunnels.addresses", Subject: to.String(), Reason: "the host of a tunnel must have a name"}
	}
	if to.port != 443 && !slices.Contains(t.Ports, to.port) {
		return &policy.RefusedError{Rule: "tunnels.ports", Subject: to.String(),
			Reason: fmt.Sprintf("no tunnels to port %d", to.port)}
	}
	return nil
}

// A target is where a CONNECT leads.
type target struct {
	host    string // lower case, no dot at its end
	port    int
	address bool // host is an IP address
}

// String returns host:port.
func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// parseTarget reads the target of a CONNECT: host and port, nothing else.
func parseTarget(s string) (target, error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return target{}, fmt.Errorf("write CONNECT host:port: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return target{}, fmt.Errorf("write CONNECT host:port: %q is no port", text)
	}
	t := target{host: strings.TrimSuffix(strings.ToLower(host), "."), port: int(port)}
	if a, err := netip.ParseAddr(t.host); err == nil {
		t.address = true
		t.host = a.String()
		return t, nil
	}
	if !isName(t.host) {
		return target{}, fmt.Errorf("write CONNECT host:port: %q is no host", host)
	}
	return t, nil
}

// isName reports whether host, in lower case, is a DNS name. One whose last label begins
// with a digit is none: some programs take 127.1 or 0x7f.1 for an address.
func isName(host string) bool {
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" ||
		strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") || strings.Contains(host, "..") {
		return false
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last[0] < '0' || last[0] > '9'
}

// A visit is one CONNECT: who asked, and for what.
type visit struct {
	to    target
	build string
}

// connect answers CONNECT: it opens the connection with the local authority, tunnels it,
// or refuses.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	to, err := parseTarget(r.Host)
	if err != nil {
		ingress.Refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	v := visit{to, ingress.Build(r)}
	if to.port == 443 && !to.address && p.Intercepts(to.host) {
		p.intercept(w, r, v)
		return
	}
	far, err := p.dial(r.Context(), v)
	if err != nil {
		status := ingress.Status(err)
		if errors.Is(err, upstream.ErrUnavailable) {
			status = http.StatusBadGateway
		}
		ingress.Refuse(w, status, err.Error())
		return
	}
	near, ok := p.take(w)
	if !ok {
		_ = far.Close() // nothing went through it
		return
	}
	defer p.release(near)
	p.tunnel(r.Context(), ends{near, far}, v)
}

// dial connects to the target of a tunnel, if policy allows it. It records failures.
func (p *Proxy) dial(ctx context.Context, v visit) (net.Conn, error) {
	terms := p.Respond.Terms(v.build)
	err := p.admit(v.to, terms)
	if err == nil {
		var dialer upstream.Dialer = p.Dialer
		if terms.Offline {
			dialer = upstream.Offline{}
		}
		var far net.Conn
		if far, err = dialer.DialContext(ctx, "tcp", v.to.String()); err == nil {
			return far, nil
		}
	}
	outcome, result := engine.Fails(err), metrics.TunnelFailed
	if outcome == engine.Refused {
		result = metrics.TunnelRefused
	}
	l := p.line(v, outcome, err)
	p.Metrics.Tunnel(result)
	p.Receipts.Append(l)
	p.log(ctx, v, l)
	return nil, err
}

// admit says whether a tunnel may be opened.
func (p *Proxy) admit(to target, terms policy.Terms) error {
	if err := p.Rules.For(terms).Host(to.host); err != nil {
		return err
	}
	return p.Tunnels.refuses(to)
}

// line returns the receipt line of a tunnel.
func (p *Proxy) line(v visit, outcome engine.Outcome, err error) receipt.Line {
	l := receipt.Line{Build: v.build, At: p.Now(), Ecosystem: Tunnel, Method: http.MethodConnect,
		URL: v.to.String(), Size: -1, Outcome: string(outcome)}
	if err != nil {
		l.Error = err.Error()
	}
	return l
}

// A taken connection was taken over from net/http, which may have read ahead.
type taken struct {
	net.Conn
	ahead *bufio.Reader // nil once what was read ahead is used up
}

// Read reads what net/http had read ahead, and then from the connection.
func (t *taken) Read(b []byte) (int, error) {
	if t.ahead == nil {
		return t.Conn.Read(b)
	}
	n, err := t.ahead.Read(b[:min(len(b), t.ahead.Buffered())])
	if t.ahead.Buffered() == 0 {
		t.ahead = nil
	}
	return n, err
}

// take takes the client's connection over from the server and says that it is open. ok is
// false if that failed, or if the proxy is about to stop; the request is answered then.
// The caller calls release at the end.
func (p *Proxy) take(w http.ResponseWriter) (c *taken, ok bool) {
	c, err := p.hijack(w)
	switch {
	case errors.Is(err, errClosed):
		ingress.Refuse(w, http.StatusServiceUnavailable, "sutler is stopping; try again when it runs again")
		return nil, false
	case err != nil:
		ingress.Refuse(w, http.StatusNotImplemented, "CONNECT works over HTTP/1.1 only")
		return nil, false
	}
	if _, err := c.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		p.release(c) // the client is gone
		return nil, false
	}
	return c, true
}

// hijack takes the connection, and notes that it has one.
func (p *Proxy) hijack(w http.ResponseWriter) (*taken, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	raw, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	c := &taken{Conn: ingress.Bare(raw)}
	if buf.Reader.Buffered() > 0 {
		c.ahead = buf.Reader
	}
	p.conns[c.Conn] = struct{}{}
	p.taken.Add(1)
	return c, nil
}

// release closes a taken connection.
func (p *Proxy) release(c *taken) {
	_ = c.Close() // a second time, mostly
	p.forget(c)
}

// forget notes that somebody else owns the connection from now on.
func (p *Proxy) forget(c *taken) {
	p.mu.Lock()
	delete(p.conns, c.Conn)
	p.mu.Unlock()
	p.taken.Done()
}
