package pypi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/pypi"
)

// Digests of the tests.
var (
	a64 = strings.Repeat("a", 64)
	b64 = strings.Repeat("b", 64)
)

// body returns a document that was fetched from a URL.
func body(t testing.TB, e *pypi.Ecosystem, address, text string) ecosystem.Body {
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
func inspect(t testing.TB, address, text string) ([]string, error) {
	t.Helper()
	var lines []string
	e := example()
	_, err := e.Inspect(t.Context(), body(t, e, address, text), noSource{t}, func(c ecosystem.Claim) error {
		lines = append(lines, fmt.Sprintf("%s %s", c.URL, c.Digest.Short()))
		return nil
	})
	return lines, err
}

// TestInspectOtherHost checks that the page of the public index, and no other, speaks of
// files on the host that it keeps them on.
func TestInspectOtherHost(t *testing.T) {
	simple, files := public()
	page := func(file string) string {
		return `{"name":"six","files":[{"filename":"x","url":"` + file + `","hashes":{"sha256":"` + a64 + `"},"core-metadata":{"sha256":"` + b64 + `"}}]}`
	}
	wheel := files + "six-1.0-py3-none-any.whl"
	want := []string{wheel + " sha256:aaaaaaaaaaaa", wheel + ".metadata sha256:bbbbbbbbbbbb"}
	if got, err := inspect(t, simple+"six/", page(wheel+"#sha256="+b64)); err != nil || !slices.Equal(got, want) {
		t.Errorf("claims = %q, %v, want %q", got, err, want)
	}
	for _, tt := range []struct{ page, file string }{
		{index + "six/", wheel},
		{other + "simple/six/", wheel},
		{simple + "six/", files + "seven-1.0-py3-none-any.whl"},
		{simple + "six/", "https://elsewhere.example/packages/" + hash + "six-1.0-py3-none-any.whl"},
		{simple + "six/", files + "six-1.0-py3-none-any.whl.metadata"},
		{"http" + strings.TrimPrefix(simple, "https") + "six/", wheel},
	} {
		if got, err := inspect(t, tt.page, page(tt.file)); err != nil || len(got) > 0 {
			t.Errorf("the page %s speaks of %q, %v", tt.page, got, err)
		}
	}
}

func TestInspectInvalid(t *testing.T) {
	deep := strings.Repeat("[", 100_000)
	for _, tt := range []struct{ name, text string }{
		{"nothing", ""},
		{"error body", `{"message":"Not Found"}`},
		{"list", `[]`},
		{"null", `null`},
		{"another project", `{"name":"seven","files":[]}`},
		{"name of another kind", `{"name":["six"]}`},
		{"name twice", `{"name":"seven","name":"six"}`},
		{"name twice, escaped", `{"name":"seven","n\u0061me":"six"}`},
		{"files of another kind", `{"name":"six","files":{}}`},
		{"file of another kind", `{"name":"six","files":[1]}`},
		{"file without URL", `{"name":"six","files":[{"filename":"six-1.0.zip"}]}`},
		{"truncated", `{"name":"six","files":[`},
		{"two texts", `{"name":"six"}{"name":"six"}`},
		{"deep nesting", `{"name":"six","x":` + deep + strings.Repeat("]", len(deep)) + `}`},
		{"enormous tag", `<a href="` + strings.Repeat("x", 2<<20) + `">`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if claims, err := inspect(t, index+"six/", tt.text); !errors.Is(err, ecosystem.ErrInvalid) || len(claims) > 0 {
				t.Errorf("Inspect = %d claims, %v, want ErrInvalid", len(claims), err)
			}
		})
	}
	simple, _ := public()
	api := strings.TrimSuffix(simple, "simple/") + "pypi/six/json"
	if claims, err := inspect(t, api, `{"info":{"name":"six"},"urls":[]}`); err != nil || len(claims) > 0 {
		t.Errorf("description: %q, %v", claims, err)
	}
	if _, err := inspect(t, api, `<html>`); !errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("description that is HTML: %v, want ErrInvalid", err)
	}
}

// errDisk stands for a store that cannot be read.
var errDisk = errors.New("input/output error")

type brokenDisk struct{}

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestReadErrors(t *testing.T) {
	e := example()
	doc := body(t, e, index+"six/", `{"name":"six"}`)
	doc.ReaderAt = brokenDisk{}
	if _, err := e.Inspect(t.Context(), doc, noSource{t}, nil); !errors.Is(err, errDisk) || errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("Inspect = %v, want what reading returned: the document may be good", err)
	}
	if err := e.View(io.Discard, doc, ecosystem.View{Form: "html"}); !errors.Is(err, errDisk) {
		t.Errorf("View = %v, want what reading returned", err)
	}
}

// view returns a page of two versions as a client sees it.
func view(t *testing.T, text string, v ecosystem.View) string {
	t.Helper()
	var b bytes.Buffer
	e := example()
	if err := e.View(&b, body(t, e, index+"six/", text), v); err != nil {
		t.Error(err)
	}
	return b.String()
}

func TestViewCooldown(t *testing.T) {
	const page = `{"name":"six","versions":["1.0","2.0"],"files":[` +
		`{"filename":"six-1.0.zip","url":"six-1.0.zip","upload-time":"2026-01-01T00:00:00Z"},` +
		`{"filename":"six-2.0.zip","url":"six-2.0.zip","upload-time":"2026-06-01T00:00:00Z"},` +
		`{"filename":"six-1.0-py3-none-any.whl","url":"six-1.0-py3-none-any.whl","upload-time":"2026-06-01T00:00:00Z"}]}`
	young := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	show := func(_ string, published time.Time) bool { return published.Before(young) }
	got := view(t, page, ecosystem.View{Show: show})
	want := `{"files":[{"filename":"six-1.0.zip","upload-time":"2026-01-01T00:00:00Z","url":"` + index + `six/six-1.0.zip"}],"name":"six","versions":["1.0"]}` + "\n"
	if got != want {
		t.Errorf("view is\n%swant\n%s", got, want)
	}
	if got := view(t, page, ecosystem.View{Form: "html", Show: show}); strings.Contains(got, "2.0") || !strings.Contains(got, `href="`+index+`six/six-1.0.zip"`) {
		t.Errorf("view in HTML is\n%s", got)
	}
	if got := view(t, page, ecosystem.View{Show: func(string, time.Time) bool { return true }}); got != page {
		t.Errorf("a page that shows all was changed:\n%s", got)
	}
	none := view(t, page, ecosystem.View{Show: func(string, time.Time) bool { return false }})
	if none != `{"files":[],"name":"six","versions":[]}`+"\n" {
		t.Errorf("a page that shows nothing is\n%s", none)
	}
}

func TestViewCopies(t *testing.T) {
	identity := func(u string) string { return u }
	for _, tt := range []struct{ page, form string }{
		{`{"name": "six", "files": []}`, ""},
		{`{"name": "six", "files": []}`, "json"},
		{`<a href="six-1.0.zip">six</a>`, ""},
		{`<a href="six-1.0.zip">six</a>`, "html"},
	} {
		if got := view(t, tt.page, ecosystem.View{Form: tt.form, Link: identity}); got != tt.page {
			t.Errorf("view %q of %s is %s, want it unchanged", tt.form, tt.page, got)
		}
	}
}

// FuzzPage checks that whatever page is accepted can be seen in every form, and that what is
// seen makes the same claims as the page itself.
func FuzzPage(f *testing.F) {
	f.Add(`{"name":"six","files":[{"filename":"six-1.0.zip","url":"six-1.0.zip#x","hashes":{"sha256":"` + a64 + `"},"yanked":"x","size":3}]}`)
	f.Add(`<base href="/x/"><a href="six-1.0-py3-none-any.whl#sha256=` + a64 + `" data-core-metadata="sha256=` + b64 + `">six</a>`)
	f.Fuzz(func(t *testing.T, text string) {
		want, err := inspect(t, index+"six/", text)
		if err != nil {
			return
		}
		for _, form := range []string{"json", "html"} {
			seen := view(t, text, ecosystem.View{Form: form})
			got, err := inspect(t, index+"six/", seen)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("the page %s seen as %s is %s\nclaims %q, %v, want %q", text, form, seen, got, err, want)
			}
		}
	})
}

// TestBounds refuses pages of which each byte takes many of memory.
func TestBounds(t *testing.T) {
	simple, _ := public()
	for name, text := range map[string]string{
		"JSON": `{"name":"six","files":[` + strings.Repeat(`{"url":"a","filename":"a"},`, 600_000) + `{"url":"a","filename":"a"}]}`,
		"HTML": "<!DOCTYPE html>" + strings.Repeat("<a href=six-1.zip>", 300_000),
	} {
		if _, err := inspect(t, simple+"six/", text); !errors.Is(err, ecosystem.ErrInvalid) || !strings.Contains(err.Error(), "more than") {
			t.Errorf("a huge page of %s: %v", name, err)
		}
	}
}
