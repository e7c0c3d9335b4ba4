package origintest_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sutler/internal/upstream/origintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// do sends a request and returns status, body and the error of reading it.
func do(t *testing.T, c *http.Client, url string, fields ...string) (int, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestOrigin(t *testing.T) {
	o := origintest.New(t)
	c := o.Client()
	for _, put := range [][2]string{
		{"/a", "any host"}, {"http://one.example/a", "one"}, {"https://one.example/a", "secure one"}, {"/a?q=1", "query"},
	} {
		o.File(put[0], put[1])
	}
	for _, tt := range []struct {
		url    string
		status int
		body   string
	}{
		{o.URL("/a"), 200, "any host"},
		{o.SecureURL("/a"), 200, "any host"},
		{"http://one.example/a", 200, "one"},
		{"http://one.example:80/a", 200, "one"},
		{"https://one.example/a", 200, "secure one"},
		{"https://two.example/a", 200, "any host"},
		{"http://two.example/a?q=1", 200, "query"},
		{"http://two.example/a?q=2", 200, "any host"},
		{"http://two.example/b", 404, "no such place\n"},
	} {
		if status, body, err := do(t, c, tt.url); status != tt.status || body != tt.body || err != nil {
			t.Errorf("%s = %d %q %v, want %d %q", tt.url, status, body, err, tt.status, tt.body)
		}
	}
	if got := o.Calls("https://one.example/a"); got != 1 {
		t.Errorf("%d calls at one host, want 1", got)
	}
	if got := o.Calls("/a"); got != 8 {
		t.Errorf("%d calls at the path, want 8", got)
	}
}

func TestConditionsAndRanges(t *testing.T) {
	o := origintest.New(t)
	o.Put("/a", origintest.Content{Body: "0123456789", ETag: `"v1"`})
	for _, tt := range []struct {
		fields []string
		status int
		body   string
	}{
		{[]string{"If-None-Match", `"v1"`}, 304, ""},
		{[]string{"If-None-Match", `"v0"`}, 200, "0123456789"},
		{[]string{"If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"}, 304, ""},
		{[]string{"Range", "bytes=4-"}, 206, "456789"},
		{[]string{"Range", "bytes=4-", "If-Range", `"v1"`}, 206, "456789"},
		{[]string{"Range", "bytes=4-", "If-Range", `"v0"`}, 200, "0123456789"},
		{[]string{"Range", "bytes=10-"}, 416, "invalid range: failed to overlap\n"},
	} {
		if status, body, err := do(t, o.Client(), o.URL("/a"), tt.fields...); status != tt.status || body != tt.body || err != nil {
			t.Errorf("%v = %d %q %v, want %d %q", tt.fields, status, body, err, tt.status, tt.body)
		}
	}
}

func TestBehaviours(t *testing.T) {
	o := origintest.New(t)
	const place = "/a"
	for _, tt := range []struct {
		name   string
		behave origintest.Behaviour
		all    bool // of every place
		status int
		body   string
		fails  bool
	}{
		{"none", nil, false, 200, "0123456789", false},
		{"truncate", origintest.Truncate(3), false, 200, "012", true},
		{"pieces", origintest.Pieces(3), false, 200, "012", true},
		{"announce more", origintest.Length(11), false, 200, "0123456789", true},
		{"announce less", origintest.Length(3), false, 200, "012", false},
		{"reset", origintest.Reset(0), false, 200, "", true},
		{"hang up", origintest.Hangup(), false, 0, "", true},
		{"wrong", origintest.Wrong("evil"), false, 200, "evil", false},
		{"status", origintest.Status(503), false, 503, "status 503\n", false},
		{"delay", origintest.Delay(time.Millisecond), false, 200, "0123456789", false},
		{"down", origintest.Hangup(), true, 0, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o.File(place, "0123456789")
			o.Behave(place, tt.behave)
			if tt.all {
				o.Behave(place, nil)
				o.BehaveAll(tt.behave)
				defer o.BehaveAll(nil)
			}
			c := o.Client()
			c.Transport.(*http.Transport).DisableKeepAlives = true
			status, body, err := do(t, c, o.URL(place))
			if status != tt.status || body != tt.body || (err != nil) != tt.fails {
				t.Errorf("%d %q %v, want %d %q, failure %v", status, body, err, tt.status, tt.body, tt.fails)
			}
		})
	}
}

func TestSequence(t *testing.T) {
	o := origintest.New(t)
	o.File("/a", "body")
	o.Behave("/a", origintest.Sequence(origintest.Status(500), origintest.Status(501), nil))
	for _, want := range []int{500, 501, 200, 200} {
		if got, _, err := do(t, o.Client(), o.URL("/a")); got != want || err != nil {
			t.Errorf("status = %d, %v, want %d", got, err, want)
		}
	}
	o.Behave("/a", origintest.ChangeAt(2, "/a", "other"))
	if _, body, err := do(t, o.Client(), o.URL("/a")); body != "bo" || err == nil {
		t.Errorf("while it changes: %q, %v", body, err)
	}
	if _, body, err := do(t, o.Client(), o.URL("/a")); body != "other" || err != nil {
		t.Errorf("after the change: %q, %v", body, err)
	}
	o.Remove("/a")
	if got, _, _ := do(t, o.Client(), o.URL("/a")); got != 404 {
		t.Errorf("after removal: %d", got)
	}
}
