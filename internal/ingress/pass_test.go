package ingress

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/policy"
	"sutler/internal/upstream"
)

// passing returns a rig that passes /x.
func passing(t *testing.T, answer func() (*http.Response, error)) *rig {
	t.Helper()
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){"/x": fixed(engine.Answer{}, ecosystem.ErrBypass)}, policy.Rules{})
	g.passer.answer = answer
	return g
}

// response returns an answer of an origin.
func response(status int, length int64, body io.Reader, fields ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		r := &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: length, Body: io.NopCloser(body)}
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			r.Header.Add(name, value)
		}
		return r, nil
	}
}

// TestTermsOfABuild hands what a build asked for on to the engine, and passes nothing of an
// offline one.
func TestTermsOfABuild(t *testing.T) {
	g := passing(t, response(200, 2, strings.NewReader("ok")))
	g.Terms = func(build string) policy.Terms { return policy.Terms{Strict: build == "57", Offline: build == "0ff"} }
	s := serve(t, g.front("deb.example"), false)
	for _, tt := range []struct {
		user            string
		strict, offline bool
		status          int
	}{
		{"0ff:x", false, true, 504},
		{"57:x", true, false, 200},
	} {
		resp, _, err := do(t, s, "GET", "/x", "Proxy-Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(tt.user)))
		if err != nil || resp.StatusCode != tt.status {
			t.Errorf("%s: %v, %v; want %d", tt.user, resp, err, tt.status)
		}
		if req := g.engine.last(t); req.Strict != tt.strict || req.Offline != tt.offline {
			t.Errorf("%s: request %+v", tt.user, req)
		}
	}
}

// TestDisguise refuses a strict build the artifacts that it would be refused without the query
// or the credential by which they are passed through.
func TestDisguise(t *testing.T) {
	bypass := fixed(engine.Answer{}, ecosystem.ErrBypass)
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){"/artifact/a": bypass, "/search": bypass}, policy.Rules{})
	g.passer.answer = response(200, 0, strings.NewReader(""))
	g.Terms = func(build string) policy.Terms { return policy.Terms{Strict: build == "57"} }
	s := serve(t, g.front("npm.example"), false)
	for _, tt := range []struct {
		user, method, target, field string
		status                      int
	}{
		{"57:x", "GET", "/artifact/a?x=1", "Accept: */*", 403},
		{"57:x", "GET", "/artifact/a", "Authorization: Bearer t", 403},
		{"57:x", "GET", "/search?q=a", "Accept: */*", 200},
		{"57:x", "POST", "/artifact/a?x=1", "Accept: */*", 200},
		{"0:x", "GET", "/artifact/a?x=1", "Authorization: Bearer t", 200},
	} {
		resp, _, err := do(t, s, tt.method, tt.target, "Proxy-Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(tt.user)), tt.field)
		if err != nil || resp.StatusCode != tt.status {
			t.Errorf("%+v: %v, %v", tt, resp, err)
		}
	}
}

func TestPass(t *testing.T) {
	g := passing(t, response(201, 2, strings.NewReader("ok"), "Content-Length: 2", "X-Origin: yes", "Set-Cookie: a=b",
		"Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic"))
	s := serve(t, g.front("npm.example"), false)
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/x?q=secret", strings.NewReader("question"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Authorization": "Bearer t", "Proxy-Authorization": "Basic YWIxMjp4", "Proxy-Connection": "keep-alive",
		"Connection": "X-Mine", "X-Mine": "1", "Te": "trailers", "X-Kept": "1"} {
		r.Header.Set(name, value)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 201 || string(body) != "ok" || resp.Header.Get("X-Origin") != "yes" ||
		resp.Header.Get("Set-Cookie") != "a=b" || resp.Header.Get("Cache-Status") != "sutler; fwd=bypass" {
		t.Errorf("%v %q %v", resp, body, err)
	}
	for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authenticate"} {
		if resp.Header.Get(name) != "" {
			t.Errorf("%s was passed on to the client", name)
		}
	}
	out := g.passer.seen
	if out.URL.String() != "https://npm.example/x?q=secret" || out.Method != "POST" || g.passer.body != "question" || out.Host != "" {
		t.Errorf("origin was asked %s %s with %q, host %q", out.Method, out.URL, g.passer.body, out.Host)
	}
	for name, want := range map[string]string{"Authorization": "Bearer t", "X-Kept": "1", "Proxy-Authorization": "", "Proxy-Connection": "",
		"Te": "", "X-Mine": "", "Connection": ""} {
		if got := out.Header.Get(name); got != want {
			t.Errorf("%s towards the origin: %q, want %q", name, got, want)
		}
	}
	l := g.receipts.only(t)
	if l.Outcome != "bypass" || l.Bytes != 2 || l.Upstream != 2 || l.Build != "ab12" || l.URL != "https://npm.example/x" || l.Method != "POST" ||
		l.Ecosystem != "npm" || l.Note != "" || l.Error != "" {
		t.Errorf("receipt line %+v", l)
	}
}

func TestPassThatFails(t *testing.T) {
	lost := errors.New("connection lost")
	for _, tt := range []struct {
		name     string
		answer   func() (*http.Response, error)
		status   int // 0 if the transfer is broken off
		outcome  string
		mustFail bool
	}{
		{"unreachable", func() (*http.Response, error) { return nil, fmt.Errorf("%w: x", upstream.ErrUnavailable) }, 504, "error", false},
		{"blocked", func() (*http.Response, error) { return nil, fmt.Errorf("%w: 10.0.0.1", upstream.ErrBlocked) }, 403, "refused", false},
		{"short", response(200, 100, strings.NewReader("only this"), "Content-Length: 100"), 0, "bypass", true},
		{"broken, length known", response(200, 100, newStream("only this", lost), "Content-Length: 100"), 0, "bypass", true},
		{"broken, length unknown", response(200, -1, newStream("only this", lost)), 0, "bypass", true},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s h2=%v", tt.name, h2), func(t *testing.T) {
				g := passing(t, tt.answer)
				s := serve(t, g.front("deb.example"), h2)
				resp, body, err := do(t, s, "GET", "/x")
				if tt.mustFail && err == nil {
					// An empty body that was cut is seen as such only if there was a length.
					t.Errorf("completed: %v %q", resp, body)
				}
				if !tt.mustFail && (err != nil || resp.StatusCode != tt.status) {
					t.Errorf("%v, %v, want %d", resp, err, tt.status)
				}
				s.Close()
				if l := g.receipts.only(t); l.Outcome != tt.outcome || l.Error == "" {
					t.Errorf("receipt line %+v", l)
				}
			})
		}
	}
}

func TestPassWithoutBody(t *testing.T) {
	for _, tt := range []struct {
		method string
		status int
		length string
	}{{"HEAD", 200, "100"}, {"GET", 304, ""}, {"DELETE", 204, ""}} {
		g := passing(t, response(tt.status, 100, http.NoBody, "Content-Length: 100"))
		resp, body, err := do(t, serve(t, g.front("deb.example"), false), tt.method, "/x")
		if err != nil || resp.StatusCode != tt.status || body != "" || tt.length != "" && resp.Header.Get("Content-Length") != tt.length {
			t.Errorf("%s: %v %q %v", tt.method, resp, body, err)
		}
	}
}
