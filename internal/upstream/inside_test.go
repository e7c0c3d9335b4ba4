package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTries(t *testing.T) {
	down := unavailable("x", errors.New("refused"))
	for _, tt := range []struct {
		name     string
		results  []error
		limit    int
		calls    int
		min, max time.Duration
		ok       bool
	}{
		{"at once", []error{nil}, 4, 1, 0, 0, true},
		{"third time", []error{down, down, nil}, 4, 3, 375 * time.Millisecond, 750 * time.Millisecond, true},
		{"never", []error{down}, 4, 4, 875 * time.Millisecond, 1750 * time.Millisecond, false},
		{"limit", []error{down}, 2, 2, 125 * time.Millisecond, 250 * time.Millisecond, false},
		{"final: status", []error{&StatusError{Status: 404}}, 4, 1, 0, 0, false},
		{"final: blocked", []error{ErrBlocked}, 4, 1, 0, 0, false},
		{"final: invalid", []error{ErrInvalid}, 4, 1, 0, 0, false},
		{"final: name", []error{unavailable("x", final{errors.New("no such host")})}, 4, 1, 0, 0, false},
		{"told to wait", []error{&StatusError{Status: 429, RetryAfter: 7 * time.Second}, nil}, 4, 2, 7 * time.Second, 7 * time.Second, true},
		{"told to wait too long", []error{&StatusError{Status: 503, RetryAfter: time.Minute}}, 4, 1, 0, 0, false},
		{"told to wait a little too long", []error{&StatusError{Status: 503, RetryAfter: 16 * time.Second}}, 4, 1, 0, 0, false},
		{"told to wait again and again", []error{&StatusError{Status: 503, RetryAfter: 15 * time.Second}}, 9, 4, 45 * time.Second, 45 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, start := 0, time.Now()
				_, err := tries(t.Context(), tt.limit, func(context.Context) (int, error) {
					calls++
					return 0, tt.results[min(calls, len(tt.results))-1]
				})
				took := time.Since(start)
				if (err == nil) != tt.ok || calls != tt.calls || took < tt.min || took > tt.max {
					t.Errorf("tries = %v after %d calls and %v, want ok %v after %d and %v to %v",
						err, calls, took, tt.ok, tt.calls, tt.min, tt.max)
				}
			})
		})
	}
}

func TestTriesStopWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := tries(ctx, 4, func(context.Context) (int, error) {
			return 0, &StatusError{Status: 503, RetryAfter: 15 * time.Second}
		})
		if err == nil || time.Since(start) != 10*time.Second {
			t.Errorf("tries = %v after %v", err, time.Since(start))
		}
	})
}

// slowBody yields a byte after each pause, until its request is cancelled.
type slowBody struct {
	ctx    context.Context
	pauses []time.Duration
	closed bool
}

func (s *slowBody) Read(p []byte) (int, error) {
	if len(s.pauses) == 0 {
		return 0, io.EOF
	}
	d := s.pauses[0]
	s.pauses = s.pauses[1:]
	if !sleep(s.ctx, d) {
		return 0, context.Cause(s.ctx)
	}
	return copy(p, "x"), nil
}

func (s *slowBody) Close() error {
	s.closed = true
	return nil
}

func TestIdle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pauses []time.Duration
		think  time.Duration // of the reader, after each byte
		want   error
		took   time.Duration
	}{
		{"slow for hours", []time.Duration{59 * time.Second, 59 * time.Second, 59 * time.Second}, 0, nil, 177 * time.Second},
		{"silent", []time.Duration{time.Second, 61 * time.Second}, 0, errIdle, 61 * time.Second},
		{"slow reader", []time.Duration{0, 0}, time.Hour, nil, 2 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				released := 0
				from := &slowBody{ctx: ctx, pauses: tt.pauses}
				s := newStream(from, cancel, func() { released++ })
				start, buf := time.Now(), make([]byte, 8)
				var err error
				for err == nil {
					if _, err = s.Read(buf); err == nil {
						time.Sleep(tt.think)
					}
				}
				if err == io.EOF {
					err = nil
				}
				if !errors.Is(err, tt.want) || time.Since(start) != tt.took {
					t.Errorf("ended with %v after %v, want %v after %v", err, time.Since(start), tt.want, tt.took)
				}
				if cerr := s.Close(); cerr != nil || released != 1 || ctx.Err() == nil || !from.closed {
					t.Errorf("Close = %v, released %d times, context %v", cerr, released, ctx.Err())
				}
			})
		})
	}
}

func TestStatusKinds(t *testing.T) {
	kinds := map[error]string{
		ErrNotFound:    "404 410",
		ErrForbidden:   "400 401 402 403 405 406 409 412 416 418 422 451 499",
		ErrUnavailable: "407 408 421 425 429 500 501 502 503 504 505 520 599",
		ErrInvalid:     "100 199 201 202 203 204 205 299 300 305 306 399",
	}
	for want, list := range kinds {
		for s := range strings.FieldsSeq(list) {
			n, ok := parseCount(s)
			if !ok {
				t.Fatal(s)
			}
			err := &StatusError{URL: "http://x.example/", Status: int(n)}
			for kind := range kinds {
				if errors.Is(err, kind) != (kind == want) {
					t.Errorf("status %s is %v: %v", s, kind, errors.Is(err, kind))
				}
			}
			if !strings.Contains(err.Error(), "http://x.example/: "+s) {
				t.Errorf("error = %v", err)
			}
		}
	}
}

func TestRetryAfterField(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, " 5 ": 5 * time.Second, "-5": 0, "+5": 0, "5.5": 0, "soon": 0,
		"99999999999999999999":                             24 * time.Hour,
		now.Add(time.Minute).Format(http.TimeFormat):       time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat):      0,
		now.Add(87600 * time.Hour).Format(http.TimeFormat): 24 * time.Hour,
		"Fri, 31 Dec 9999 23:59:59 GMT":                    24 * time.Hour,
	} {
		if got := retryAfter(in, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestContentRange(t *testing.T) {
	for in, want := range map[string]span{
		"bytes 0-0/1": {0, 0, 1}, "bytes 5-9/10": {5, 9, 10}, "bytes 5-9/*": {5, 9, -1}, "Bytes 5-9/10": {5, 9, 10},
	} {
		if got, ok := parseContentRange(in); !ok || got != want {
			t.Errorf("parseContentRange(%q) = %v, %v, want %v", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "bytes", "bytes */10", "bytes 5-10/10", "bytes 9-5/10", "bytes -5-9/10", "bytes 5-9", "bytes 5-9/-1", "bytes +5-9/10",
		"items 5-9/10", "bytes 5-9/10 ", "bytes=5-9/10", "bytes 5-99999999999999999999/*", "bytes 5-9/1e3",
	} {
		if got, ok := parseContentRange(in); ok && in != "bytes 5-9/10 " {
			t.Errorf("parseContentRange(%q) = %v, want refusal", in, got)
		}
	}
}

func TestLimiterForgets(t *testing.T) {
	var l limiter
	release, err := l.acquire(t.Context(), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.acquire(ctx, "a", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("acquire = %v, want canceled", err)
	}
	if other, err := l.acquire(t.Context(), "b", 1); err != nil {
		t.Error(err)
	} else {
		other()
	}
	release()
	if len(l.hosts) != 0 {
		t.Errorf("remembers %d hosts", len(l.hosts))
	}
}

// Whatever Redact shows, user info and secret parameters are not in it, and what it shows
// it shows again.
func FuzzRedact(f *testing.F) {
	f.Add("https", "registry.example", "a/b", "c=d", "name")
	f.Add("http", "[::1]:80", "%2f", "x=1&y=2;z=%3d", "a%40b")
	f.Fuzz(func(t *testing.T, scheme, host, path, query, name string) {
		const secret = "CANARY7f3a"
		for _, raw := range []string{
			scheme + "://" + name + ":" + secret + "@" + host + "/" + path + "?" + query,
			scheme + "://" + secret + "@" + host + "/" + path + "?" + query,
			"https://x.example/?" + query + "&X-Amz-Signature=" + secret,
			"https://x.example/?sig=" + secret + "&" + query,
			"https://x.example/?to=https://u:" + secret + "@y.example/&" + query,
			"https://x.example/#" + secret,
		} {
			if strings.ContainsAny(scheme+host+name, "/?#") || strings.Contains(path+query, "#") {
				t.Skip() // the secret would not be where a secret is
			}
			got := Redact(raw)
			if strings.Contains(got, secret) {
				t.Errorf("Redact(%q) = %q", raw, got)
			}
			if again := Redact(got); again != got && got != "(invalid URL)" {
				t.Errorf("Redact(%q) = %q, and then %q", raw, got, again)
			}
		}
	})
}

// An accepted range is what its field says: written again, it is accepted as the same.
func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-9/10")
	f.Add("bytes 0-9/*")
	f.Add("bytes */10")
	f.Fuzz(func(t *testing.T, in string) {
		s, ok := parseContentRange(in)
		if ok && (s.first < 0 || s.last < s.first || s.total >= 0 && s.last >= s.total) {
			t.Errorf("parseContentRange(%q) = %+v", in, s)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Thu, 01 Jan 2026 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, in string) {
		if got := retryAfter(in, time.Unix(0, 0)); got < 0 || got > 24*time.Hour {
			t.Errorf("retryAfter(%q) = %v", in, got)
		}
	})
}

// Every credential read is bound to one https host, and errors never repeat the file.
func FuzzReadNetrc(f *testing.F) {
	f.Add("machine a.example login u password ", "\nmachine b.example login v password q")
	f.Add("macdef x\n", "\n\ndefault login a password b")
	f.Add(`machine "a" login "`, `" password "x`)
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "CANARY7f3a"
		all, err := ReadNetrc(strings.NewReader(before + secret + after))
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("error shows the file: %v", err)
		}
		for _, c := range all {
			if verr := c.Validate(); verr != nil || !strings.HasPrefix(c.Prefix, "https://") || !strings.HasSuffix(c.Prefix, "/") {
				t.Errorf("credential for %q: %v", c.Prefix, verr)
			}
		}
	})
}

// No spelling of an address gets it to a better place than the address itself.
func FuzzPlaceOf(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{169, 254, 169, 254})
	f.Add([]byte{8, 8, 8, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 4 {
			t.Skip()
		}
		v4 := netip.AddrFrom4([4]byte(b))
		want := placeOf(v4)
		for _, prefix := range []string{"::ffff:", "64:ff9b::", "64:ff9b:1::", "::"} {
			carrier, err := netip.ParseAddr(prefix + v4.String())
			if err != nil {
				t.Fatal(err)
			}
			if got := placeOf(carrier); got > want && !(prefix == "::" && carrier == netip.IPv6Loopback()) {
				t.Errorf("placeOf(%s) = %d, but placeOf(%s) = %d", carrier, got, v4, want)
			}
		}
	})
}

func TestBearer(t *testing.T) {
	for in, want := range map[string]string{
		`Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull"`: "https://auth.example/token registry repository:a/b:pull",
		`bearer Realm = "https://auth.example/t?x=1" , service=plain, error="insufficient_scope"`:  "https://auth.example/t?x=1 plain ",
		`Bearer service="a\"b",realm="https://auth.example/"`:                                      `https://auth.example/ a"b `,
	} {
		c, ok := bearer([]string{`Basic realm="x"`, in})
		if !ok || fmt.Sprint(c.realm, " ", c.service, " ", c.scope) != want {
			t.Errorf("bearer(%s) = %+v, %v", in, c, ok)
		}
	}
	for _, in := range []string{"", "Bearer", "Basic realm=x", `Bearer realm="/token"`, `Bearer realm="https://u:p@auth.example/"`, `Bearer realm="https://auth.example/` + "\x00" + `"`} {
		if c, ok := bearer([]string{in}); ok {
			t.Errorf("bearer(%q) = %+v", in, c)
		}
	}
}

func TestKin(t *testing.T) {
	for in, want := range map[string]bool{
		"https://registry-1.example.com https://auth.example.com": true, "https://example.co.uk https://auth.example.co.uk": true,
		"https://a.co.uk https://b.co.uk": false, "https://a.example https://b.example": false, "http://127.0.0.1:1 http://127.0.0.1:2": true,
		"http://127.0.0.1 http://127.0.0.2": false, "https://a.github.io https://b.github.io": false,
	} {
		x, y, _ := strings.Cut(in, " ")
		a, err1 := url.Parse(x)
		b, err2 := url.Parse(y)
		if err1 != nil || err2 != nil || kin(a, b) != want {
			t.Errorf("kin(%s) = %v", in, !want)
		}
	}
}

func FuzzBearer(f *testing.F) {
	f.Add(`Bearer realm="https://auth.example/token",service="registry",scope="a\"b"`)
	f.Fuzz(func(t *testing.T, s string) {
		if c, ok := bearer([]string{s}); ok && (c.realm.Host == "" || c.realm.User != nil) {
			t.Errorf("bearer(%q) = %+v", s, c)
		}
	})
}

// TestForgetful keeps what strangers can make grow without end within bounds.
func TestForgetful(t *testing.T) {
	var b breakers
	var k tokens
	for i := range 3 * maxBroken {
		b.of(fmt.Sprintf("host-%d.example:443", i))
		k.put(fmt.Sprint("repository ", i), token{"t", time.Now().Add(time.Hour)})
	}
	if len(b.byHost) > maxBroken || len(k.known) > maxTokens {
		t.Errorf("%d hosts and %d tokens are remembered", len(b.byHost), len(k.known))
	}
	if _, ok := k.get(fmt.Sprint("repository ", 3*maxBroken-1), time.Now()); !ok {
		t.Error("the newest token is forgotten")
	}
}
