package ingress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/metrics"
	"sutler/internal/policy"
	"sutler/internal/receipt"
)

func TestMain(m *testing.M) {
	if os.Getenv(serverMark) != "" {
		os.Exit(serveChild())
	}
	goleak.VerifyTestMain(m)
}

// A fake answers by the path of the URL. It notes what it was asked.
type fake struct {
	mu      sync.Mutex
	answers map[string]func(ecosystem.Request) (*engine.Answer, error)
	asked   []ecosystem.Request
}

// Classify knows nothing but artifacts without query and credential below /artifact/.
func (*fake) Classify(r ecosystem.Request) (ecosystem.Resource, ecosystem.Ecosystem, error) {
	if strings.HasPrefix(r.URL.Path, "/artifact/") && r.URL.RawQuery == "" && r.Credential == "" {
		return ecosystem.Resource{Ecosystem: "toy", URL: r.URL.String()}, nil, nil
	}
	return ecosystem.Resource{}, nil, ecosystem.ErrUnknown
}

// Serve answers a request.
func (f *fake) Serve(_ context.Context, req ecosystem.Request) (*engine.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req)
	answer := f.answers[req.URL.Path]
	if answer == nil {
		return nil, ecosystem.ErrUnknown
	}
	return answer(req)
}

// last returns the request that came last.
func (f *fake) last(t *testing.T) ecosystem.Request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		t.Fatal("the engine was not asked")
	}
	return f.asked[len(f.asked)-1]
}

// fixed returns an answer function that always gives a, or err.
func fixed(a engine.Answer, err error) func(ecosystem.Request) (*engine.Answer, error) {
	return func(ecosystem.Request) (*engine.Answer, error) {
		if err != nil {
			return nil, err
		}
		c := a
		return &c, nil
	}
}

// lines keeps receipt lines.
type lines struct {
	mu  sync.Mutex
	all []receipt.Line
}

// Append keeps a line.
func (l *lines) Append(line receipt.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

// only returns the one line there is, or will be: it is written after the client has the
// last byte.
func (l *lines) only(t *testing.T) receipt.Line {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); l.len() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) != 1 {
		t.Fatalf("%d receipt lines, want 1: %+v", len(l.all), l.all)
	}
	return l.all[0]
}

func (l *lines) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// passer sends requests to a handler.
type passer struct {
	mu     sync.Mutex
	seen   *http.Request
	body   string
	answer func() (*http.Response, error)
}

// Pass notes the request and answers it.
func (p *passer) Pass(_ context.Context, r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.body = r, string(b)
	if p.answer == nil {
		return nil, errors.New("unexpected pass")
	}
	if err != nil {
		return nil, err
	}
	return p.answer()
}

// profiles name two ecosystems with hosts that do not exist.
var profiles = []ecosystem.Profile{
	{Name: "npm", Hosts: []string{"npm.example"}},
	{Name: "apt", Hosts: []string{"deb.example"}},
}

// A rig is a responder with fakes on all sides.
type rig struct {
	*Responder
	engine   *fake
	passer   *passer
	receipts *lines
	log      *bytes.Buffer
}

// newRig returns a rig whose engine gives these answers.
func newRig(t testing.TB, answers map[string]func(ecosystem.Request) (*engine.Answer, error), rules policy.Rules) *rig {
	t.Helper()
	g := &rig{engine: &fake{answers: answers}, passer: &passer{}, receipts: &lines{}, log: new(bytes.Buffer)}
	var err error
	g.Responder, err = New(Options{Engine: g.engine, Passer: g.passer, Receipts: g.receipts, Rules: rules, Profiles: profiles,
		Metrics: metrics.New("test", "npm", "apt"), Log: slog.New(slog.NewTextHandler(&locked{w: g.log}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// locked lets several goroutines write.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

// Write writes.
func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// front returns the handler that asks the responder for the same path at a host.
func (g *rig) front(host string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := &url.URL{Scheme: "https", Host: host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
		g.Respond(w, r, g.Request(r, u, Build(r)))
	})
}

// serve starts a server, over TLS with HTTP/2 if asked, until the test ends.
func serve(t testing.TB, h http.Handler, h2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = NewServer(h, slog.New(slog.DiscardHandler))
	s.Listener = Listener(s.Listener, nil)
	if h2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// do sends a request with fields ("Name: value") and returns the answer with its body.
func do(t *testing.T, s *httptest.Server, method, path string, fields ...string) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp, string(b), err
}

// raw sends text over a connection of its own and returns all that comes back.
func raw(t *testing.T, s *httptest.Server, text string) (string, error) {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// A stream is a body that gives text and then fails, or ends if err is nil. It notes reads
// after it was closed by the test.
type stream struct {
	*strings.Reader
	err error
}

// newStream returns a stream.
func newStream(text string, err error) *stream { return &stream{strings.NewReader(text), err} }

// Read gives the next bytes.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if errors.Is(err, io.EOF) && s.err != nil {
		err = s.err
	}
	return n, err
}

// promising says that a body is longer than it is.
type promising struct {
	*stream
	size int64
}

// Seek knows the promised end.
func (p promising) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return p.size + offset, nil
	}
	return p.stream.Seek(offset, whence)
}
