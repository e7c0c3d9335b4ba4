package ingress

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sutler/internal/blob"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/index"
	"sutler/internal/policy"
	"sutler/internal/upstream"
)

const text = "0123456789abcdefghijklmnopqrstuvwxyz"

var modified = time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)

// artifact is an answer from memory.
func artifact() engine.Answer {
	return engine.Answer{Outcome: engine.Hit, Resource: ecosystem.Resource{Ecosystem: "npm", Kind: ecosystem.Artifact},
		Type: "application/x-tar", ETag: `"e1"`, Modified: modified, Age: 90 * time.Second, Trust: index.Stated,
		Size: int64(len(text)), Bytes: []byte(text)}
}

// with returns a changed by f.
func with(a engine.Answer, f func(*engine.Answer)) engine.Answer {
	f(&a)
	return a
}

// stored returns an answer function for a blob in a file.
func stored(t testing.TB, content string, verified bool) func(ecosystem.Request) (*engine.Answer, error) {
	path := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(ecosystem.Request) (*engine.Answer, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = f.Close() })
		r := &blobReader{ReadSeekCloser: f, ReaderAt: f, file: f, verified: verified, size: int64(len(content))}
		a := with(artifact(), func(a *engine.Answer) { a.Bytes, a.Body, a.Blob, a.Size = nil, r, r, r.size })
		return &a, nil
	}
}

// blobReader is a stored blob in a file.
type blobReader struct {
	io.ReadSeekCloser
	io.ReaderAt
	file     *os.File
	verified bool
	size     int64
}

var _ blob.Reader = (*blobReader)(nil)

// Size returns the length in bytes.
func (b *blobReader) Size() int64 { return b.size }

// File returns the file if it was verified.
func (b *blobReader) File() *os.File {
	if b.verified {
		return b.file
	}
	return nil
}

// bodies returns one answer for each shape of body, all with the same text.
func bodies(t testing.TB, content string) map[string]func(ecosystem.Request) (*engine.Answer, error) {
	return map[string]func(ecosystem.Request) (*engine.Answer, error){
		"/bytes":  fixed(with(artifact(), func(a *engine.Answer) { a.Bytes, a.Size = []byte(content), int64(len(content)) }), nil),
		"/file":   stored(t, content, true),
		"/reader": stored(t, content, false),
		"/growing": func(ecosystem.Request) (*engine.Answer, error) {
			a := with(artifact(), func(a *engine.Answer) { a.Bytes, a.Body, a.Size = nil, newStream(content, nil), int64(len(content)) })
			return &a, nil
		},
	}
}

func TestBodiesOfEveryShape(t *testing.T) {
	g := newRig(t, bodies(t, text), policy.Rules{})
	for _, h2 := range []bool{false, true} {
		s := serve(t, g.front("npm.example"), h2)
		for path := range g.engine.answers {
			for _, tt := range []struct {
				name, method string
				fields       []string
				status       int
				body, length string
			}{
				{"whole", "GET", nil, 200, text, "36"},
				{"head", "HEAD", nil, 200, "", "36"},
				{"range", "GET", []string{"Range: bytes=10-12"}, 206, "abc", "3"},
				{"open range", "GET", []string{"Range: bytes=34-"}, 206, "yz", "2"},
				{"suffix range", "GET", []string{"Range: bytes=-1"}, 206, "z", "1"},
				{"range outside", "GET", []string{"Range: bytes=36-"}, 416, "invalid range: failed to overlap\n", "33"},
				{"head with range", "HEAD", []string{"Range: bytes=10-12"}, 206, "", "3"},
				{"if-range holds", "GET", []string{"Range: bytes=0-0", `If-Range: "e1"`}, 206, "0", "1"},
				{"if-range by date holds", "GET", []string{"Range: bytes=0-0", "If-Range: Tue, 03 Feb 2026 04:05:06 GMT"}, 206, "0", "1"},
				{"if-range does not hold", "GET", []string{"Range: bytes=0-0", `If-Range: "e2"`}, 200, text, "36"},
				{"known etag", "GET", []string{`If-None-Match: "e0", "e1"`}, 304, "", ""},
				{"other etag", "GET", []string{`If-None-Match: "e2"`}, 200, text, "36"},
				{"not modified since", "GET", []string{"If-Modified-Since: Tue, 03 Feb 2026 04:05:06 GMT"}, 304, "", ""},
				{"modified since", "GET", []string{"If-Modified-Since: Tue, 03 Feb 2026 04:05:05 GMT"}, 200, text, "36"},
				{"etag wins over date", "GET", []string{`If-None-Match: "e2"`, "If-Modified-Since: Tue, 03 Feb 2026 04:05:06 GMT"}, 200, text, "36"},
				{"precondition", "GET", []string{`If-Match: "e2"`}, 412, "", ""},
			} {
				name := fmt.Sprintf("%s %s h2=%v", path, tt.name, h2)
				resp, body, err := do(t, s, tt.method, path, tt.fields...)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if resp.StatusCode != tt.status || body != tt.body || tt.length != "" && resp.Header.Get("Content-Length") != tt.length {
					t.Errorf("%s: status %d, body %q, length %s; want %d, %q, %s", name, resp.StatusCode, body,
						resp.Header.Get("Content-Length"), tt.status, tt.body, tt.length)
				}
			}
		}
	}
}

func TestManyRanges(t *testing.T) {
	g := newRig(t, bodies(t, text), policy.Rules{})
	s := serve(t, g.front("npm.example"), false)
	many := "Range: bytes=0-0" + strings.Repeat(",0-0", maxRanges)
	for path := range g.engine.answers {
		resp, body, err := do(t, s, "GET", path, "Range: bytes=0-1,34-35")
		if err != nil || resp.StatusCode != 206 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/byteranges") ||
			!strings.Contains(body, "\r\n01\r\n") || !strings.Contains(body, "\r\nyz\r\n") {
			t.Errorf("%s: two ranges: %v, %v, %q", path, resp, err, body)
		}
		if resp, body, err = do(t, s, "GET", path, many); err != nil || resp.StatusCode != 200 || body != text {
			t.Errorf("%s: too many ranges: %v, %v, %q", path, resp, err, body)
		}
	}
}

func TestFieldsSayWhereAnAnswerCameFrom(t *testing.T) {
	document := func(f func(*engine.Answer)) engine.Answer {
		return with(artifact(), func(a *engine.Answer) {
			a.Resource.Kind, a.Lifetime = ecosystem.Document, 30*time.Second
			f(a)
		})
	}
	for _, tt := range []struct {
		name   string
		answer engine.Answer
		want   map[string]string // "" for absent
	}{
		{"hit", artifact(), map[string]string{"Cache-Status": "sutler; hit", "Age": "90", "Etag": `"e1"`,
			"Last-Modified": "Tue, 03 Feb 2026 04:05:06 GMT", "Content-Type": "application/x-tar", "Accept-Ranges": "bytes",
			"Cache-Control": "max-age=31536000, immutable", "Vary": ""}},
		{"artifact nobody vouches for", with(artifact(), func(a *engine.Answer) { a.Trust = index.Unvouched }),
			map[string]string{"Cache-Control": ""}},
		{"fresh document", document(func(*engine.Answer) {}), map[string]string{"Cache-Control": "max-age=120", "Vary": "Accept", "Age": "90"}},
		{"fresh document whose ecosystem says how long clients keep it", document(func(a *engine.Answer) {
			a.Header = []ecosystem.Setting{{Name: "Cache-Control", Value: "max-age=60"}}
		}), map[string]string{"Cache-Control": "max-age=60", "Age": "90"}},
		{"revalidated", document(func(a *engine.Answer) { a.Outcome, a.Age = engine.Revalidated, 0 }),
			map[string]string{"Cache-Status": "sutler; fwd=stale; fwd-status=304", "Cache-Control": "max-age=30", "Age": ""}},
		{"stale", document(func(a *engine.Answer) { a.Outcome, a.Lifetime = engine.Stale, 0 }),
			map[string]string{"Cache-Status": `sutler; fwd=stale; detail="origin unavailable"`, "Cache-Control": "no-cache", "Age": "90"}},
		{"miss", with(artifact(), func(a *engine.Answer) { a.Outcome, a.ETag, a.Modified = engine.Miss, "", time.Time{} }),
			map[string]string{"Cache-Status": "sutler; fwd=miss; stored", "Etag": "", "Last-Modified": "", "Age": ""}},
		{"joined", with(artifact(), func(a *engine.Answer) { a.Outcome = engine.Joined }),
			map[string]string{"Cache-Status": "sutler; fwd=miss; stored; collapsed"}},
		{"no type", with(artifact(), func(a *engine.Answer) { a.Type = "" }), map[string]string{"Content-Type": "application/octet-stream"}},
		{"private", with(artifact(), func(a *engine.Answer) {
			a.Outcome, a.Size, a.Bytes, a.Body = engine.Bypass, -1, nil, newStream(text, nil)
		}), map[string]string{"Cache-Status": "sutler; fwd=bypass", "Cache-Control": "no-store", "Accept-Ranges": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){"/x": fixed(tt.answer, nil)}, policy.Rules{})
			resp, body, err := do(t, serve(t, g.front("npm.example"), false), "GET", "/x")
			if err != nil || body != text {
				t.Fatalf("body %q, %v", body, err)
			}
			for name, want := range tt.want {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestEmptyBody(t *testing.T) {
	empty := with(artifact(), func(a *engine.Answer) { a.Bytes, a.Size = nil, 0 })
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){"/x": fixed(empty, nil)}, policy.Rules{})
	s := serve(t, g.front("npm.example"), false)
	for _, fields := range [][]string{nil, {"Range: bytes=0-0"}} {
		resp, body, err := do(t, s, "GET", "/x", fields...)
		if err != nil || resp.StatusCode != 200 || body != "" || resp.Header.Get("Content-Length") != "0" {
			t.Errorf("%v: %v, %q, %v", fields, resp, body, err)
		}
	}
}

// errBad is what a body fails with that turns out wrong at its end.
var errBad = fmt.Errorf("held back: %w", digest.ErrMismatch)

func TestFailedBodyIsNeverCompleted(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	known := func(body string) func(ecosystem.Request) (*engine.Answer, error) {
		return func(ecosystem.Request) (*engine.Answer, error) {
			a := with(artifact(), func(a *engine.Answer) {
				a.Outcome, a.Bytes, a.Size, a.Body = engine.Miss, nil, int64(len(body))+100, promising{newStream(body, errBad), int64(len(body)) + 100}
			})
			return &a, nil
		}
	}
	unknown := func(body string) func(ecosystem.Request) (*engine.Answer, error) {
		return func(ecosystem.Request) (*engine.Answer, error) {
			a := with(artifact(), func(a *engine.Answer) {
				a.Outcome, a.Bytes, a.Size, a.Body = engine.Miss, nil, -1, newStream(body, errBad)
			})
			return &a, nil
		}
	}
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){
		"/known/long": known(long), "/known/short": known("x"), "/known/nothing": known(""),
		"/unknown/long": unknown(long), "/unknown/short": unknown("x"), "/unknown/nothing": unknown(""),
	}, policy.Rules{})
	for _, h2 := range []bool{false, true} {
		s := serve(t, g.front("apt.example"), h2)
		for path := range g.engine.answers {
			fields := [][]string{nil}
			if strings.HasPrefix(path, "/known/long") {
				fields = append(fields, []string{"Range: bytes=1-"}, []string{"Range: bytes=0-9,-90"})
			}
			for _, f := range fields {
				resp, body, err := do(t, s, "GET", path, f...)
				switch {
				case strings.HasSuffix(path, "/nothing"):
					// No byte was sent yet: the client gets an answer that says what is wrong.
					if err != nil || resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "held back") {
						t.Errorf("h2=%v %s %v: %v, %q, %v, want 502", h2, path, f, resp, body, err)
					}
				case err == nil:
					t.Errorf("h2=%v %s %v: completed with %d bytes, status %d", h2, path, f, len(body), resp.StatusCode)
				}
			}
		}
	}
	if got := g.engine.last(t).Method; got != "GET" {
		t.Errorf("method = %s", got)
	}
}

func TestFailedBodyResetsOldClients(t *testing.T) {
	answer := func(ecosystem.Request) (*engine.Answer, error) {
		a := with(artifact(), func(a *engine.Answer) {
			a.Bytes, a.Size, a.Body = nil, -1, newStream(strings.Repeat("x", 100<<10), errBad)
		})
		return &a, nil
	}
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){"/x": answer}, policy.Rules{})
	s := serve(t, g.front("apt.example"), false)
	got, err := raw(t, s, "GET /x HTTP/1.0\r\n\r\n")
	if err == nil {
		t.Errorf("a client of HTTP/1.0 saw a good end after %d bytes", len(got))
	}
}

func TestDamagedBlobIsServedFromItsOrigin(t *testing.T) {
	calls := 0
	answer := func(ecosystem.Request) (*engine.Answer, error) {
		calls++
		body := newStream(text, nil)
		if calls == 1 {
			body = newStream("", blob.ErrCorrupt)
		}
		a := with(artifact(), func(a *engine.Answer) { a.Bytes, a.Body = nil, promising{body, a.Size} })
		return &a, nil
	}
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){"/x": answer}, policy.Rules{})
	resp, body, err := do(t, serve(t, g.front("npm.example"), false), "GET", "/x")
	if err != nil || resp.StatusCode != 200 || body != text || calls != 2 {
		t.Errorf("%v, %q, %v after %d calls", resp, body, err, calls)
	}
	calls = -1000
	g.engine.answers["/x"] = func(ecosystem.Request) (*engine.Answer, error) {
		calls++
		a := with(artifact(), func(a *engine.Answer) { a.Bytes, a.Body = nil, promising{newStream("", blob.ErrCorrupt), a.Size} })
		return &a, nil
	}
	resp, _, err = do(t, serve(t, g.front("npm.example"), false), "GET", "/x")
	if err != nil || resp.StatusCode != 500 || calls != -998 {
		t.Errorf("damaged for ever: %v, %v after %d calls", resp, err, calls+1000)
	}
}

func TestUnknown(t *testing.T) {
	for _, tt := range []struct {
		name    string
		rules   policy.Rules
		base    string
		status  int
		outcome string
		note    string
	}{
		{"passed through", policy.Rules{}, "", 200, "bypass", "not a resource of a known ecosystem"},
		{"refused by rule", policy.Rules{RefuseUnknown: true}, "", 403, "refused", ""},
		{"native", policy.Rules{}, "http://here", 404, "error", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, nil, tt.rules)
			g.passer.answer = func() (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok")), ContentLength: 2}, nil
			}
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				u := *r.URL
				u.Scheme, u.Host = "http", "unknown.example"
				req := g.Request(r, &u, "ab12")
				req.Base = tt.base
				g.Respond(w, r, req)
			})
			resp, _, err := do(t, serve(t, h, false), "GET", "/x?token=secret")
			if err != nil || resp.StatusCode != tt.status {
				t.Fatalf("%v, %v, want %d", resp, err, tt.status)
			}
			l := g.receipts.only(t)
			if l.Outcome != tt.outcome || l.Note != tt.note || l.Build != "ab12" || l.URL != "http://unknown.example/x" || l.Ecosystem != "other" {
				t.Errorf("receipt line %+v", l)
			}
		})
	}
}

func TestRefusedOperationsAreRecorded(t *testing.T) {
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){
		"/upload": fixed(engine.Answer{}, ecosystem.ErrRefused), "/policy": fixed(engine.Answer{}, &policy.RefusedError{Rule: "r"}),
	}, policy.Rules{})
	s := serve(t, g.front("deb.example"), false)
	for method, want := range map[string]int{"PUT": 405, "GET": 403} {
		resp, body, err := do(t, s, method, "/upload")
		if err != nil || resp.StatusCode != want || !strings.HasPrefix(body, "sutler: ") || (resp.Header.Get("Allow") != "") != (want == 405) {
			t.Errorf("%s: %v, %q, %v, want %d", method, resp, body, err, want)
		}
	}
	if n := len(g.receipts.all); n != 2 {
		t.Errorf("%d receipt lines, want one for each", n)
	}
	if _, _, err := do(t, s, "GET", "/policy"); err != nil || len(g.receipts.all) != 2 {
		t.Errorf("what the engine records itself was recorded again: %v", err)
	}
}

func TestOneLogRecordWithoutSecrets(t *testing.T) {
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){
		"/x": fixed(with(artifact(), func(a *engine.Answer) { a.Outcome = engine.Miss }), nil),
		"/e": fixed(engine.Answer{}, fmt.Errorf("%w: https://npm.example/e: timeout", upstream.ErrUnavailable)),
		"/h": fixed(artifact(), nil),
	}, policy.Rules{})
	s := serve(t, g.front("npm.example"), false)
	for _, p := range []string{"/x?token=s3cret", "/h", "/e"} {
		if _, _, err := do(t, s, "GET", p, "Proxy-Authorization: Basic YWIxMjpzM2NyZXQ=", "Authorization: Bearer s3cret"); err != nil {
			t.Fatal(err)
		}
	}
	s.Close() // records are written after the answers
	got := g.log.String()
	if strings.Count(got, "msg=served") != 2 { // a hit is at debug level
		t.Errorf("log:\n%s", got)
	}
	for _, want := range []string{"level=INFO", "level=WARN", "build=ab12", "ecosystem=npm", "resource=https://npm.example/x ",
		"outcome=miss", "outcome=error", "bytes=36", "took=", "err=\"origin unavailable"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in the log:\n%s", want, got)
		}
	}
	if strings.Contains(got, "s3cret") {
		t.Errorf("secret in the log:\n%s", got)
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New accepts nothing at all")
	}
}

func TestEveryOutcomeHasAStatusField(t *testing.T) {
	for _, o := range []engine.Outcome{engine.Hit, engine.Revalidated, engine.Miss, engine.Joined, engine.Stale, engine.Bypass,
		engine.Refused, engine.Bad, engine.Error} {
		if cacheStatus[o] == nil {
			t.Errorf("no Cache-Status for %s", o)
		}
	}
	if errors.Is(errBad, io.EOF) {
		t.Error("the tests' failure looks like an end")
	}
}
