package upstream_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sutler/internal/upstream"
	"sutler/internal/upstream/origintest"
)

// request returns a request as a way in makes it.
func request(t *testing.T, method, url, body string, fields ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(fields, 2) {
		r.Header.Add(pair[0], pair[1])
	}
	return r
}

func TestPass(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	c.Credentials = []upstream.Credential{{Prefix: o.URL("/"), Token: canary}}
	o.Put("/audit", origintest.Content{Body: `{"ok":true}`, Type: "application/json", Header: http.Header{
		"Set-Cookie": {"id=1"}, "Connection": {"X-Mine"}, "X-Mine": {"1"}, "X-Other": {"2"}, "Keep-Alive": {"9"},
		"Proxy-Authenticate": {"Basic"},
	}})
	resp, err := c.Pass(t.Context(), request(t, "POST", o.URL("/audit?a=1"), `{"left-pad":"1"}`,
		"Authorization", "Bearer client", "Content-Type", "application/json", "Content-Encoding", "gzip", "Npm-Command", "audit",
		"Accept", "application/json", "Accept-Encoding", "gzip", "User-Agent", "npm/11", "Range", "bytes=0-", "If-None-Match", `"x"`,
		"Git-Protocol", "version=2", "Connection", "close, Npm-Scope", "Npm-Scope", "secret", "Cookie", "id=1", "Proxy-Authorization", "Basic x",
		"X-Forwarded-For", "10.0.0.1", "X-Forwarded-Host", "evil.example", "Via", "1.1 x", "Te", "trailers", "Upgrade", "websocket",
		"Expect", "100-continue", "Forwarded", "for=x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) == "" || err != nil {
		t.Errorf("body = %q, %v", b, err)
	}
	r := o.Requests("/audit")[0]
	if r.Method != "POST" || r.Body != `{"left-pad":"1"}` || r.URL != o.URL("/audit?a=1") {
		t.Errorf("request = %+v", r)
	}
	want := []string{"Accept", "Accept-Encoding", "Authorization", "Content-Encoding", "Content-Length", "Content-Type", "Git-Protocol", "If-None-Match", "Npm-Command", "Range", "User-Agent"}
	if got := slices.Sorted(maps.Keys(r.Header)); !slices.Equal(got, want) {
		t.Errorf("fields sent = %v, want %v", got, want)
	}
	if got := r.Header.Get("Authorization"); got != "Bearer client" {
		t.Errorf("Authorization = %q", got)
	}
	for _, f := range []string{"Set-Cookie", "Connection", "X-Mine", "Keep-Alive", "Proxy-Authenticate"} {
		if v := resp.Header.Values(f); v != nil {
			t.Errorf("answer has %s: %v", f, v)
		}
	}
	if resp.Header.Get("X-Other") != "2" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("answer = %v", resp.Header)
	}
}

func TestPassAsItIs(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	c.Credentials = []upstream.Credential{{Prefix: o.URL("/"), Token: canary}}
	o.File("/x", "body")
	o.Behave("/moved", origintest.Redirect("/x"))
	o.Behave("/gzip", origintest.Gzip())
	o.File("/gzip", long)
	o.Behave("/broken", origintest.TruncateAlways(2))
	o.File("/broken", "body")
	for _, tt := range []struct {
		method, path string
		status       int
		field, value string
		readErr      bool
	}{
		{"GET", "/x", 200, "Content-Length", "4", false},
		{"HEAD", "/x", 200, "Content-Length", "4", false},
		{"GET", "/moved", 302, "Location", "/x", false},
		{"GET", "/missing", 404, "", "", false},
		{"PUT", "/missing", 404, "", "", false},
		{"DELETE", "/missing", 404, "", "", false},
		{"GET", "/gzip", 200, "Content-Encoding", "gzip", false},
		{"GET", "/broken", 200, "Content-Length", "4", true},
	} {
		resp, err := c.Pass(t.Context(), request(t, tt.method, o.URL(tt.path), ""))
		if err != nil {
			t.Errorf("Pass(%s %s) = %v", tt.method, tt.path, err)
			continue
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close() // only the answer counts
		if resp.StatusCode != tt.status || tt.field != "" && resp.Header.Get(tt.field) != tt.value || (err != nil) != tt.readErr {
			t.Errorf("Pass(%s %s) = %d %v, read %v", tt.method, tt.path, resp.StatusCode, resp.Header, err)
		}
		for _, r := range o.Requests(tt.path) {
			if r.Header.Get("Authorization") != "" || r.Header.Get("User-Agent") != "" {
				t.Errorf("%s: sent %v: nobody asked for that", tt.path, r.Header)
			}
		}
	}
}

func TestPassIsGuarded(t *testing.T) {
	o := origintest.New(t)
	o.File("/x", "body")
	var c upstream.Client
	t.Cleanup(c.Close)
	for _, tt := range []struct {
		method, url string
		want        error
	}{
		{"POST", o.URL("/x"), upstream.ErrBlocked},
		{"POST", "http://169.254.169.254/latest/api/token", upstream.ErrBlocked},
		{"POST", "http://localhost/", upstream.ErrBlocked},
		{"CONNECT", "http://registry.example:443/", upstream.ErrBlocked},
		{"TRACE", "http://registry.example/", upstream.ErrBlocked},
		{"POST", "gopher://registry.example/", upstream.ErrInvalid},
		{"POST", "/relative", upstream.ErrInvalid},
	} {
		resp, err := c.Pass(t.Context(), request(t, tt.method, tt.url, "x"))
		if !errors.Is(err, tt.want) {
			t.Errorf("Pass(%s %s) = %v, %v, want %v", tt.method, tt.url, resp, err, tt.want)
		}
		if err == nil {
			_ = resp.Body.Close() // it should not have been
		}
	}
	if o.Conns() != 0 {
		t.Errorf("%d connections", o.Conns())
	}
}

func TestTunnel(t *testing.T) {
	o := origintest.New(t)
	o.File("/x", "body")
	plain, secure := o.Ports()
	c := newClient(t, o)
	for _, tt := range []struct {
		network, address string
		want             error
	}{
		{"tcp", fmt.Sprintf("127.0.0.1:%d", secure), nil},
		{"udp", fmt.Sprintf("127.0.0.1:%d", secure), upstream.ErrBlocked},
		{"tcp", fmt.Sprintf("127.0.0.1:%d", plain), upstream.ErrBlocked},
		{"tcp", "127.0.0.1:443", upstream.ErrBlocked},
		{"tcp", "10.0.0.1:443", upstream.ErrBlocked},
		{"tcp", "[::ffff:10.0.0.1]:443", upstream.ErrBlocked},
		{"tcp", "169.254.169.254:80", upstream.ErrBlocked},
		{"tcp", "8.8.8.8:25", upstream.ErrBlocked},
		{"tcp", "8.8.8.8:0443", upstream.ErrBlocked},
		{"tcp", "8.8.8.8", upstream.ErrBlocked},
		{"tcp", ":443", upstream.ErrBlocked},
		{"tcp", "localhost:22", upstream.ErrBlocked},
	} {
		ctx := t.Context()
		if tt.want == nil { // no port of this origin is open to all
			ctx = upstream.Behalf(ctx, netip.MustParseAddr("192.0.2.7"))
		}
		conn, err := c.DialContext(ctx, tt.network, tt.address)
		if !errors.Is(err, tt.want) {
			t.Errorf("DialContext(%s, %s) = %v, want %v", tt.network, tt.address, err, tt.want)
		}
		if err == nil {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestTunnelRefused(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	c.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://127.0.0.1:1") } // nobody listens there
	if _, err := c.DialContext(t.Context(), "tcp", "registry.example:443"); !errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("DialContext = %v, want ErrUnavailable", err)
	}
}

// With a proxy, tunnels go through it, with its own credential, and no name is looked up here.
func TestTunnelThroughProxy(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			o := origintest.New(t)
			o.File("https://registry.example/x", "body")
			address := strings.TrimPrefix(o.URL(""), "http://")
			if scheme == "https" {
				address = strings.TrimPrefix(o.SecureURL(""), "https://")
			}
			c := &upstream.Client{Roots: o.Roots(), Proxy: func(*http.Request) (*url.URL, error) {
				return &url.URL{Scheme: scheme, Host: address, User: url.UserPassword("u", canary)}, nil
			}}
			t.Cleanup(c.Close)
			conn, err := c.DialContext(t.Context(), "tcp", "registry.example:443")
			if err != nil {
				t.Fatal(err)
			}
			inner := tls.Client(conn, &tls.Config{ServerName: "registry.example", RootCAs: o.Roots()})
			defer inner.Close()
			r := request(t, "GET", "https://registry.example/x", "")
			if err := r.Write(inner); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(inner), r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); string(b) != "body" || err != nil {
				t.Errorf("body = %q, %v", b, err)
			}
			tunnels := o.Requests("CONNECT registry.example:443")
			if len(tunnels) != 1 || tunnels[0].Header.Get("Proxy-Authorization") == "" {
				t.Errorf("tunnels = %+v", tunnels)
			}
			if _, err := c.DialContext(t.Context(), "tcp", "10.0.0.1:443"); !errors.Is(err, upstream.ErrBlocked) {
				t.Errorf("DialContext = %v, want ErrBlocked", err)
			}
		})
	}
}
