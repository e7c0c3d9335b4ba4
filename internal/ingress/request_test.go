package ingress

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"sutler/internal/policy"
)

func TestBuild(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, tt := range []struct {
		field, want string
	}{
		{basic("7f3a:x"), "7f3a"},
		{basic("7f3a:"), "7f3a"},
		{basic("7f3a"), "7f3a"},
		{strings.ToLower(basic("")[:6]) + basic("7f3a:x")[6:], "7f3a"},
		{basic("7F3A:x"), ""},
		{basic("deploy:secret"), ""},
		{basic(":x"), ""},
		{basic(strings.Repeat("a", 65) + ":"), ""},
		{basic("7f3a\n"), ""},
		{"Bearer 7f3a", ""},
		{"Basic", ""},
		{"Basic !!!", ""},
		{"", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		if tt.field != "" {
			r.Header.Set("Proxy-Authorization", tt.field)
		}
		if got := Build(r); got != tt.want {
			t.Errorf("Build(%q) = %q, want %q", tt.field, got, tt.want)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Header["Proxy-Authorization"] = []string{basic("aa"), basic("bb")}
	if got := Build(r); got != "" {
		t.Errorf("two credentials: %q, want none", got)
	}
}

func TestRequest(t *testing.T) {
	g := newRig(t, nil, policy.Rules{})
	r := httptest.NewRequestWithContext(t.Context(), "HEAD", "/", nil)
	r.RemoteAddr = "[2001:db8::1]:4711"
	r.Header["Accept"] = []string{"text/html", "*/*"}
	r.Header.Set("User-Agent", "npm/10")
	u := &url.URL{Scheme: "https", Host: "npm.example", Path: "/x"}
	req := g.Request(r, u, "7f3a")
	if req.Method != "HEAD" || req.URL != u || req.Accept != "text/html, */*" || req.Client != "npm/10" || req.Build != "7f3a" ||
		req.Peer != "2001:db8::1" || req.Credential != "" || req.Base != "" {
		t.Errorf("Request = %+v", req)
	}
	scopes := map[string]string{}
	for _, secret := range []string{"Bearer one", "Bearer two", "Bearer one"} {
		r.Header.Set("Authorization", secret)
		scope := g.Request(r, u, "").Credential
		if scope == "" || strings.Contains(scope, "one") {
			t.Errorf("scope of %q = %q", secret, scope)
		}
		if old, ok := scopes[secret]; ok && old != scope {
			t.Errorf("scope of %q is not the same twice", secret)
		}
		scopes[secret] = scope
	}
	if scopes["Bearer one"] == scopes["Bearer two"] {
		t.Error("two credentials share a scope")
	}
	if other := newRig(t, nil, policy.Rules{}); other.Request(r, u, "").Credential == scopes["Bearer one"] {
		t.Error("another process makes the same scope: it can be guessed")
	}
}

func TestCheckURL(t *testing.T) {
	for in, ok := range map[string]bool{
		"http://deb.example/debian/./dists/a..b/...": true,
		"https://npm.example:8443/@a%2fb":            true,
		"https://npm.example/a+b~c%2b":               true,
		"https://npm.example/100%25":                 true,
		"https://[2001:db8::1]:80/x":                 true,
		"https://npm.example":                        true,
		"https://npm.example/a/../b":                 false,
		"https://npm.example/a/%2e%2E/b":             false,
		"https://npm.example/..":                     false,
		"https://npm.example/a%2f..%2fb":             false,
		"https://npm.example/a%252fb":                false,
		"https://npm.example/a%255Cb":                false,
		"https://npm.example/%252e%252e/b":           false,
		"https://npm.example/a%5cb":                  false,
		"https://npm.example/a%0d%0ab":               false,
		"https://npm.example/a%00b":                  false,
		"https://u:p@npm.example/":                   false,
		"https://npm.example/#x":                     false,
		"ftp://npm.example/":                         false,
		"https:///x":                                 false,
		"https://npm.example:/x":                     false,
		"https://ä.example/":                         false,
		"https://a%20b.example/":                     false,
		"https:npm.example/x":                        false,
	} {
		u, err := url.Parse(in)
		if err != nil {
			if ok {
				t.Errorf("%s: %v", in, err)
			}
			continue
		}
		if err := CheckURL(u); (err == nil) != ok || err != nil && !errors.Is(err, ErrURL) {
			t.Errorf("CheckURL(%s) = %v, want accepted %v", in, err, ok)
		}
	}
	if CheckURL(&url.URL{Scheme: "https", Host: "npm.example", Path: "*"}) == nil {
		t.Error("a path without a slash is accepted")
	}
}

func TestAmbiguousURLsNeverReachTheEngine(t *testing.T) {
	g := newRig(t, nil, policy.Rules{})
	s := serve(t, g.front("npm.example"), false)
	for _, p := range []string{"/a/%2e%2e/b", "/a%0d%0aX:%20y", "/a%252fb", "/a%5cb", "/a/..%2fb"} {
		got, err := raw(t, s, "GET "+p+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if err != nil || !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
	if len(g.engine.asked) != 0 {
		t.Errorf("engine was asked for %v", g.engine.asked)
	}
}

// FuzzCheckURL checks that what is accepted cannot leave its place, whoever cleans it up.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://h.example/a/b", "http://h.example/%2e%2e/", "http://h.example/a%2f..", "http://[::1]/..;/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || CheckURL(u) != nil {
			t.Skip()
		}
		if strings.Contains(u.Path+"/", "/../") || strings.ContainsAny(u.Path, "\r\n\x00\\") {
			t.Errorf("accepted %q", s)
		}
		if c := path.Clean("/base" + u.Path); c != "/base" && !strings.HasPrefix(c, "/base/") {
			t.Errorf("%q leaves its base: %s", s, c)
		}
		again, err := url.Parse(u.String())
		if err != nil || again.Host != u.Host || again.Path != u.Path {
			t.Errorf("%q reads differently when written again: %q", s, u)
		}
	})
}

func BenchmarkCheckURL(b *testing.B) {
	u := &url.URL{Scheme: "https", Host: "registry.example", Path: "/@scope/name/-/name-1.0.0.tgz"}
	b.ReportAllocs()
	for b.Loop() {
		if err := CheckURL(u); err != nil {
			b.Fatal(err)
		}
	}
}

// hostile requests must be refused by the parser or read in the one way that is safe.
func TestHostileHTTP(t *testing.T) {
	const end = "Connection: close\r\n\r\n"
	for _, tt := range []struct {
		name, request string
		want          string // beginning of the answer
	}{
		{"length and chunks", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		{"two lengths", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n" + end + "12345", "HTTP/1.1 400"},
		{"list of lengths", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 6\r\n" + end + "12345", "HTTP/1.1 400"},
		{"signed length", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n" + end + "12345", "HTTP/1.1 400"},
		{"negative length", "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n" + end, "HTTP/1.1 400"},
		{"unknown coding", "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n" + end, "HTTP/1.1 501"},
		{"two codings", "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" + end, "HTTP/1.1 501"},
		{"space before colon", "GET /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n" + end, "HTTP/1.1 400"},
		{"folded field", "GET /x HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n" + end, ""},
		{"two hosts", "GET /x HTTP/1.1\r\nHost: h\r\nHost: i\r\n" + end, "HTTP/1.1 400"},
		{"no host", "GET /x HTTP/1.1\r\n" + end, "HTTP/1.1 400"},
		{"host with a path", "GET /x HTTP/1.1\r\nHost: h/x\r\n" + end, "HTTP/1.1 400"},
		{"NUL in a field", "GET /x HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n" + end, "HTTP/1.1 400"},
		{"control character in the target", "GET /x\x01 HTTP/1.1\r\nHost: h\r\n" + end, "HTTP/1.1 400"},
		{"space in the target", "GET /x y HTTP/1.1\r\nHost: h\r\n" + end, "HTTP/1.1 400"},
		{"bad version", "GET /x HTTP/3.7\r\nHost: h\r\n" + end, "HTTP/1.1 505"},
		{"no version", "GET /x\r\n\r\n", "HTTP/1.1 400"},
		{"fields too large", "GET /x HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 70<<10) + "\r\n" + end, "HTTP/1.1 431"},
		{"request line too large", "GET /" + strings.Repeat("a", 70<<10) + " HTTP/1.1\r\nHost: h\r\n" + end, "HTTP/1.1 431"},
		{"fields that fit", "GET /x HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 50<<10) + "\r\n" + end, "HTTP/1.1 200"},
		{"upgrade to h2c is ignored", "GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n", "HTTP/1.1 200"},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505"},
		{"bad chunk", "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + end + "zz\r\n", ""},
		{"bare line feed in a chunk extension", "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var smuggled bool
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				smuggled = smuggled || r.URL.Path == "/smuggled"
			})
			s := serve(t, h, false)
			got, err := raw(t, s, tt.request)
			if err != nil && got == "" {
				got = "reset"
			}
			s.Close()
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("answer %.60q, want %s", got, tt.want)
			}
			if smuggled {
				t.Error("a second request came out of the body of the first")
			}
		})
	}
}
