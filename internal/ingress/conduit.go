package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"sutler/internal/engine"
	"sutler/internal/metrics"
	"sutler/internal/policy"
	"sutler/internal/receipt"
	"sutler/internal/upstream"
)

// Tunnel is the ecosystem of tunnels in receipts.
const Tunnel = "tunnel"

// ConduitOptions are what a Conduit is made of. The members up to Log are required.
type ConduitOptions struct {
	Respond     *Responder
	Intercepts  func(host string) bool                      // host in lower case, without port
	Certificate func(name string) (*tls.Certificate, error) // for intercepted hosts
	Dialer      upstream.Dialer                             // opens tunnels
	Receipts    receipt.Sink
	Metrics     *metrics.Metrics
	Log         *slog.Logger

	Rules policy.Rules // refuse unknown hosts
	// Distrusted is told of each handshake that a client broke off, most likely because it
	// does not trust the local authority. If nil, nobody is.
	Distrusted func(host, build string, err error)
	// Doubted is told of each host that is tunnelled for a while from now on. If nil, nobody is.
	Doubted func(Doubt)
	// IdleTimeout ends tunnels through which nothing went for so long. If zero, one hour.
	IdleTimeout time.Duration
	// HandshakeTimeout is what a client may take from its first byte to the end of the TLS
	// handshake. If zero, half a minute.
	HandshakeTimeout time.Duration
	Now              func() time.Time // if nil, time.Now is used
}

// A Conduit is what becomes of a client's connection once it is known where it leads: it
// is opened with the local authority, and the requests inside are answered, or it is
// tunnelled: bytes go through unseen and are only counted. All ways in share one. It is safe
// for concurrent use. Whoever made it calls Shutdown after that of the servers that feed it.
type Conduit struct {
	ConduitOptions
	inner  *http.Server // serves what comes through opened connections
	door   *Door
	doubts doubts

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // that were taken, and the far ends of tunnels
	closed bool
	taken  sync.WaitGroup // handlers that own a connection
	inside sync.WaitGroup // the goroutine of inner
}

// NewConduit returns a conduit.
func NewConduit(o ConduitOptions) (*Conduit, error) {
	if o.Respond == nil || o.Intercepts == nil || o.Certificate == nil || o.Dialer == nil ||
		o.Receipts == nil || o.Metrics == nil || o.Log == nil {
		return nil, errors.New("conduit: an option that is required is missing")
	}
	if o.Distrusted == nil {
		o.Distrusted = func(string, string, error) {}
	}
	if o.Doubted == nil {
		o.Doubted = func(Doubt) {}
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = time.Hour
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Conduit{ConduitOptions: o, door: NewDoor(), conns: map[net.Conn]struct{}{}}
	c.doubts.now = o.Now
	c.inner = NewServer(http.HandlerFunc(c.serveInside), o.Log)
	c.inner.ConnContext = inside
	c.inside.Go(func() {
		// It ends when the door closes, in Shutdown, and then always with that error.
		_ = c.inner.Serve(c.door)
	})
	return c, nil
}

// Shutdown ends opened connections as soon as they are idle, and waits for tunnels, until
// ctx is done; then it closes what is left. It returns when all has ended.
func (c *Conduit) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	err := c.inner.Shutdown(ctx)
	done := make(chan struct{})
	go func() { c.taken.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		c.closeAll()
		<-done
	}
	if err != nil {
		err = errors.Join(err, c.inner.Close())
	}
	c.inside.Wait()
	return err
}

// closeAll closes every connection that was taken and is still served here.
func (c *Conduit) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close() // whoever uses it sees the error
	}
}

// A Taken connection is one that a conduit owns. Bytes that were read ahead of it come first.
type Taken struct {
	net.Conn
	whole net.Conn // as it was taken
	ahead []byte
}

// Close closes the connection.
func (t *Taken) Close() error { return t.whole.Close() }

// Read reads what was read ahead, and then from the connection.
func (t *Taken) Read(b []byte) (int, error) {
	if len(t.ahead) == 0 {
		return t.Conn.Read(b)
	}
	n := copy(b, t.ahead)
	if t.ahead = t.ahead[n:]; len(t.ahead) == 0 {
		t.ahead = nil
	}
	return n, nil
}

// Take takes the connection that get returns, with what was read ahead of it, if the
// conduit is not about to stop; then the error is ErrStopping, and get is not called. The
// caller calls Release at the end.
func (c *Conduit) Take(get func() (net.Conn, []byte, error)) (*Taken, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrStopping
	}
	raw, ahead, err := get()
	if err != nil {
		return nil, err
	}
	t := &Taken{Conn: Bare(raw), whole: raw, ahead: ahead}
	c.conns[t.Conn] = struct{}{}
	c.taken.Add(1)
	return t, nil
}

// Release closes a taken connection.
func (c *Conduit) Release(t *Taken) {
	_ = t.Close() // a second time, mostly
	c.Forget(t)
}

// Forget notes that somebody else owns the connection from now on.
func (c *Conduit) Forget(t *Taken) {
	c.mu.Lock()
	delete(c.conns, t.Conn)
	c.mu.Unlock()
	c.taken.Done()
}

// Dial connects to the target of a tunnel, if policy allows it. It records failures.
func (c *Conduit) Dial(ctx context.Context, v Visit) (net.Conn, error) {
	terms := c.Respond.Terms(v.Build)
	err := c.admit(v, terms)
	if err == nil {
		dialer := c.Dialer
		if terms.Offline {
			dialer = upstream.Offline{}
		}
		behalf := ctx
		if c.Respond.Local(v.Build, v.Peer) {
			behalf = upstream.Behalf(ctx, v.Peer)
		}
		var far net.Conn
		if far, err = dialer.DialContext(behalf, "tcp", v.To.String()); err == nil {
			return far, nil
		}
	}
	c.Failed(ctx, v, err)
	return nil, err
}

// Failed records that a visit led nowhere.
func (c *Conduit) Failed(ctx context.Context, v Visit, err error) {
	outcome, result := engine.Fails(err), metrics.TunnelFailed
	if outcome == engine.Refused {
		result = metrics.TunnelRefused
	}
	l := c.line(v, outcome, err)
	c.Metrics.Tunnel(result)
	c.Receipts.Append(l)
	c.log(ctx, v, l)
}

// admit says whether a tunnel may be opened.
func (c *Conduit) admit(v Visit, terms policy.Terms) error {
	if err := c.Rules.For(terms).Host(v.To.Host); err != nil && !v.Stranger {
		return err
	}
	if c.Respond.Local(v.Build, v.Peer) {
		return nil // it could go there itself
	}
	return v.anywhere()
}

// line returns the receipt line of a tunnel.
func (c *Conduit) line(v Visit, outcome engine.Outcome, err error) receipt.Line {
	l := receipt.Line{Build: v.Build, At: c.Now(), Ecosystem: Tunnel, Method: http.MethodConnect,
		URL: v.To.String(), Size: -1, Outcome: string(outcome)}
	if err != nil {
		l.Error = err.Error()
	}
	return l
}

// Doubts lists the hosts that are tunnelled for a while although they are to be intercepted.
func (c *Conduit) Doubts() []Doubt { return c.doubts.list() }

// ClientCertificate notes that an origin asked for a certificate of the client, which only
// the client has: connections to the host are tunnelled for a while.
func (c *Conduit) ClientCertificate(host string) {
	if c.Intercepts(host) && c.doubts.demanded(host) {
		c.doubted(netip.Addr{}, host, metrics.GivenUpCertificate)
	}
}

// doubted counts and reports a host that is tunnelled from now on.
func (c *Conduit) doubted(peer netip.Addr, host, reason string) {
	c.Metrics.GivenUp(reason)
	for _, d := range c.doubts.list() {
		if d.Host == host && d.Peer == peer {
			c.Doubted(d)
		}
	}
}
