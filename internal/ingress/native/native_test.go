package native

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/ingress"
	"sutler/internal/metrics"
	"sutler/internal/receipt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An echo answers with what it was asked.
type echo struct{}

// Classify knows nothing.
func (echo) Classify(ecosystem.Request) (ecosystem.Resource, ecosystem.Ecosystem, error) {
	return ecosystem.Resource{}, nil, ecosystem.ErrUnknown
}

// Serve answers "URL base", and the build if there is one.
func (echo) Serve(_ context.Context, req ecosystem.Request) (*engine.Answer, error) {
	b := []byte(req.URL.String() + " " + req.Base)
	if req.Build != "" {
		b = append(b, " of "+req.Build...)
	}
	return &engine.Answer{Outcome: engine.Hit, Bytes: b, Size: int64(len(b))}, nil
}

// nowhere passes nothing and keeps nothing.
type nowhere struct{}

// Pass fails.
func (nowhere) Pass(context.Context, *http.Request) (*http.Response, error) {
	return nil, errors.New("unexpected pass")
}

// Append forgets the line.
func (nowhere) Append(receipt.Line) {}

// profiles have mounts that contain each other.
var profiles = []ecosystem.Profile{
	{Name: "npm", Hosts: []string{"npm.example"}, Mounts: []ecosystem.Mount{{Path: "/npm/", Origin: "https://npm.example/"}}},
	{Name: "special", Hosts: []string{"special.example"}, Mounts: []ecosystem.Mount{{Path: "/npm/special/", Origin: "https://special.example/r/"}}},
	{Name: "apt", Hosts: []string{"deb.example"}, Mounts: []ecosystem.Mount{{Path: "/apt/{host}/", Origin: "http://{host}/"}}},
}

// handler returns a handler with an echo behind it.
func handler(t *testing.T, h Handler) *Handler {
	t.Helper()
	respond, err := ingress.New(ingress.Options{Engine: echo{}, Passer: nowhere{}, Receipts: nowhere{}, Profiles: profiles,
		Metrics: metrics.New("test"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h.Respond, h.Profiles = respond, profiles
	return New(h)
}

// get asks h for a target with a Host field.
func get(t *testing.T, h http.Handler, host, target string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", target, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func TestRoutes(t *testing.T) {
	plain := handler(t, Handler{})
	acng := handler(t, Handler{AptCacher: true})
	const base = " http://127.0.0.1:7885"
	for _, tt := range []struct {
		target string
		plain  string // what the engine is asked, with the base; "" for 404
		acng   string // the same on the apt-cacher-ng listener, if it differs
	}{
		{"/npm/left-pad", "https://npm.example/left-pad" + base, ""},
		{"/npm/@a%2fb?write=true", "https://npm.example/@a%2fb?write=true" + base, ""},
		{"/npm/special/x", "https://special.example/r/x" + base, ""},
		{"/npm/specialx", "https://npm.example/specialx" + base, ""},
		{"/apt/deb.example/debian/pool/a%2bb.deb", "http://deb.example/debian/pool/a%2bb.deb" + base, ""},
		{"/-/build/00ff/npm/left-pad", "https://npm.example/left-pad" + base + " of 00ff", ""},
		{"/-/build/00ff/HTTPS///deb.example/debian/x", "https://deb.example/debian/x  of 00ff", ""},
		{"/-/build/00ff/debian/x", "", ""},
		{"/-/build/00FF/npm/left-pad", "", ""},
		{"/-/build//npm/left-pad", "", ""},
		{"/-/build/00ff", "", ""},
		{"/npm", "", ""},
		{"/apt/deb.example", "", ""},
		{"/apt/u@deb.example/x", "", ""},
		{"/HTTPS///deb.example/debian/x", "https://deb.example/debian/x ", ""},
		{"/HTTPS///", "", ""},
		{"/deb.example/debian/x", "", "http://deb.example/debian/x "},
		{"/Deb.Example:8080/debian/x", "", "http://deb.example:8080/debian/x "},
		{"/deb.example", "", ""},
		{"/debian/x", "", ""},
		{"/other", "", ""},
		{"/-/ui", "", ""},
		{"/metrics", "", ""},
	} {
		for name, h := range map[string]*Handler{"plain": plain, "acng": acng} {
			want := tt.plain
			if name == "acng" && tt.acng != "" {
				want = tt.acng
			}
			status, body := get(t, h, "127.0.0.1:7885", tt.target)
			if want == "" && status != 404 || want != "" && (status != 200 || body != want) {
				t.Errorf("%s %s: %d %q, want %q", name, tt.target, status, body, want)
			}
		}
	}
}

func TestAmbiguousPathsAreRefused(t *testing.T) {
	h := handler(t, Handler{AptCacher: true})
	for _, target := range []string{"/npm/../x", "/npm/%2e%2e/x", "/npm/a%252fb", "/apt/deb.example/%2e%2e/x", "/npm/a%0d%0ab",
		"/HTTPS///u:p@deb.example/x", "/deb.example/../x"} {
		if status, body := get(t, h, "127.0.0.1", target); status != 400 && status != 404 {
			t.Errorf("%s: %d %q", target, status, body)
		}
	}
}

func TestHostField(t *testing.T) {
	h := handler(t, Handler{Names: []string{"sutler.docker", "Cache.example"}})
	for host, want := range map[string]int{
		"127.0.0.1:7885": 200, "172.17.0.1": 200, "localhost:7885": 200, "LOCALHOST": 200, "[::1]:7885": 200, "[2001:db8::1]": 200,
		"sutler.docker:7885": 200, "cache.EXAMPLE": 200, "": 200,
		"evil.example": 421, "npm.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "127.0.0.1:x": 421,
		"[::1": 421, "[evil.example]": 421, "sutler.docker@evil.example": 421,
	} {
		if status, body := get(t, h, host, "/livez"); status != want {
			t.Errorf("Host %q: %d %q, want %d", host, status, body, want)
		}
	}
}

func TestBase(t *testing.T) {
	h := handler(t, Handler{Names: []string{"sutler.docker"}})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/npm/x", nil)
	r.Host, r.TLS = "sutler.docker:7885", &tls.ConnectionState{}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Body.String(); got != "https://npm.example/x https://sutler.docker:7885" {
		t.Errorf("over TLS: %q", got)
	}
	s := httptest.NewServer(h)
	defer s.Close()
	r = httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, s.Listener.Addr()), "GET", "/npm/x", nil)
	r.Host = ""
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Body.String(); got != "https://npm.example/x "+s.URL {
		t.Errorf("HTTP/1.0 without a Host field: %q", got)
	}
}

func TestOperators(t *testing.T) {
	var trouble error
	h := handler(t, Handler{
		Ready:   func() error { return trouble },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, "metrics") }),
		Own:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { say(w, "own "+r.URL.Path) }),
	})
	for target, want := range map[string]string{"/livez": "alive\n", "/readyz": "ready\n", "/metrics": "metrics", "/-/ui/x": "own /-/ui/x"} {
		if status, body := get(t, h, "localhost", target); status != 200 || body != want {
			t.Errorf("%s: %d %q", target, status, body)
		}
	}
	if status, body := get(t, h, "localhost", "/npn/x"); status != 404 || !strings.Contains(body, "no ecosystem is mounted at /npn/x; sutler's paths are /apt/ /npm/\n") {
		t.Errorf("a path that is not mounted: %d %q", status, body)
	}
	trouble = errors.New("store is read-only")
	if status, body := get(t, h, "localhost", "/readyz"); status != 503 || !strings.Contains(body, "store is read-only") {
		t.Errorf("not ready: %d %q", status, body)
	}
	if status, _ := get(t, h, "localhost", "/livez"); status != 200 {
		t.Errorf("not ready, but alive: %d", status)
	}
}

func TestFrontPageIsRecognised(t *testing.T) {
	status, body := get(t, handler(t, Handler{AptCacher: true}), "127.0.0.1:3142", "/")
	if status != 200 || !strings.Contains(strings.ToLower(body), "<title>apt-cacher") {
		t.Errorf("%d %q", status, body)
	}
	if status, _ := get(t, handler(t, Handler{}), "127.0.0.1:7885", "/"); status != 404 {
		t.Errorf("without apt-cacher-ng's paths: %d", status)
	}
}

// FuzzRoutes checks that what reaches the engine stays under the origin of its mount.
func FuzzRoutes(f *testing.F) {
	for _, s := range []string{"/npm/x", "/apt/deb.example/x", "/HTTPS///a.example/b", "/npm/%2e%2e/x", "/apt/a%2fb/c"} {
		f.Add(s)
	}
	respond, err := ingress.New(ingress.Options{Engine: echo{}, Passer: nowhere{}, Receipts: nowhere{}, Profiles: profiles,
		Metrics: metrics.New("test"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	h := New(Handler{Respond: respond, Profiles: profiles})
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") || strings.ContainsAny(target, " \r\n\t") {
			t.Skip()
		}
		r, err := http.NewRequestWithContext(t.Context(), "GET", target, nil)
		if err != nil || r.URL.Host != "" {
			t.Skip()
		}
		r.Host = "127.0.0.1"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || strings.HasPrefix(r.URL.Path, "/livez") || strings.HasPrefix(r.URL.Path, "/readyz") {
			return
		}
		asked, _, _ := strings.Cut(w.Body.String(), " ")
		for _, origin := range []string{"https://npm.example/", "https://special.example/r/"} {
			if strings.HasPrefix(r.URL.Path, "/npm/") && strings.HasPrefix(asked, origin) {
				return
			}
		}
		if !strings.HasPrefix(r.URL.Path, "/apt/") && !strings.HasPrefix(r.URL.Path, "/HTTPS///") {
			t.Errorf("%q became %q", target, asked)
		}
	})
}
