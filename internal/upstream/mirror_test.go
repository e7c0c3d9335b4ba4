package upstream_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/upstream"
	"sutler/internal/upstream/origintest"
)

func TestParseMirror(t *testing.T) {
	m, err := upstream.ParseMirror("https://files.example/=http://Mirror.example:8081/files/")
	if err != nil || m.Of != "https://files.example/" || m.At != "http://Mirror.example:8081/files/" || m.Host() != "mirror.example:8081" {
		t.Errorf("ParseMirror = %+v, %v", m, err)
	}
	for _, s := range []string{"", "https://files.example/", "https://files.example=https://m.example/", "ftp://a/=https://m.example/",
		"https://files.example/=https://m.example/?x=1/", "https://files.example/=https://u:secret@m.example/", "https://files.example/../=https://m.example/"} {
		if _, err := upstream.ParseMirror(s); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseMirror(%q) = %v", s, err)
		}
	}
}

// TestMirrors asks the first mirror that has the resource, and the origin last.
func TestMirrors(t *testing.T) {
	origin, first, second := origintest.New(t), origintest.New(t), origintest.New(t)
	c := newClient(t, origin, first, second)
	c.Mirrors = []upstream.Mirror{
		{Of: origin.URL("/debian/"), At: first.URL("/m/")},
		{Of: origin.URL("/debian/"), At: second.URL("/n/debian/")},
	}
	origin.File("/debian/both", "origin")
	first.File("/m/both", "first")
	second.File("/n/debian/second", "second")
	origin.File("/debian/own", "origin")
	origin.File("/other", "origin")
	second.Behave("/n/debian/down", origintest.Status(http.StatusServiceUnavailable))
	origin.File("/debian/down", "origin")
	for path, want := range map[string]string{"/debian/both": "first", "/debian/second": "second", "/debian/own": "origin", "/other": "origin", "/debian/down": "origin"} {
		if _, got, err := get(t, c, origin.URL(path)); err != nil || got != want {
			t.Errorf("%s came from %q, %v; want %q", path, got, err, want)
		}
	}
	if n := origin.Calls("/debian/both"); n != 0 {
		t.Errorf("the origin was asked %d times for what a mirror has", n)
	}
	if _, _, err := get(t, c, origin.URL("/debian/none")); !errors.Is(err, upstream.ErrNotFound) || !strings.Contains(err.Error(), origin.URL("/debian/none")) {
		t.Errorf("what nobody has: %v", err)
	}
	c.MirrorsOnly = true
	if _, _, err := get(t, c, origin.URL("/debian/own")); !errors.Is(err, upstream.ErrNotFound) {
		t.Errorf("the origin was asked although only mirrors may be: %v", err)
	}
	if _, got, err := get(t, c, origin.URL("/other")); err != nil || got != "origin" {
		t.Errorf("what has no mirror: %q, %v", got, err)
	}
}

// TestMirrorCredential sends the credential of a mirror there, and nowhere else.
func TestMirrorCredential(t *testing.T) {
	origin, mirror := origintest.New(t), origintest.New(t)
	c := newClient(t, origin, mirror)
	c.Mirrors = []upstream.Mirror{{Of: origin.URL("/npm/"), At: mirror.URL("/private/npm/")}}
	c.Credentials = []upstream.Credential{{Prefix: mirror.URL("/private/"), Token: "secret"}}
	origin.File("/npm/a", "origin")
	res := artifact(origin.URL("/npm/a"))
	if res.Scope = c.Scope(res.URL); res.Scope == "" {
		t.Fatal("what a mirror guards is in nobody's scope")
	}
	resp, err := c.Fetch(t.Context(), res, freshness.Validator{})
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if got := mirror.Requests("/private/npm/a")[0].Header.Get("Authorization"); got != "Bearer secret" {
		t.Errorf("the mirror got %q", got)
	}
	if got := origin.Requests("/npm/a")[0].Header.Get("Authorization"); got != "" {
		t.Errorf("the origin got %q", got)
	}
}

// TestBreaker leaves a host alone that does not answer, but not one that answers badly.
func TestBreaker(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.BehaveAll(origintest.Hangup())
	for range 3 {
		_, _, err := get(t, c, o.URL("/a"))
		if !errors.Is(err, upstream.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	calls := o.Calls("/a")
	_, _, err := get(t, c, o.URL("/a"))
	if !errors.Is(err, upstream.ErrUnavailable) || !strings.Contains(err.Error(), "did not answer") || o.Calls("/a") != calls {
		t.Errorf("after %d calls: %v, and %d more", calls, err, o.Calls("/a")-calls)
	}
	bad := origintest.New(t)
	c = newClient(t, bad)
	bad.BehaveAll(origintest.Status(http.StatusInternalServerError))
	for range 3 {
		_, err := c.Fetch(t.Context(), ecosystem.Resource{URL: bad.URL("/a")}, freshness.Validator{ETag: `"x"`})
		var se *upstream.StatusError
		if !errors.As(err, &se) {
			t.Errorf("a host that answers 500: %v", err)
		}
	}
}

// TestBreakerOfOthers lets nobody keep others from a host by what he sends to it.
func TestBreakerOfOthers(t *testing.T) {
	o := origintest.New(t)
	o.File("/a", "body")
	c := newClient(t, o)
	for range 10 {
		r := request(t, "POST", o.URL("/upload"), "")
		r.Body, r.ContentLength = io.NopCloser(iotest.ErrReader(errors.New("malformed chunk"))), -1
		if resp, err := c.Pass(t.Context(), r); err == nil {
			_ = resp.Body.Close()
			t.Fatal("a broken upload was passed")
		}
	}
	if _, body, err := get(t, c, o.URL("/a")); err != nil || body != "body" {
		t.Errorf("after broken uploads: %q, %v", body, err)
	}
}
