// Package intercept takes connections that clients opened to somebody else and that the DNS
// or the packet filter (DNAT) led here: clients that know nothing of sutler.
//
// The ClientHello says which host a client wants. Hosts to intercept are answered with the
// local authority, over HTTP/1.1 or HTTP/2; connections to all others are tunnelled byte for
// byte to the address that an upstream resolver gives for the name, if policy allows it.
// Where there is no name, the address that the client connected to counts, if the packet
// filter still knows it; else the connection is refused. What is not TLS but HTTP is
// answered by its Host field, as the forward proxy would.
//
// What becomes of a connection once it is known where it leads is the business of
// [ingress.Conduit], which the forward proxy uses too.
package intercept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"sutler/internal/ingress"
	"sutler/internal/policy"
)

// Ports that are meant where the packet filter does not know which one the client used:
// names lead here for these alone.
const (
	portTLS  = 443
	portHTTP = 80
)

// Options are what a Server is made of. Conduit and Log are required.
type Options struct {
	Conduit *ingress.Conduit
	Log     *slog.Logger
	// Builds returns the build that a client belongs to, "" if that is not known. If nil,
	// it never is.
	Builds func(peer netip.Addr) string
	// Tunnels reports whether TLS of clients that belong to no build is tunnelled, whatever the
	// host. If nil, it is not.
	Tunnels func() bool
	// StandIn is an address that names were answered with so that the packet filter leads what
	// goes there here: where a client wanted to go, it does not say.
	StandIn netip.Addr

	// original returns the address that the client of a connection wanted; tests put their
	// own in place of the packet filter's.
	original func(*net.TCPConn) netip.AddrPort
}

// A Server serves connections that were led here. Serve may be called for several
// listeners. It is safe for concurrent use.
type Server struct {
	Options
	plain  *http.Server // answers HTTP without TLS
	door   *ingress.Door
	ctx    context.Context // of everything before it is known where a connection leads
	cancel context.CancelFunc
	inside sync.WaitGroup // the goroutine of plain
	wait   sync.WaitGroup // connections until somebody else owns them
}

// New returns a server whose connections end with ctx at the latest; the caller calls
// Shutdown all the same, before that of the conduit.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Conduit == nil || o.Log == nil {
		return nil, errors.New("intercept: conduit and log are required")
	}
	if o.Builds == nil {
		o.Builds = func(netip.Addr) string { return "" }
	}
	if o.Tunnels == nil {
		o.Tunnels = func() bool { return false }
	}
	if o.original == nil {
		o.original = original
	}
	s := &Server{Options: o, door: ingress.NewDoor()}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.plain = ingress.NewServer(http.HandlerFunc(s.servePlain), o.Log)
	next := s.plain.ConnContext
	s.plain.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if t, ok := ingress.Bare(c).(*net.TCPConn); ok {
			ctx = context.WithValue(ctx, arrivalKey{}, s.arrivalOf(t))
		}
		return next(ctx, c)
	}
	s.inside.Go(func() {
		// It ends when the door closes, in Shutdown, and then always with that error.
		_ = s.plain.Serve(s.door)
	})
	return s, nil
}

// Serve takes connections until the listener, which is one of [ingress.Listener], is closed,
// and returns why it ended.
func (s *Server) Serve(l net.Listener) error {
	for delay := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			delay = 0
			s.wait.Go(func() { s.handle(c) })
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED):
			// Descriptors become free when connections end; net/http waits the same way.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(delay):
			case <-s.ctx.Done():
				return context.Cause(s.ctx)
			}
		default:
			return err
		}
	}
}

// Shutdown ends what waits for a client to say where it wants to go, and waits for answers
// over plain HTTP until ctx is done. The caller has closed the listeners, and shuts the
// conduit down next, which ends what it was given.
func (s *Server) Shutdown(ctx context.Context) error {
	s.cancel()
	err := s.plain.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.plain.Close())
	}
	s.inside.Wait()
	return err
}

// Wait waits for connections that the conduit was given. It is called after its Shutdown.
func (s *Server) Wait() { s.wait.Wait() }

// An arrival is where a connection came from and where it should have gone.
type arrival struct {
	peer     netip.Addr
	original netip.AddrPort // the zero AddrPort if nobody knows
}

// arrivalKey is the key of the arrival in the context of plain requests.
type arrivalKey struct{}

// arrivalOf describes a connection.
func (s *Server) arrivalOf(c *net.TCPConn) arrival {
	var a arrival
	if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		a.peer = at.AddrPort().Addr().Unmap()
	}
	if to := s.original(c); to.Addr() != s.StandIn {
		a.original = to
	}
	return a
}

// visit returns the visit of an arrival to a target, of which only the port may be missing.
func (s *Server) visit(a arrival, host string, port uint16) (ingress.Visit, error) {
	if a.original.IsValid() {
		port = a.original.Port()
	}
	to, err := ingress.ParseTarget(net.JoinHostPort(host, fmt.Sprint(port)))
	build := s.Builds(a.peer)
	return ingress.Visit{To: to, Build: build, Peer: a.peer, Direct: a.original.IsValid(), Stranger: build == "" && s.Tunnels()}, err
}

// handle finds out where a connection leads, and sees to it that it gets there.
func (s *Server) handle(c net.Conn) {
	t, ok := ingress.Bare(c).(*net.TCPConn)
	if !ok {
		_ = c.Close() // no listener of ours hands out another
		return
	}
	near, err := s.Conduit.Take(func() (net.Conn, []byte, error) { return c, nil, nil })
	if err != nil {
		_ = c.Close() // stopping
		return
	}
	_ = near.SetDeadline(time.Now().Add(s.Conduit.HandshakeTimeout)) // if it fails, so does the read
	// A connection knows no contexts: when the server stops, the deadline ends the waiting.
	awake := context.AfterFunc(s.ctx, func() { _ = near.SetReadDeadline(time.Unix(1, 0)) })
	first, err := peek(t)
	if err == nil && mayBeHTTP(first) && awake() {
		_ = near.SetDeadline(time.Time{}) // the server sets its own
		s.Conduit.Forget(near)
		if !s.door.Admit(c) {
			_ = c.Close() // stopping
		}
		return
	}
	var hello ingress.Hello
	if err == nil {
		hello, err = near.Hello(s.ctx)
	}
	if asleep := !awake(); asleep || err != nil {
		s.Conduit.Release(near) // it said nothing, or not enough, or too much
		return
	}
	s.lead(near, s.arrivalOf(t), hello)
}

// mayBeHTTP reports whether a request may begin with that byte.
func mayBeHTTP(b byte) bool { return b >= 'A' && b <= 'Z' }

// lead opens the connection, tunnels or refuses it.
func (s *Server) lead(near *ingress.Taken, a arrival, hello ingress.Hello) {
	ctx := context.WithoutCancel(s.ctx) // from here on the conduit says when it ends
	v, err := s.goal(a, hello)
	if err == nil && hello.TLS && hello.HTTP() && s.Conduit.Opens(v) {
		s.Conduit.Open(ctx, near, v)
		return
	}
	defer s.Conduit.Release(near)
	if err != nil {
		s.Conduit.Failed(ctx, v, err)
		return
	}
	s.Conduit.Through(ctx, near, v)
}

// goal returns where a client wants to go. A name that may hide another counts only if it
// is one to intercept; the address that the client looked up for the hidden one is right.
func (s *Server) goal(a arrival, hello ingress.Hello) (ingress.Visit, error) {
	if hello.Name != "" {
		v, err := s.visit(a, hello.Name, portTLS)
		if err == nil && (!hello.Hidden || s.Conduit.Intercepts(v.To.Host)) {
			return v, nil
		}
	}
	if a.original.IsValid() {
		return s.visit(a, a.original.Addr().String(), portTLS)
	}
	v := ingress.Visit{To: ingress.Target{Host: "unnamed", Port: portTLS}, Build: s.Builds(a.peer), Peer: a.peer}
	return v, &policy.RefusedError{Rule: "intercept.listen", Subject: a.peer.String(),
		Reason: "the client names no host in its TLS handshake, and where it wanted to go is not known; let the packet filter lead it here (DNAT), or except the host from the DNS"}
}
