package forward

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sutler/internal/ca"
	"sutler/internal/ingress"
	"sutler/internal/ingress/ingresstest"
	"sutler/internal/policy"
)

func TestAbsoluteForm(t *testing.T) {
	g := newRig(t, nil, func(o *options) { o.Own = func(hostport string) bool { return hostport == "10.0.0.1:7885" } })
	for _, tt := range []struct {
		name, request string
		status        int
		want          string // body
	}{
		{"plain", "GET http://deb.example/debian/x?y HTTP/1.1\r\nHost: deb.example", 200, "GET http://deb.example/debian/x?y ab12"},
		{"the target counts, not the Host field", "GET http://deb.example/x HTTP/1.1\r\nHost: evil.example", 200, "GET http://deb.example/x ab12"},
		{"case and default port", "GET http://DEB.example:80/x HTTP/1.1\r\nHost: h", 200, "GET http://deb.example/x ab12"},
		{"other port", "GET http://deb.example:8080/x HTTP/1.1\r\nHost: h", 200, "GET http://deb.example:8080/x ab12"},
		{"no path", "GET http://deb.example HTTP/1.1\r\nHost: h", 200, "GET http://deb.example/ ab12"},
		{"https to the proxy itself", "GET https://npm.example:443/x HTTP/1.1\r\nHost: h", 200, "GET https://npm.example/x ab12"},
		{"as apt-cacher-ng has it", "GET http://HTTPS///deb.example/x?y HTTP/1.1\r\nHost: HTTPS", 200, "GET https://deb.example/x?y ab12"},
		{"a host that is really called so", "GET http://https/x HTTP/1.1\r\nHost: https", 200, "GET http://https/x ab12"},
		{"escapes stay", "GET http://deb.example/a%2bb%7E HTTP/1.1\r\nHost: h", 200, "GET http://deb.example/a%2bb%7E ab12"},
		{"sutler itself", "GET http://10.0.0.1:7885/npm/x?y HTTP/1.1\r\nHost: h", 200, "local /npm/x?y"},
		{"path", "GET /npm/x HTTP/1.1\r\nHost: h", 200, "local /npm/x"},
		{"going up", "GET http://deb.example/a/../x HTTP/1.1\r\nHost: h", 400, ""},
		{"credentials", "GET http://u:p@deb.example/x HTTP/1.1\r\nHost: h", 400, ""},
		{"other scheme", "GET ftp://deb.example/x HTTP/1.1\r\nHost: h", 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, r := g.dial(t, tt.request+"\r\nProxy-Authorization: Basic YWIxMjp4\r\nConnection: close\r\n\r\n")
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.status || tt.want != "" && string(body) != tt.want {
				t.Errorf("%d %q %v, want %d %q", resp.StatusCode, body, err, tt.status, tt.want)
			}
		})
	}
}

func TestIntercepted(t *testing.T) {
	g := newRig(t, nil, nil)
	for _, h2 := range []bool{false, true} {
		c := g.client(t, h2, "7f3a")
		for target, want := range map[string]string{
			"https://npm.example/a%2fb?c":    "GET https://npm.example/a%2fb?c 7f3a",
			"https://NPM.example/":           "GET https://npm.example/ 7f3a",
			"https://cdn.eu.files.example/x": "GET https://cdn.eu.files.example/x 7f3a",
		} {
			resp, body, err := ingresstest.Get(t, c, target)
			if err != nil || body != want || (resp.ProtoMajor == 2) != h2 {
				t.Errorf("h2=%v %s: %v %q %v", h2, target, resp, body, err)
			}
		}
		if _, body, err := ingresstest.Get(t, c, "https://npm.example/bad"); err == nil {
			t.Errorf("h2=%v: a body that turned out wrong was completed with %d bytes", h2, len(body))
		}
	}
	if _, body, err := ingresstest.Get(t, g.client(t, true, ""), "https://npm.example/x"); err != nil || body != "GET https://npm.example/x " {
		t.Errorf("without a build: %q %v", body, err)
	}
}

// open returns a TLS connection inside CONNECT to npm.example.
func (g *rig) open(t *testing.T, name string) (*tls.Conn, *bufio.Reader, error) {
	t.Helper()
	c, _, resp := g.connect(t, "npm.example:443", "")
	if resp.StatusCode != 200 {
		t.Fatalf("CONNECT: %d", resp.StatusCode)
	}
	s := tls.Client(c, &tls.Config{RootCAs: g.roots, ServerName: name})
	if err := s.HandshakeContext(t.Context()); err != nil {
		return nil, nil, err
	}
	return s, bufio.NewReader(s), nil
}

func TestInsideOnlyTheHostThatWasNamed(t *testing.T) {
	g := newRig(t, nil, nil)
	for _, tt := range []struct {
		name, request string
		status        int
		want          string
	}{
		{"same host", "GET /x HTTP/1.1\r\nHost: npm.example", 200, "GET https://npm.example/x ab12"},
		{"with port", "GET /x HTTP/1.1\r\nHost: NPM.example:443", 200, "GET https://npm.example/x ab12"},
		{"absolute form", "GET https://npm.example/x HTTP/1.1\r\nHost: npm.example", 200, "GET https://npm.example/x ab12"},
		{"a build named inside counts nothing", "GET /x HTTP/1.1\r\nHost: npm.example\r\nProxy-Authorization: Basic Y2Q6eA==", 200, "GET https://npm.example/x ab12"},
		{"other host", "GET /x HTTP/1.1\r\nHost: deb.example", 421, ""},
		{"other intercepted host", "GET /x HTTP/1.1\r\nHost: a.files.example", 421, ""},
		{"other port", "GET /x HTTP/1.1\r\nHost: npm.example:8443", 421, ""},
		{"other host in absolute form", "GET https://deb.example/x HTTP/1.1\r\nHost: npm.example", 421, ""},
		{"plain HTTP in absolute form", "GET http://npm.example/x HTTP/1.1\r\nHost: npm.example", 421, ""},
		{"CONNECT", "CONNECT npm.example:443 HTTP/1.1\r\nHost: npm.example:443", 405, ""},
		{"asterisk, which net/http answers", "OPTIONS * HTTP/1.1\r\nHost: npm.example", 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, r, err := g.open(t, "npm.example")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if _, err := io.WriteString(s, tt.request+"\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.status || tt.want != "" && string(body) != tt.want {
				t.Errorf("%d %q %v, want %d %q", resp.StatusCode, body, err, tt.status, tt.want)
			}
		})
	}
	if _, _, err := g.open(t, "bank.example"); err == nil {
		t.Error("a certificate was made for a name that is not intercepted")
	}
	if got := <-g.refused; got != "npm.example" {
		t.Errorf("reported host %q", got)
	}
}

func TestClientThatDoesNotTrustUs(t *testing.T) {
	g := newRig(t, nil, nil)
	c := g.client(t, true, "7f3a")
	c.Transport.(*http.Transport).TLSClientConfig.RootCAs = nil
	if _, _, err := ingresstest.Get(t, c, "https://npm.example/x"); err == nil {
		t.Fatal("the client trusts an authority it does not know")
	}
	select {
	case got := <-g.refused:
		if got != "npm.example" {
			t.Errorf("reported host %q", got)
		}
	case <-time.After(patience):
		t.Fatal("nothing was reported")
	}
	if !strings.Contains(g.shown(t), "sutler_handshake_failures_total 1") {
		t.Error("not counted")
	}
	// Connecting ahead of need is no failure.
	near, _, _ := g.connect(t, "npm.example:443", "")
	if err := near.Close(); err != nil {
		t.Fatal(err)
	}
}

// answering reads a request of n bytes and answers with it in capitals.
func answering(n int) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		b := make([]byte, n)
		if _, err := io.ReadFull(c, b); err == nil {
			_, _ = io.WriteString(c, strings.ToUpper(string(b)))
		}
	}
}

func TestNotTLSInsideAnInterceptedHost(t *testing.T) {
	h := ingresstest.Far(t, answering(len("ssh-2.0")))
	g := newRig(t, network{"npm.example:443": h.Addr().String()}, nil)
	for _, ahead := range []bool{false, true} {
		first, then := "", "ssh-2.0"
		if ahead {
			first, then = then, ""
		}
		c, r, resp := g.connect(t, "npm.example:443", first)
		if _, err := io.WriteString(c, then); resp.StatusCode != 200 || err != nil {
			t.Fatalf("%d, %v", resp.StatusCode, err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != "SSH-2.0" {
			t.Errorf("ahead=%v: %q, %v", ahead, got, err)
		}
		_ = c.Close()
		if l := g.receipts.next(t); l.Ecosystem != ingress.Tunnel || l.URL != "npm.example:443" || l.Outcome != "bypass" || l.Bytes != 7 || l.Build != "ab12" {
			t.Errorf("receipt line %+v", l)
		}
	}
}

func TestNotTLSWhereTunnelsAreRefused(t *testing.T) {
	g := newRig(t, network{}, func(o *options) { o.Rules = policy.Rules{RefuseUnknown: true} })
	c, r, _ := g.connect(t, "npm.example:443", "ssh-2.0")
	if got, err := io.ReadAll(r); err == nil && len(got) > 0 {
		t.Errorf("got %q", got)
	}
	_ = c.Close()
	if l := g.receipts.next(t); l.Outcome != "refused" || l.Error == "" {
		t.Errorf("receipt line %+v", l)
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New accepts nothing at all")
	}
}

func TestCrowd(t *testing.T) { ingresstest.Crowd(t, newRig(t, nil, nil).address) }

func TestShutdownBeforeConnect(t *testing.T) {
	g := newRig(t, network{"far.example:443": "127.0.0.1:1"}, nil)
	if err := g.Conduit.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, resp := g.connect(t, "npm.example:443", "")
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"http://A.example/x":            "http://a.example/x",
		"http://a.example:443/x":        "http://a.example:443/x",
		"https://a.example:443":         "https://a.example/",
		"http://HTTPS///a.example/b?c":  "https://a.example/b?c",
		"http://HTTPS///A.example:443/": "https://a.example/",
		"http://HTTPS//a.example/b":     "http://https//a.example/b",
		"http://a.example///b":          "http://a.example///b",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		before := u.String()
		got, err := canonical(u)
		if err != nil || got.String() != want {
			t.Errorf("canonical(%s) = %v, %v, want %s", in, got, err, want)
		}
		if u.String() != before {
			t.Errorf("canonical changed its argument %s to %s", before, u)
		}
	}
}

func TestCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("curl is not installed")
		}
		t.Skip("curl is not installed")
	}
	var bundle []byte
	g := newRig(t, nil, func(o *options) {
		authority, err := ca.Open(filepath.Join(t.TempDir(), "ca"), hosts, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.Certificate, bundle = authority.Certificate, authority.Root()
	})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		version, target, want string
	}{
		{"--http2", "https://npm.example/x", "GET https://npm.example/x 7f3a"},
		{"--http1.1", "https://npm.example/x", "GET https://npm.example/x 7f3a"},
		{"--http1.1", "http://deb.example/x", "GET http://deb.example/x 7f3a"},
		{"--http1.1", "https://npm.example/bad", ""},
		{"--http2", "https://npm.example/bad", ""},
		{"--http1.1", "http://deb.example/bad", ""},
		{"--http1.0", "http://deb.example/bad", ""},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := exec.CommandContext(ctx, "curl", "-sS", tt.version, "-x", "http://7f3a:x@"+g.address, "--cacert", file, tt.target).Output()
		cancel()
		var failed *exec.ExitError
		if tt.want == "" && !errors.As(err, &failed) || tt.want != "" && (err != nil || string(out) != tt.want) {
			t.Errorf("curl %s %s: %.60q, %v, want %q", tt.version, tt.target, out, err, tt.want)
		}
	}
}
