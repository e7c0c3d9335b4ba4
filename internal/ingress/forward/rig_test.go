package forward

import (
	"bufio"
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
	"net/url"
	"path/filepath"
	"sync"
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

// hosts are intercepted.
var hosts = []string{"npm.example", "*.files.example"}

// patience bounds everything in these tests that waits for a peer.
const patience = ingresstest.Patience

// lines keeps receipt lines and passes nothing.
type lines struct {
	ingresstest.NoPass

	mu   sync.Mutex
	all  []receipt.Line
	came chan struct{} // one token for each line
}

// Append keeps a line.
func (l *lines) Append(line receipt.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
	l.came <- struct{}{}
}

// next waits for a line and returns the one that came last.
func (l *lines) next(t *testing.T) receipt.Line {
	t.Helper()
	select {
	case <-l.came:
	case <-time.After(patience):
		t.Fatal("no receipt line")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[len(l.all)-1]
}

// A network leads host:port to listeners of the test.
type network map[string]string

// DialContext connects to the listener that stands for address.
func (n network) DialContext(ctx context.Context, kind, address string) (net.Conn, error) {
	to, ok := n[address]
	if !ok {
		return nil, fmt.Errorf("%w: %s: no such host", upstream.ErrUnavailable, address)
	}
	if to == "" {
		return nil, fmt.Errorf("%w: %s", upstream.ErrBlocked, address)
	}
	var d net.Dialer
	return d.DialContext(ctx, kind, to)
}

// options are those of the conduit and of the proxy.
type options struct {
	ingress.ConduitOptions
	Own func(hostport string) bool
}

// A rig is a proxy that runs.
type rig struct {
	*Proxy
	address  string
	receipts *lines
	metrics  *metrics.Metrics
	roots    *x509.CertPool
	refused  chan string // hosts whose handshakes clients broke off
}

// newRig starts a proxy, changed by f, that ends with the test.
func newRig(t *testing.T, network network, f func(*options)) *rig {
	t.Helper()
	g := &rig{receipts: &lines{came: make(chan struct{}, 100)}, metrics: metrics.New("test", "npm"), roots: x509.NewCertPool(),
		refused: make(chan string, 10)}
	authority, err := ca.Open(filepath.Join(t.TempDir(), "ca"), hosts, nil)
	if err != nil {
		t.Fatal(err)
	}
	g.roots.AppendCertsFromPEM(authority.Root())
	log := slog.New(slog.DiscardHandler)
	respond, err := ingress.New(ingress.Options{Engine: ingresstest.Echo{}, Passer: g.receipts, Receipts: g.receipts, Metrics: g.metrics, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	o := options{ConduitOptions: ingress.ConduitOptions{
		Respond: respond, Receipts: g.receipts, Metrics: g.metrics, Log: log, Dialer: network, Certificate: authority.Certificate,
		Intercepts: func(host string) bool {
			return ecosystem.Profile{Hosts: hosts}.Owns(host)
		},
		Distrusted: func(host, _ string, _ error) { g.refused <- host }}}
	if f != nil {
		f(&o)
	}
	conduit, err := ingress.NewConduit(o.ConduitOptions)
	if err != nil {
		t.Fatal(err)
	}
	local := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "local %s", r.URL) })
	if g.Proxy, err = New(Options{Conduit: conduit, Local: local, Own: o.Own}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = l.Addr().String()
	s, shares := ingress.NewServer(g.Proxy, log), ingresstest.Shares(t)
	var group sync.WaitGroup
	group.Go(func() { _ = s.Serve(ingress.Listener(l, shares)) }) // ends by Shutdown
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), g.Conduit.Shutdown(ctx)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		group.Wait()
	})
	return g
}

// client returns a client that uses the proxy, as build if that is not "", and trusts the
// authority.
func (g *rig) client(t *testing.T, h2 bool, build string) *http.Client {
	t.Helper()
	proxy := &url.URL{Scheme: "http", Host: g.address}
	if build != "" {
		proxy.User = url.UserPassword(build, "x")
	}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: g.roots}, ForceAttemptHTTP2: h2}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// dial connects to the proxy and sends text.
func (g *rig) dial(t *testing.T, text string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c := ingresstest.Dial(t, g.address)
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// connect opens a tunnel and returns its end, and the status.
func (g *rig) connect(t *testing.T, to string, more string) (*net.TCPConn, *bufio.Reader, *http.Response) {
	t.Helper()
	c, r := g.dial(t, "CONNECT "+to+" HTTP/1.1\r\nHost: "+to+"\r\nProxy-Authorization: Basic YWIxMjp4\r\n\r\n"+more)
	resp, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
	if err != nil {
		t.Fatalf("CONNECT %s: %v", to, err)
	}
	return c, r, resp
}

// shown returns the metrics as text.
func (g *rig) shown(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	g.metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return w.Body.String()
}
