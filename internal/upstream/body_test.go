package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/upstream"
	"sutler/internal/upstream/origintest"
)

// part is a 206 that is sent as it is; its fields are given.
func part(fields, body string) origintest.Behaviour {
	return origintest.Raw("HTTP/1.1 206 Partial Content\r\n" + fields + "\r\n\r\n" + body)
}

// A body that breaks off is continued if what comes is the rest of the same.
func TestResume(t *testing.T) {
	t.Parallel()
	const body = "0123456789"
	tagged := origintest.Content{Body: body, ETag: `"v1"`}
	dated := origintest.Content{Body: body, ETag: "-"}
	long4M := strings.Repeat(long, 32) // 4 MiB
	first := origintest.TruncateAlways(4)
	for _, tt := range []struct {
		name    string
		content origintest.Content
		behave  origintest.Behaviour
		ok      bool
		calls   int
		ifRange string // of the second request
	}{
		{"strong tag", tagged, origintest.Truncate(4), true, 2, `"v1"`},
		{"date", dated, origintest.Truncate(4), true, 2, "Thu, 01 Jan 2026 00:00:00 GMT"},
		{"before the first byte", tagged, origintest.Truncate(0), true, 2, `"v1"`},
		{"before the last byte", tagged, origintest.Truncate(9), true, 2, `"v1"`},
		{"four times", tagged, origintest.Pieces(2), true, 5, `"v1"`},
		{"with trouble in between", tagged, origintest.Sequence(first, origintest.Status(503), origintest.Hangup(), nil), true, 4, `"v1"`},
		{"many times, by much", origintest.Content{Body: long4M}, origintest.Pieces(300 << 10), true, 14, ""},
		{"many times, by little", origintest.Content{Body: long4M}, origintest.Pieces(30 << 10), false, 6, ""},
		{"length not announced", tagged, origintest.Sequence(
			origintest.Raw("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n"), nil), true, 2, `"v1"`},
		{"length not announced, all there", tagged, origintest.Sequence(
			origintest.Raw("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n"), nil), false, 2, `"v1"`},
		{"ranges refused", tagged, origintest.Sequence(
			origintest.Raw("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nAccept-Ranges: none\r\nContent-Length: 10\r\n\r\n0123"), nil), false, 1, ""},
		{"changed meanwhile", tagged, origintest.ChangeAt(4, "/x", "abcdefghij"), false, 2, `"v1"`},
		{"gone meanwhile", tagged, origintest.Sequence(first, origintest.Status(404)), false, 2, `"v1"`},
		{"login meanwhile", tagged, origintest.Sequence(first, origintest.Login()), false, 2, `"v1"`},
		{"304 meanwhile", tagged, origintest.Sequence(first, origintest.NotModified()), false, 2, `"v1"`},
		{"part from elsewhere", tagged, origintest.Sequence(first, part("Content-Range: bytes 5-9/10\r\nContent-Length: 5", "56789")), false, 2, `"v1"`},
		{"part of something longer", tagged, origintest.Sequence(first, part("Content-Range: bytes 4-9/11\r\nContent-Length: 6", "456789")), false, 2, `"v1"`},
		{"part of something shorter", tagged, origintest.Sequence(first, part("Content-Range: bytes 4-8/9\r\nContent-Length: 5", "45678")), false, 2, `"v1"`},
		{"part with another tag", tagged, origintest.Sequence(first, part("ETag: \"v2\"\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6", "456789")), false, 2, `"v1"`},
		{"part with another date", dated, origintest.Sequence(first, part("Last-Modified: Fri, 02 Jan 2026 00:00:00 GMT\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6", "456789")), false, 2, ""},
		{"part without range", tagged, origintest.Sequence(first, part("Content-Length: 6", "456789")), false, 2, `"v1"`},
		{"part with two ranges", tagged, origintest.Sequence(first, part("Content-Type: multipart/byteranges; boundary=x\r\nContent-Length: 6", "456789")), false, 2, `"v1"`},
		{"part longer than its range", tagged, origintest.Sequence(first, part("Content-Range: bytes 4-9/10\r\nContent-Length: 7", "456789x")), false, 2, `"v1"`},
		{"part longer than all", tagged, origintest.Sequence(first, part("Content-Range: bytes 4-9/*\r\nTransfer-Encoding: chunked", "7\r\n456789x\r\n0\r\n\r\n")), false, 2, `"v1"`},
		{"part with an encoding", tagged, origintest.Sequence(first, part("Content-Encoding: gzip\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6", "456789")), false, 2, `"v1"`},
		{"shorter part, then the rest", tagged, origintest.Sequence(first, part("Content-Range: bytes 4-5/10\r\nContent-Length: 2", "45"), nil), true, 3, `"v1"`},
		{"size of the whole not said", tagged, origintest.Sequence(first, part("Content-Range: bytes 4-9/*\r\nContent-Length: 6", "456789")), true, 2, `"v1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := origintest.New(t)
			c := newClient(t, o)
			o.Put("/x", tt.content)
			o.Behave("/x", tt.behave)
			_, got, err := get(t, c, o.URL("/x"))
			switch {
			case tt.ok && (err != nil || got != tt.content.Body):
				t.Errorf("body = %.20q (%d bytes), %v", got, len(got), err)
			case !tt.ok && !errors.Is(err, upstream.ErrUnavailable) && !errors.Is(err, upstream.ErrInvalid):
				t.Errorf("body = %.20q (%d bytes), %v, want an error", got, len(got), err)
			case !tt.ok && (errors.Is(err, upstream.ErrNotFound) || errors.Is(err, io.EOF) || errors.Is(err, upstream.ErrForbidden)):
				t.Errorf("error = %v: says more than that the body broke off", err)
			case !strings.HasPrefix(tt.content.Body, got) && len(got) <= len(tt.content.Body):
				t.Errorf("body = %.20q, is not the beginning of what was fetched first", got)
			}
			if n := o.Calls("/x"); n != tt.calls {
				t.Errorf("%d requests, want %d", n, tt.calls)
			}
			if all := o.Requests("/x"); tt.ifRange != "" && len(all) > 1 {
				if h := all[1].Header; h.Get("If-Range") != tt.ifRange || h.Get("If-None-Match") != "" || h.Get("Range") == "" {
					t.Errorf("second request = %v", h)
				}
			}
		})
	}
}

// The rest is asked for along the whole way: the second link of a redirector still holds
// when the first has expired.
func TestResumeThroughRedirect(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("secure %v", secure), func(t *testing.T) {
			o := origintest.New(t)
			c := newClient(t, o)
			url := o.URL
			if secure {
				url = o.SecureURL
			}
			o.Put("/signed", origintest.Content{Body: long})
			o.Behave("/signed?n=1", origintest.Sequence(origintest.TruncateAlways(5000), origintest.Status(403)))
			o.Put("/signed?n=1", origintest.Content{Body: long})
			o.Behave("/x", origintest.Sequence(origintest.Redirect("/signed?n=1"), origintest.Redirect("/signed?n=2")))
			if _, body, err := get(t, c, url("/x")); body != long || err != nil {
				t.Errorf("body = %d bytes, %v", len(body), err)
			}
			if got := o.Requests("/signed?n=2"); len(got) != 1 || got[0].Header.Get("Range") != "bytes=5000-" {
				t.Errorf("requests = %+v", got)
			}
		})
	}
}

// The rest of a new version is asked for by its own validator, not by that of the old one.
func TestResumeOfConditionalFetch(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.Put("/x", origintest.Content{Body: long, ETag: `"v2"`})
	o.Behave("/x", origintest.Truncate(5000))
	resp, err := c.Fetch(t.Context(), artifact(o.URL("/x")), freshness.Validator{ETag: `"v1"`, LastModified: "Wed, 31 Dec 2025 00:00:00 GMT"})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); string(b) != long || err != nil {
		t.Errorf("body = %d bytes, %v", len(b), err)
	}
	all := o.Requests("/x")
	if len(all) != 2 || all[0].Header.Get("If-None-Match") != `"v1"` {
		t.Fatalf("requests = %+v", all)
	}
	h := all[1].Header
	if h.Get("If-None-Match") != "" || h.Get("If-Modified-Since") != "" || h.Get("If-Range") != `"v2"` || h.Get("Range") != "bytes=5000-" {
		t.Errorf("second request = %v", h)
	}
}

func TestRedirects(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.File("/0", "body")
	for i := 1; i <= 11; i++ {
		o.Behave(fmt.Sprintf("/%d", i), origintest.Redirect(fmt.Sprintf("%d", i-1)))
	}
	o.Behave("/up", origintest.Redirect(o.SecureURL("/0")))
	o.Behave("/down", origintest.Redirect(o.URL("/0")))
	o.Behave("/ping", origintest.Redirect("/pong"))
	o.Behave("/pong", origintest.Redirect("/ping"))
	o.Behave("/signed", origintest.Redirect("/0?sig=SECRET&a=1"))
	for _, code := range []int{301, 302, 303, 307, 308} {
		o.Behave(fmt.Sprintf("/code%d", code), origintest.Status(code, "Location", "/0"))
	}
	for _, tt := range []struct {
		name, from, last string
		secure           bool
		want             error
	}{
		{"ten", o.URL("/10"), o.URL("/0"), false, nil},
		{"eleven", o.URL("/11"), "", false, upstream.ErrInvalid},
		{"loop", o.URL("/ping"), "", false, upstream.ErrInvalid},
		{"http to https", o.URL("/up"), o.SecureURL("/0"), false, nil},
		{"https", o.SecureURL("/3"), o.SecureURL("/0"), true, nil},
		{"https to http", o.SecureURL("/down"), "", false, upstream.ErrInvalid},
		{"signed link", o.URL("/signed"), o.URL("/0?a=1"), false, nil},
		{"301", o.URL("/code301"), o.URL("/0"), false, nil},
		{"302", o.URL("/code302"), o.URL("/0"), false, nil},
		{"303", o.URL("/code303"), o.URL("/0"), false, nil},
		{"307", o.URL("/code307"), o.URL("/0"), false, nil},
		{"308", o.URL("/code308"), o.URL("/0"), false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body, err := get(t, c, tt.from)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Fetch = %v, want %v", err, tt.want)
			}
			if err == nil && (body != "body" || resp.URL != tt.last || resp.Secure != tt.secure) {
				t.Errorf("Response = %+v, body %q, want from %s", resp, body, tt.last)
			}
		})
	}
	if n := len(o.Requests("/ping")); n != 1 {
		t.Errorf("a loop was gone round %d times", n)
	}
}

// A redirect from a known host to one that resolves to private space is refused before
// anything is sent there.
func TestRedirectIsGuarded(t *testing.T) {
	o := origintest.New(t)
	c := &upstream.Client{Proxy: o.Proxy, Known: func(h string) bool { return h == "mirror.example" }}
	t.Cleanup(c.Close)
	o.Behave("http://mirror.example/a", origintest.Redirect("http://192.168.0.1/secret"))
	o.Behave("http://mirror.example/b", origintest.Redirect("http://[::1]/secret"))
	o.Behave("http://mirror.example/c", origintest.Redirect("http://cdn.example/c"))
	o.File("/secret", "secret")
	o.File("http://cdn.example/c", "body")
	for _, path := range []string{"a", "b"} {
		if _, _, err := get(t, c, "http://mirror.example/"+path); !errors.Is(err, upstream.ErrBlocked) {
			t.Errorf("%s: %v, want ErrBlocked", path, err)
		}
	}
	if _, body, err := get(t, c, "http://mirror.example/c"); body != "body" || err != nil {
		t.Errorf("Fetch = %q, %v", body, err)
	}
	proxy, err := o.Proxy(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(t, c, proxy.String()+"/secret"); !errors.Is(err, upstream.ErrBlocked) {
		t.Errorf("the proxy itself: %v, want ErrBlocked", err)
	}
	if o.Calls("/secret") != 0 {
		t.Error("the secret was asked for")
	}
}

func TestCallerCancels(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	gate := origintest.NewGate()
	defer gate.Open()
	o.File("/x", long)
	o.Behave("/x", gate.After(10))
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := c.Fetch(ctx, artifact(o.URL("/x")), freshness.Validator{})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := resp.Body.Read(make([]byte, 10)); !errors.Is(err, context.Canceled) || !errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("Read = %v, want canceled", err)
	}
	if n := o.Calls("/x"); n != 1 {
		t.Errorf("%d requests, want 1: nobody wants the rest", n)
	}
}

// The place at the host is free again when a body was read to its end, even if it is not closed.
func TestLimitIsFreeAtTheEnd(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	c.PerHost = 1
	o.File("/x", "body")
	for range 3 {
		resp, err := c.Fetch(t.Context(), ecosystem.Resource{URL: o.URL("/x"), Kind: ecosystem.Document}, freshness.Validator{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() }) // deliberately late
		if b, err := io.ReadAll(resp.Body); string(b) != "body" || err != nil {
			t.Fatalf("body = %q, %v", b, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 3 { // and when it was given up
		resp, err := c.Fetch(ctx, artifact(o.URL("/x")), freshness.Validator{})
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDrip(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.File("/x", "0123456789")
	o.Behave("/x", origintest.Drip(1, time.Millisecond))
	if _, body, err := get(t, c, o.URL("/x")); body != "0123456789" || err != nil {
		t.Errorf("body = %q, %v", body, err)
	}
}

func TestCookiesAreNeverKept(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.File("/x", "body")
	o.Behave("/x", origintest.Fields("Set-Cookie", "id=1"))
	for range 2 {
		resp, _, err := get(t, c, o.URL("/x"))
		if err != nil || !resp.NoStore {
			t.Errorf("Response = %+v, %v, want NoStore", resp, err)
		}
	}
	for _, r := range o.Requests("/x") {
		if r.Header[http.CanonicalHeaderKey("Cookie")] != nil {
			t.Errorf("sent %v", r.Header)
		}
	}
}

// TestFreshChange does not take a Last-Modified of this very second for a validator: two
// changes can hide in it.
func TestFreshChange(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	now := time.Now().UTC().Truncate(time.Second)
	for ago, want := range map[time.Duration]string{0: "", time.Second: now.Add(-time.Second).Format(http.TimeFormat), time.Hour: now.Add(-time.Hour).Format(http.TimeFormat)} {
		o.Behave("/a", origintest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nDate: "+now.Format(http.TimeFormat)+
			"\r\nLast-Modified: "+now.Add(-ago).Format(http.TimeFormat)+"\r\n\r\na"))
		resp, _, err := get(t, c, o.URL("/a"))
		if err != nil || resp.Validator.LastModified != want || resp.Modified != now.Add(-ago) {
			t.Errorf("changed %v ago: %+v, %v; want validator %q", ago, resp, err, want)
		}
	}
}
