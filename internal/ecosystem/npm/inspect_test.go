package npm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/npm"
)

// body returns a document that was fetched from a URL.
func body(t testing.TB, e *npm.Ecosystem, address, text string) ecosystem.Body {
	t.Helper()
	res, err := e.Classify(request(t, "GET", address))
	if err != nil {
		t.Fatal(err)
	}
	return ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(text), Size: int64(len(text))}
}

// noSource fails the test if a document is asked for.
type noSource struct{ t testing.TB }

func (s noSource) Document(_ context.Context, res ecosystem.Resource) (ecosystem.Body, error) {
	s.t.Errorf("Inspect asked for %s", res.URL)
	return ecosystem.Body{}, ecosystem.ErrUnknown
}

// inspect returns the claims of a document as lines.
func inspect(t testing.TB, e *npm.Ecosystem, address, text string) ([]string, ecosystem.Evidence, error) {
	t.Helper()
	var lines []string
	ev, err := e.Inspect(t.Context(), body(t, e, address, text), noSource{t}, func(c ecosystem.Claim) error {
		line := fmt.Sprintf("%s %s", c.URL, c.Digest.Short())
		if !c.Published.IsZero() {
			line += " " + c.Published.UTC().Format("2006-01-02")
		}
		lines = append(lines, line)
		return nil
	})
	return lines, ev, err
}

// Integrities of the tests: the SHA-512 of nothing, the SHA-1 of nothing.
const (
	empty512 = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
	empty1   = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
)

func TestInspectClaims(t *testing.T) {
	dist := func(members string) string {
		return `{"name":"left-pad","versions":{"1.0.0":{"dist":{` + members + `}}},"time":{"1.0.0":"2026-01-02T03:04:05.000Z"}}`
	}
	const tarball = registry + "left-pad/-/left-pad-1.0.0.tgz"
	for _, tt := range []struct {
		name, url, text string
		want            []string
	}{
		{
			"integrity", registry + "left-pad", dist(`"integrity":"` + empty512 + `","shasum":"` + empty1 + `","tarball":"` + tarball + `"`),
			[]string{tarball + " sha512:cf83e1357eef 2026-01-02"},
		},
		{
			"only a SHA-1", registry + "left-pad", dist(`"shasum":"` + empty1 + `","tarball":"` + tarball + `"`),
			[]string{tarball + " sha1:da39a3ee5e6b 2026-01-02"},
		},
		{"alternatives", registry + "left-pad", dist(`"integrity":"` + empty512 + ` sha512-` + strings.Repeat("A", 86) + `==","tarball":"` + tarball + `"`), nil},
		{"nothing", registry + "left-pad", dist(`"tarball":"` + tarball + `"`), nil},
		{
			"escaped slashes", registry + "left-pad", dist(`"integrity":"` + empty512 + `","tarball":"` + strings.ReplaceAll(tarball, "/", `\/`) + `"`),
			[]string{tarball + " sha512:cf83e1357eef 2026-01-02"},
		},
		{
			"alias names the tarball of its original", nexus + "left-pad", dist(`"integrity":"` + empty512 + `","tarball":"` + tarball + `"`),
			[]string{nexus + "left-pad/-/left-pad-1.0.0.tgz sha512:cf83e1357eef 2026-01-02"},
		},
		{
			"plain HTTP in old packuments", registry + "left-pad", dist(`"integrity":"` + empty512 + `","tarball":"http` + strings.TrimPrefix(tarball, "https") + `"`),
			[]string{tarball + " sha512:cf83e1357eef 2026-01-02"},
		},
		{"tarball of another package", registry + "left-pad", dist(`"integrity":"` + empty512 + `","tarball":"` + registry + `right-pad/-/right-pad-1.0.0.tgz"`), nil},
		{"tarball elsewhere", registry + "left-pad", dist(`"integrity":"` + empty512 + `","tarball":"https://cdn.example/x.tgz"`), nil},
		{"no tarball", registry + "left-pad", dist(`"integrity":"` + empty512 + `"`), nil},
		{"unpublished", registry + "left-pad", `{"name":"left-pad","time":{"unpublished":{"time":"2026-01-01T00:00:00Z","versions":["1.0.0"]}}}`, nil},
		{"manifest", registry + "left-pad/1.0.0", `{"name":"left-pad","version":"1.0.0","dist":{"integrity":"` + empty512 + `"}}`, nil},
		{"keys", registry + "-/npm/v1/keys", `{"keys":[]}`, nil},
		{"dist-tags", registry + "-/package/left-pad/dist-tags", `{"latest":"1.0.0"}`, nil},
		{
			"scoped", registry + "@a%2fb", `{"versions":{"2.0.0":{"dist":{"tarball":"` + registry + `@a/b/-/b-2.0.0.tgz","integrity":"` + empty512 + `"}}},"name":"@a\/b"}`,
			[]string{registry + "@a/b/-/b-2.0.0.tgz sha512:cf83e1357eef"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ev, err := inspect(t, example(), tt.url, tt.text)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("claims = %q, %v, want %q", got, err, tt.want)
			}
			if ev.Signer != "" || ev.Note == "" {
				t.Errorf("evidence = %+v, want a note that it is not signed", ev)
			}
		})
	}
}

func TestInspectInvalid(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"login page", "<!DOCTYPE html><title>Sign in</title>"},
		{"nothing", ""},
		{"error body", `{"error":"Not found"}`},
		{"another package", `{"name":"right-pad","versions":{}}`},
		{"name of another kind", `{"name":{"left-pad":1}}`},
		{"name twice", `{"name":"right-pad","name":"left-pad"}`},
		{"version twice", `{"name":"left-pad","versions":{"1.0.0":{},"1.0.0":{}}}`},
		{"version twice, escaped", `{"name":"left-pad","versions":{"1.0.0":{},"\u0031.0.0":{}}}`},
		{"integrity twice", `{"name":"left-pad","versions":{"1":{"dist":{"integrity":"a","integrity":"b"}}}}`},
		{"list", `[{"name":"left-pad"}]`},
		{"truncated", `{"name":"left-pad","versions":{"1.0.0":{"dist":{"tarb`},
		{"two texts", `{"name":"left-pad"}{"name":"left-pad"}`},
		{"deep nesting", `{"name":"left-pad","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`},
		{"deep objects", `{"name":"left-pad","x":` + strings.Repeat(`{"a":`, 100_000)},
		{"wrong bracket", `{"name":"left-pad","x":[1}}`},
		{"comma before the end", `{"name":"left-pad",}`},
		{"key without quotes", `{name:"left-pad"}`},
		{"control character", "{\"name\":\"left-pad\",\"x\":\"\n\"}"},
		{"bad escape", `{"name":"left-pad","x":"\x41"}`},
		{"bad unicode escape", `{"name":"left-pad","x":"\u00g1"}`},
		{"bad number", `{"name":"left-pad","x":01}`},
		{"bad fraction", `{"name":"left-pad","x":1.}`},
		{"bad word", `{"name":"left-pad","x":nul}`},
		{"enormous value", `{"name":"left-pad","versions":{"` + strings.Repeat("x", 17<<20) + `":{}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims, _, err := inspect(t, example(), registry+"left-pad", tt.text)
			if !errors.Is(err, ecosystem.ErrInvalid) || len(claims) > 0 {
				t.Errorf("Inspect = %d claims, %v, want ErrInvalid", len(claims), err)
			}
		})
	}
}

// errDisk stands for a store that cannot be read, errFull for an engine that cannot go on.
var (
	errDisk = errors.New("input/output error")
	errFull = errors.New("no space left")
)

type brokenDisk struct{}

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestInspectErrors(t *testing.T) {
	e := example()
	doc := body(t, e, registry+"left-pad", `{"name":"left-pad","versions":{"1.0.0":{"dist":{"tarball":"`+registry+`left-pad/-/left-pad-1.0.0.tgz","shasum":"`+empty1+`"}}}}`)
	if _, err := e.Inspect(t.Context(), doc, noSource{t}, func(ecosystem.Claim) error { return errFull }); !errors.Is(err, errFull) || errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("Inspect = %v, want what emit returned", err)
	}
	doc.ReaderAt = brokenDisk{}
	if _, err := e.Inspect(t.Context(), doc, noSource{t}, nil); !errors.Is(err, errDisk) || errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("Inspect = %v, want what reading returned: the document may be good", err)
	}
	if err := e.View(io.Discard, doc, ecosystem.View{Form: "abbreviated"}); !errors.Is(err, errDisk) {
		t.Errorf("View = %v, want what reading returned", err)
	}
}

// FuzzPackument checks that a packument speaks of nothing but tarballs that name it as
// their voucher, and what holds for all views of one that is accepted.
func FuzzPackument(f *testing.F) {
	f.Add(`{"name":"left-pad","versions":{"1.0.0":{"dist":{"integrity":"` + empty512 + `","tarball":"` + registry + `left-pad/-/left-pad-1.0.0.tgz"}}},"time":{"1.0.0":"2026-01-02T03:04:05Z"}}`)
	f.Add(`{"name":"left-pad","dist-tags":{"latest":"1.0.0"},"x":[1.5e3,true,null,"\u00e9"]}`)
	f.Add(`<html>`)
	e := example()
	f.Fuzz(func(t *testing.T, text string) {
		doc := body(t, e, registry+"left-pad", text)
		_, err := e.Inspect(t.Context(), doc, noSource{t}, func(c ecosystem.Claim) error {
			res, err := e.Classify(request(t, "GET", c.URL))
			if err != nil || res.URL != c.URL || len(res.VouchedBy) == 0 || res.VouchedBy[0].URL != doc.Resource.URL {
				t.Errorf("claim about %q, which this packument does not vouch for", c.URL)
			}
			return nil
		})
		if err != nil {
			if !errors.Is(err, ecosystem.ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
			return
		}
		checkViews(t, e, doc)
	})
}
