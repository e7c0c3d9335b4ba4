package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/upstream"
	"sutler/internal/upstream/origintest"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http reports there what hostile origins send unasked
	goleak.VerifyTestMain(m)
}

// newClient returns a client that may reach the origins.
func newClient(t *testing.T, origins ...*origintest.Origin) *upstream.Client {
	t.Helper()
	c := &upstream.Client{
		Roots: origins[0].Roots(),
		AllowLoopback: func(hostport string) bool {
			for _, o := range origins {
				if o.Owns(hostport) {
					return true
				}
			}
			return false
		},
	}
	t.Cleanup(c.Close)
	return c
}

// artifact returns a resource at a URL.
func artifact(url string) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: "toy", URL: url, Kind: ecosystem.Artifact}
}

// get fetches a URL and reads its body.
func get(t *testing.T, c *upstream.Client, url string) (*upstream.Response, string, error) {
	t.Helper()
	resp, err := c.Fetch(t.Context(), artifact(url), freshness.Validator{})
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// long is a body of more than one read.
var long = strings.Repeat("0123456789abcdef", 8<<10)

func TestFetch(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("secure %v", secure), func(t *testing.T) {
			o := origintest.New(t)
			c := newClient(t, o)
			c.Version = "1.2"
			o.Put("/pool/a.deb", origintest.Content{Body: long, Type: "application/x-deb", Header: http.Header{"Cache-Control": {"max-age=60"}}})
			url, proto := o.URL("/pool/a.deb"), "HTTP/1.1"
			if secure {
				url, proto = o.SecureURL("/pool/a.deb"), "HTTP/2.0"
			}
			resp, body, err := get(t, c, url)
			if err != nil || body != long {
				t.Fatalf("Fetch = %d bytes, %v, want %d", len(body), err, len(long))
			}
			if resp.Size != int64(len(long)) || resp.Type != "application/x-deb" || resp.Secure != secure || resp.URL != url {
				t.Errorf("Response = %+v", resp)
			}
			if resp.Lifetime != time.Minute || resp.NoStore || resp.Modified.Year() != 2026 || resp.Validator.ETag == "" {
				t.Errorf("Response = %+v", resp)
			}
			r := o.Requests("/pool/a.deb")[0]
			want := http.Header{"Accept": {"*/*"}, "Accept-Encoding": {"identity"}, "User-Agent": {"sutler/1.2"}}
			if fmt.Sprint(r.Header) != fmt.Sprint(want) || r.Method != "GET" || r.Body != "" || r.Proto != proto {
				t.Errorf("request = %+v, want header %v over %s", r, want, proto)
			}
		})
	}
}

func TestFetchConditional(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.File("/InRelease", "one")
	res := artifact(o.URL("/InRelease"))
	res.Accept = "text/plain"
	first, err := c.Fetch(t.Context(), res, freshness.Validator{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Body.Close(); err != nil {
		t.Fatal(err)
	}
	for _, v := range []freshness.Validator{
		first.Validator,
		{ETag: first.Validator.ETag},
		{LastModified: first.Validator.LastModified},
	} {
		again, err := c.Fetch(t.Context(), res, v)
		if err != nil || !again.NotModified || again.Body != nil || again.Validator.ETag != first.Validator.ETag {
			t.Errorf("Fetch(%v) = %+v, %v, want not modified", v, again, err)
		}
	}
	o.File("/InRelease", "two")
	again, err := c.Fetch(t.Context(), res, freshness.Validator{ETag: first.Validator.ETag})
	if err != nil || again.NotModified {
		t.Fatalf("Fetch after a change = %+v, %v", again, err)
	}
	defer again.Body.Close()
	if b, err := io.ReadAll(again.Body); string(b) != "two" || err != nil {
		t.Errorf("body = %q, %v", b, err)
	}
	if got := o.Requests("/InRelease")[0].Header.Get("Accept"); got != "text/plain" {
		t.Errorf("Accept = %q", got)
	}
}

// Each row is an origin that misbehaves for good. The body, if any, never ends well.
func TestHostileOrigin(t *testing.T) {
	t.Parallel()
	noValidator := origintest.Content{Body: long, ETag: "-", Modified: time.Unix(0, 0)}
	for _, tt := range []struct {
		name    string
		content origintest.Content
		behave  origintest.Behaviour
		want    error
		calls   int // requests made, 0 if that does not matter
	}{
		{"not found", noValidator, origintest.Status(404), upstream.ErrNotFound, 1},
		{"gone", noValidator, origintest.Status(410), upstream.ErrNotFound, 1},
		{"unauthorised", noValidator, origintest.Status(401), upstream.ErrForbidden, 1},
		{"payment", noValidator, origintest.Status(402), upstream.ErrForbidden, 1},
		{"forbidden", noValidator, origintest.Status(403), upstream.ErrForbidden, 1},
		{"legal reasons", noValidator, origintest.Status(451), upstream.ErrForbidden, 1},
		{"bad request", noValidator, origintest.Status(400), upstream.ErrForbidden, 1},
		{"not implemented", noValidator, origintest.Status(501), upstream.ErrUnavailable, 1},
		{"wait for an hour", noValidator, origintest.Status(429, "Retry-After", "3600"), upstream.ErrUnavailable, 1},
		{"no content", noValidator, origintest.Status(204), upstream.ErrInvalid, 1},
		{"changed by a proxy", noValidator, origintest.Status(203), upstream.ErrInvalid, 1},
		{"choices", noValidator, origintest.Status(300), upstream.ErrInvalid, 1},
		{"304 unasked", noValidator, origintest.NotModified(), upstream.ErrInvalid, 1},
		{"206 unasked", noValidator, origintest.Raw("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\nab"), upstream.ErrInvalid, 1},
		{"200 with a range", noValidator, origintest.Fields("Content-Range", "bytes 0-1/2"), upstream.ErrInvalid, 1},
		{"gzip unasked", noValidator, origintest.Gzip(), upstream.ErrInvalid, 1},
		{"two encodings", noValidator, origintest.Fields("Content-Encoding", "gzip, gzip"), upstream.ErrInvalid, 1},
		{"two lengths", noValidator, origintest.Raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), upstream.ErrUnavailable, 4},
		{"no HTTP", noValidator, origintest.Raw("hello"), upstream.ErrUnavailable, 4},
		{"hang up", noValidator, origintest.Hangup(), upstream.ErrUnavailable, 4},
		{"in trouble", noValidator, origintest.Status(503), upstream.ErrUnavailable, 4},
		{"huge header", noValidator, origintest.Fields("X", strings.Repeat("x", 300<<10)), upstream.ErrUnavailable, 4},
		{"truncated, no validator", noValidator, origintest.TruncateAlways(7), upstream.ErrUnavailable, 1},
		{"truncated, chunked", noValidator, origintest.Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), upstream.ErrUnavailable, 1},
		{"bad chunk", noValidator, origintest.Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"), upstream.ErrUnavailable, 1},
		{"announces more", noValidator, origintest.Length(len(long) + 1), upstream.ErrUnavailable, 1},
		{"reset", noValidator, origintest.Reset(1000), upstream.ErrUnavailable, 1},
		{"weak validator only", origintest.Content{Body: long, ETag: `W/"1"`}, origintest.TruncateAlways(7), upstream.ErrUnavailable, 1},
		{"modified after the answer", origintest.Content{Body: long, ETag: "-", Modified: time.Now().Add(time.Hour)}, origintest.TruncateAlways(7), upstream.ErrUnavailable, 1},
		{"never continues", origintest.Content{Body: long}, origintest.TruncateAlways(7), upstream.ErrUnavailable, 2},
		{"continues by a few bytes", origintest.Content{Body: long}, origintest.Pieces(7), upstream.ErrUnavailable, 6},
		{"redirect to nowhere", noValidator, origintest.Status(302), upstream.ErrInvalid, 1},
		{"redirect to no URL", noValidator, origintest.Redirect("http://[::1"), upstream.ErrInvalid, 1},
		{"redirect to itself", noValidator, origintest.Redirect(""), upstream.ErrInvalid, 1},
		{"redirect in a loop", noValidator, origintest.Redirect("/x#again"), upstream.ErrInvalid, 1},
		{"redirect to a file", noValidator, origintest.Redirect("file:///etc/passwd"), upstream.ErrInvalid, 1},
		{"redirect to metadata", noValidator, origintest.Redirect("http://169.254.169.254/latest/"), upstream.ErrBlocked, 1},
		{"redirect to private", noValidator, origintest.Redirect("http://10.0.0.1/"), upstream.ErrBlocked, 1},
		{"redirect to mapped loopback", noValidator, origintest.Redirect("http://[::ffff:127.0.0.1]/"), upstream.ErrBlocked, 1},
		{"redirect to localhost", noValidator, origintest.Redirect("http://localhost/"), upstream.ErrBlocked, 1},
		{"redirect to a short address", noValidator, origintest.Redirect("http://127.1/"), upstream.ErrBlocked, 1},
		{"redirect to a number", noValidator, origintest.Redirect("http://0x7f000001/"), upstream.ErrBlocked, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := origintest.New(t)
			c := newClient(t, o)
			o.Put("/x", tt.content)
			o.Behave("/x", tt.behave)
			_, body, err := get(t, c, o.URL("/x"))
			if !errors.Is(err, tt.want) {
				t.Errorf("Fetch = %d bytes, %v, want %v", len(body), err, tt.want)
			}
			for _, other := range []error{upstream.ErrNotFound, upstream.ErrForbidden, upstream.ErrUnavailable, upstream.ErrBlocked, upstream.ErrInvalid} {
				if other != tt.want && errors.Is(err, other) {
					t.Errorf("error %v is %v too", err, other)
				}
			}
			if err != nil && !strings.Contains(err.Error(), "/") {
				t.Errorf("error %v names no URL", err)
			}
			if got := o.Calls("/x"); tt.calls > 0 && got != tt.calls {
				t.Errorf("%d requests, want %d", got, tt.calls)
			}
		})
	}
}

// What such origins send is a whole answer, as far as HTTP goes: digests must find out.
func TestLyingOrigin(t *testing.T) {
	for _, tt := range []struct {
		name   string
		behave origintest.Behaviour
		want   string
	}{
		{"other bytes", origintest.Wrong("evil"), "evil"},
		{"longer than said", origintest.Length(4), long[:4]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := origintest.New(t)
			c := newClient(t, o)
			o.File("/x", long)
			o.File("/y", "good")
			o.Behave("/x", tt.behave)
			if _, body, err := get(t, c, o.URL("/x")); body != tt.want || err != nil {
				t.Errorf("Fetch = %.20q, %v, want %q", body, err, tt.want)
			}
			// The bytes that were too many belong to no later answer.
			if _, body, err := get(t, c, o.URL("/y")); body != "good" || err != nil {
				t.Errorf("next Fetch = %.20q, %v", body, err)
			}
		})
	}
}

func TestEndlessOrigin(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.Behave("/x", origintest.Endless())
	resp, err := c.Fetch(t.Context(), artifact(o.URL("/x")), freshness.Validator{})
	if err != nil || resp.Size != -1 {
		t.Fatalf("Fetch = %+v, %v", resp, err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("Read after Close = %d, %v, want an error that is not io.EOF", n, err)
	}
}

// A wrong encoding is stated for names that end like compressed files: bytes stay.
func TestKnownLies(t *testing.T) {
	for _, tt := range []struct {
		path, coding string
		want         error
	}{
		{"/a.tgz", "x-gzip", nil},
		{"/Packages.GZ", "gzip", nil},
		{"/Packages.xz", "x-xz", nil},
		{"/Packages.bz2", "x-bzip2", nil},
		{"/a.tgz", "br", upstream.ErrInvalid},
		{"/a.xz", "gzip", upstream.ErrInvalid},
		{"/Packages", "gzip", upstream.ErrInvalid},
		{"/a?x=.gz", "gzip", upstream.ErrInvalid},
		{"/Packages", "identity", nil},
	} {
		t.Run(tt.path+" "+tt.coding, func(t *testing.T) {
			o := origintest.New(t)
			c := newClient(t, o)
			path, _, _ := strings.Cut(tt.path, "?")
			o.File(path, "\x1f\x8bbytes")
			o.Behave(path, origintest.Fields("Content-Encoding", tt.coding))
			_, body, err := get(t, c, o.URL(tt.path))
			if !errors.Is(err, tt.want) || err == nil && body != "\x1f\x8bbytes" {
				t.Errorf("Fetch = %q, %v, want %v", body, err, tt.want)
			}
		})
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		behave origintest.Behaviour
		v      freshness.Validator
		calls  int
		want   error
	}{
		{"recovers from 503", origintest.Times(3, origintest.Status(503)), freshness.Validator{}, 4, nil},
		{"recovers from a hang-up", origintest.Times(2, origintest.Hangup()), freshness.Validator{}, 3, nil},
		{"waits when told to", origintest.Times(1, origintest.Status(429, "Retry-After", "1")), freshness.Validator{}, 2, nil},
		{"gives up", origintest.Status(502), freshness.Validator{}, 4, upstream.ErrUnavailable},
		{"gives up sooner with something stored", origintest.Status(502), freshness.Validator{ETag: `"x"`}, 2, upstream.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := origintest.New(t)
			c := newClient(t, o)
			o.File("/x", "body")
			o.Behave("/x", tt.behave)
			resp, err := c.Fetch(t.Context(), artifact(o.URL("/x")), tt.v)
			if err == nil {
				err = resp.Body.Close()
			}
			if !errors.Is(err, tt.want) || o.Calls("/x") != tt.calls {
				t.Errorf("Fetch = %v after %d requests, want %v after %d", err, o.Calls("/x"), tt.want, tt.calls)
			}
		})
	}
}

func TestRetryAfterIsShown(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.Behave("/x", origintest.Status(429, "Retry-After", "120"))
	_, _, err := get(t, c, o.URL("/x?sig=SECRET"))
	se, ok := errors.AsType[*upstream.StatusError](err)
	if !ok || se.RetryAfter != 2*time.Minute || se.Status != 429 || se.URL != o.URL("/x") {
		t.Errorf("error = %#v", err)
	}
	if strings.Contains(err.Error(), "SECRET") {
		t.Errorf("error shows a secret: %v", err)
	}
}

// TestRefusalKeepsFields checks that a refusal tells what the resource keeps, and no more.
func TestRefusalKeepsFields(t *testing.T) {
	for _, status := range []int{401, 403, 404} {
		o := origintest.New(t)
		c := newClient(t, o)
		o.Behave("/x", origintest.Status(status, "X-Error-Code", "EntryNotFound", "X-Other", "y"))
		res := artifact(o.URL("/x"))
		res.Keep = []string{"X-Error-Code"}
		_, err := c.Fetch(t.Context(), res, freshness.Validator{})
		se, ok := errors.AsType[*upstream.StatusError](err)
		if want := []ecosystem.Setting{{Name: "X-Error-Code", Value: "EntryNotFound"}}; !ok || !slices.Equal(se.Header, want) {
			t.Errorf("%d: error = %#v, want the fields %v", status, err, want)
		}
	}
}

// A server that restarts closes connections that lie in the pool.
func TestStalePooledConnection(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.File("/x", "body")
	for i := range 20 {
		if _, body, err := get(t, c, o.URL("/x")); body != "body" || err != nil {
			t.Fatalf("Fetch %d = %q, %v", i, body, err)
		}
		o.DropConnections()
	}
}

func TestConnectionReuse(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			o := origintest.New(t)
			c := newClient(t, o)
			o.File("/x", "body")
			o.Behave("/moved", origintest.Redirect("/x"))
			url := o.URL
			if scheme == "https" {
				url = o.SecureURL
			}
			for range 10 {
				for _, path := range []string{"/x", "/missing", "/moved"} {
					if _, _, err := get(t, c, url(path)); err != nil && !errors.Is(err, upstream.ErrNotFound) {
						t.Fatal(err)
					}
				}
			}
			if got := o.Conns(); got != 1 {
				t.Errorf("%d connections for 40 requests, want 1", got)
			}
		})
	}
}

func TestPerHostLimit(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	c.PerHost = 3
	gate := origintest.NewGate()
	o.File("/x", long)
	o.Behave("/x", gate.After(10))
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, body, err := get(t, c, o.URL("/x")); body != long || err != nil {
				t.Errorf("Fetch = %d bytes, %v", len(body), err)
			}
		})
	}
	if !gate.Arrived(3, 10*time.Second) {
		t.Error("fewer than 3 requests at once")
	}
	if gate.Arrived(1, 50*time.Millisecond) {
		t.Error("more than 3 requests at once")
	}
	// One that waits for its turn obeys its own context.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Fetch(ctx, artifact(o.URL("/x")), freshness.Validator{}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("Fetch = %v, want deadline exceeded", err)
	}
	gate.Open()
	wg.Wait()
}

func TestCertificates(t *testing.T) {
	o := origintest.New(t)
	c := &upstream.Client{Proxy: o.Proxy, Roots: o.Roots()}
	t.Cleanup(c.Close)
	o.File("/x", "body")
	for _, tt := range []struct {
		host string
		want error
	}{
		{"registry.example", nil},
		{origintest.Expired, upstream.ErrUnavailable},
		{origintest.WrongName, upstream.ErrUnavailable},
	} {
		_, _, err := get(t, c, "https://"+tt.host+"/x")
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.host, err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: error does not name the certificate: %v", tt.host, err)
		}
		if n := o.Calls("CONNECT " + tt.host + ":443"); n != 1 {
			t.Errorf("%s: %d tries, want 1", tt.host, n)
		}
	}
	strangers := &upstream.Client{Proxy: o.Proxy}
	t.Cleanup(strangers.Close)
	if _, _, err := get(t, strangers, "https://registry.example/x"); !errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("unknown CA: %v, want ErrUnavailable", err)
	}
	if got := o.Calls("/x"); got != 1 {
		t.Errorf("%d requests got through, want 1", got)
	}
}

func TestRoots(t *testing.T) {
	o := origintest.New(t)
	pool, err := upstream.Roots(o.CA())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, o)
	c.Roots = pool
	o.File("/x", "body")
	if _, body, err := get(t, c, o.SecureURL("/x")); body != "body" || err != nil {
		t.Errorf("Fetch = %q, %v", body, err)
	}
	if _, err := upstream.Roots([]byte("no certificate")); err == nil {
		t.Error("Roots accepted what is no certificate")
	}
}

func TestObserve(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	var seen bytes.Buffer
	c.Observe = func(ecosystem string, status int, took time.Duration, n int64) {
		fmt.Fprintf(&seen, "%s %d %d\n", ecosystem, status, n)
		if took <= 0 {
			t.Error("took no time")
		}
	}
	o.File("/x", "body")
	_, _, _ = get(t, c, o.URL("/x")) // what is observed is what counts
	_, _, _ = get(t, c, o.URL("/missing"))
	_, _, _ = get(t, c, "http://10.0.0.1/")
	_, _, _ = get(t, c, "ftp://registry.example/")
	if want := "toy 200 4\ntoy 404 0\ntoy 0 0\ntoy 0 0\n"; seen.String() != want {
		t.Errorf("observed %q, want %q", seen.String(), want)
	}
}

func TestOffline(t *testing.T) {
	var o upstream.Offline
	_, err1 := o.Fetch(t.Context(), artifact("http://user:pass@registry.example/x"), freshness.Validator{})
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://registry.example/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err2 := o.Pass(t.Context(), r)
	_, err3 := o.DialContext(t.Context(), "tcp", "registry.example:443")
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, upstream.ErrOffline) || !errors.Is(err, upstream.ErrUnavailable) ||
			!strings.Contains(err.Error(), "registry.example") || strings.Contains(err.Error(), "pass") {
			t.Errorf("error = %v", err)
		}
	}
}
