package intercept

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sutler/internal/ca"
	"sutler/internal/ecosystem"
	"sutler/internal/ingress"
	"sutler/internal/ingress/ingresstest"
	"sutler/internal/metrics"
	"sutler/internal/receipt"
	"sutler/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds everything in these tests that waits for a peer.
const patience = ingresstest.Patience

// lines hands receipt lines on.
type lines chan receipt.Line

// Append hands a line on.
func (l lines) Append(line receipt.Line) { l <- line }

// next waits for a line.
func (l lines) next(t *testing.T) receipt.Line {
	t.Helper()
	select {
	case line := <-l:
		return line
	case <-time.After(patience):
		t.Fatal("no receipt line")
		return receipt.Line{}
	}
}

// A network leads host:port to listeners of the test.
type network map[string]string

// DialContext connects to the listener that stands for address.
func (n network) DialContext(ctx context.Context, kind, address string) (net.Conn, error) {
	to, ok := n[address]
	if !ok {
		return nil, fmt.Errorf("%w: %s is an address of sutler itself", upstream.ErrBlocked, address)
	}
	var d net.Dialer
	return d.DialContext(ctx, kind, to)
}

// A rig is a server that runs.
type rig struct {
	*Server
	t        *testing.T
	address  string
	root     []byte // PEM
	roots    *x509.CertPool
	receipts lines
	doubts   chan ingress.Doubt
	original atomic.Pointer[netip.AddrPort] // what the packet filter says
	strange  atomic.Bool                    // clients are no builds'
	stop     func()
}

// newRig starts a server, changed by f, that ends with the test.
func newRig(t *testing.T, n network, f func(*ingress.ConduitOptions)) *rig {
	t.Helper()
	g := &rig{t: t, receipts: make(lines, 100), roots: x509.NewCertPool(), doubts: make(chan ingress.Doubt, 10)}
	hosts := []string{"npm.example", "*.files.example", "pinned.example.com"}
	authority, err := ca.Open(filepath.Join(t.TempDir(), "ca"), hosts, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.root = authority.Root()
	g.roots.AppendCertsFromPEM(g.root)
	log, m := slog.New(slog.DiscardHandler), metrics.New("test", "npm")
	respond, err := ingress.New(ingress.Options{Engine: ingresstest.Echo{}, Passer: ingresstest.NoPass{}, Receipts: g.receipts, Metrics: m, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	o := ingress.ConduitOptions{Respond: respond, Receipts: g.receipts, Metrics: m, Log: log, Dialer: n, Certificate: authority.Certificate,
		Intercepts: func(host string) bool { return ecosystem.Profile{Hosts: hosts}.Owns(host) },
		Doubted:    func(d ingress.Doubt) { g.doubts <- d }}
	if f != nil {
		f(&o)
	}
	conduit, err := ingress.NewConduit(o)
	if err != nil {
		t.Fatal(err)
	}
	g.Server, err = New(t.Context(), Options{Conduit: conduit, Log: log, StandIn: netip.MustParseAddr("192.0.2.80"), Tunnels: g.strange.Load,
		Builds: func(peer netip.Addr) string {
			return map[bool]string{true: "ab12"}[peer.IsLoopback() && !g.strange.Load()]
		},
		original: func(*net.TCPConn) netip.AddrPort {
			if a := g.original.Load(); a != nil {
				return *a
			}
			return netip.AddrPort{}
		}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = l.Addr().String()
	shares := ingresstest.Shares(t)
	var group sync.WaitGroup
	group.Go(func() { _ = g.Serve(ingress.Listener(l, shares)) }) // ends by Close
	g.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := errors.Join(l.Close(), g.Shutdown(ctx), conduit.Shutdown(ctx)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		g.Wait()
		group.Wait()
	})
	t.Cleanup(g.stop)
	return g
}

// led makes the packet filter say that clients wanted to go to an address.
func (g *rig) led(to string) {
	a := netip.MustParseAddrPort(to)
	g.original.Store(&a)
}

// client returns a client whose connections all lead to the server.
func (g *rig) client(h2 bool, roots *x509.CertPool) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: h2,
		DialContext: func(ctx context.Context, kind, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, kind, g.address)
		}}
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// mirror sends back what it got, when the client has closed its half.
func mirror(c *net.TCPConn) {
	if b, err := io.ReadAll(c); err == nil {
		_, _ = c.Write(b)
	}
}

// newReal starts an origin over TLS, as any name below example.com, that answers "real".
func newReal(t *testing.T) (address string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "real") }))
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.Listener.Addr().String(), roots
}

// hello returns the bytes with which Go begins a connection to name.
func hello(t *testing.T, c *tls.Config) []byte {
	t.Helper()
	near, away := net.Pipe()
	var group sync.WaitGroup
	group.Go(func() { _ = tls.Client(near, c).HandshakeContext(t.Context()) }) // ends with the pipe
	head := make([]byte, 5)
	if _, err := io.ReadFull(away, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(away, body); err != nil {
		t.Fatal(err)
	}
	_ = away.Close()
	group.Wait()
	return bytes.Join([][]byte{head, body}, nil)
}
