package generic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
)

// body returns a document that was fetched from a URL.
func body(t testing.TB, e *Ecosystem, address, text string) ecosystem.Body {
	t.Helper()
	res, err := e.Classify(request(t, "GET", address))
	if err != nil {
		t.Fatal(err)
	}
	return ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(text), Size: int64(len(text))}
}

// inspect returns the claims of a document, as lines that leave out its directory.
func inspect(t testing.TB, e *Ecosystem, address, text string) []string {
	t.Helper()
	above, _ := splitPath(address)
	var lines []string
	_, err := e.Inspect(t.Context(), body(t, e, address, text), nil, func(c ecosystem.Claim) error {
		lines = append(lines, fmt.Sprintf("%s %s", strings.TrimPrefix(c.URL, above), c.Digest.Short()))
		return nil
	})
	if err != nil {
		t.Errorf("Inspect(%s): %v", address, err)
	}
	return lines
}

func TestInspect(t *testing.T) {
	var (
		a   = strings.Repeat("a1", 32)
		b   = strings.Repeat("b2", 32)
		big = strings.Repeat("c3", 64)
		own = "https://downloads.example/d/tool-1.2.3.zip"
		all = "https://downloads.example/d/SHA256SUMS"
	)
	for _, tt := range []struct {
		name, url, text string
		want            []string
	}{
		{"digest alone", own + ".sha256", a + "\n", []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1"}},
		{"digest alone, upper case, no end of line", own + ".sha256", strings.ToUpper(a), []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1"}},
		{"digest and name", own + ".sha256", a + "  tool-1.2.3.zip\n", []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1"}},
		{"digest and name with the builder's directory", own + ".sha256", a + " *dist/out/tool-1.2.3.zip\r\n", []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1"}},
		{"about another file", own + ".sha256", a + "  other-1.2.3.zip\n", nil},
		{"a list where one file is meant", own + ".sha256", a + "  tool-1.2.3.zip\n" + b + "  other-1.2.3.zip\n", []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1"}},
		{"list", all, a + "  tool-1.2.3.zip\n" + b + " *./other-1.2.3.zip\n", []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1", "other-1.2.3.zip sha256:b2b2b2b2b2b2"}},
		{"list, tags in front", all, "SHA256 (tool-1.2.3.zip) = " + a + "\nSHA2-256(other-1.2.3.zip)= " + b, []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1", "other-1.2.3.zip sha256:b2b2b2b2b2b2"}},
		{"list, signed in clear text", all, "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + a + "  tool-1.2.3.zip\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n", []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1"}},
		{"list of SHA-512", all, big + "  tool-1.2.3.zip\n", []string{"tool-1.2.3.zip sha512:c3c3c3c3c3c3"}},
		{"same line twice", all, a + "  tool-1.2.3.zip\n" + a + "  tool-1.2.3.zip\n", []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1"}},
		{"two digests of one file", all, a + "  tool-1.2.3.zip\n" + b + "  tool-1.2.3.zip\n" + b + "  other-1.2.3.zip\n", []string{"other-1.2.3.zip sha256:b2b2b2b2b2b2"}},
		{"two algorithms", all, a + "  tool-1.2.3.zip\n" + big + "  tool-1.2.3.zip\n", []string{"tool-1.2.3.zip sha256:a1a1a1a1a1a1", "tool-1.2.3.zip sha512:c3c3c3c3c3c3"}},
		{"other directories", all, a + "  ../tool-1.2.3.zip\n" + a + "  sub/tool-1.2.3.zip\n" + a + "  /tool-1.2.3.zip\n" + a + "  https://evil.example/tool-1.2.3.zip\n", nil},
		{"names with marks", all, a + "  tool-1.2.3?x.zip\n" + a + "  ..\n" + a + "  %2e%2e\n", []string{"tool-1.2.3%3Fx.zip sha256:a1a1a1a1a1a1"}},
		{"files that move", all, a + "  tool-latest.zip\n" + a + "  README\n", nil},
		{"digest alone in a list", all, a + "\n", nil},
		{"weak digests", all, strings.Repeat("d", 40) + "  tool-1.2.3.zip\n" + strings.Repeat("d", 32) + "  tool-1.2.3.zip\n", nil},
		{"not hexadecimal", all, strings.Repeat("zz", 32) + "  tool-1.2.3.zip\n", nil},
		{"login page", all, "<!DOCTYPE html><html><body>Sign in: " + a + "  tool-1.2.3.zip</body>", nil},
		{"groups", own + ".sha512", "tool-1.2.3.zip: C3C3C3C3 C3C3C3C3\n  " + strings.Repeat("C3C3C3C3 ", 14) + "\n", []string{"tool-1.2.3.zip sha512:c3c3c3c3c3c3"}},
		{"groups of another file", own + ".sha512", "other.zip: " + strings.Repeat("C3C3C3C3 ", 16), nil},
		{"line without end", all, strings.Repeat("a", 1<<20), nil},
		{"no checksum file", "https://downloads.example/d/install.sh", a + "  tool-1.2.3.zip\n", nil},
		{"nothing", all, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// On this host both .sha256 and SHA256SUMS vouch, but .sha512 does not.
			e := example()
			if strings.HasSuffix(tt.url, ".sha512") {
				e.known["downloads.example"] = host{"downloads.example", byName, beside(".sha512")}
			}
			if got := inspect(t, e, tt.url, tt.text); !slices.Equal(got, tt.want) {
				t.Errorf("claims = %q, want %q", got, tt.want)
			}
		})
	}
}

var (
	errDisk = errors.New("input/output error")
	errFull = errors.New("no space left")
)

type brokenDisk struct{}

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestInspectErrors(t *testing.T) {
	e := example()
	doc := body(t, e, "https://downloads.example/tool-1.2.3.zip.sha256", strings.Repeat("a", 64))
	_, err := e.Inspect(t.Context(), doc, nil, func(ecosystem.Claim) error { return errFull })
	if !errors.Is(err, errFull) {
		t.Errorf("Inspect = %v, want what emit returned", err)
	}
	doc.ReaderAt = brokenDisk{}
	if _, err := e.Inspect(t.Context(), doc, nil, nil); !errors.Is(err, errDisk) {
		t.Errorf("Inspect = %v, want what reading returned", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	doc = body(t, e, "https://downloads.example/SHA256SUMS", "a\nb\n")
	if _, err := e.Inspect(ctx, doc, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Inspect = %v, want that it was cancelled", err)
	}
}

func TestView(t *testing.T) {
	e := example()
	const text = "#!/bin/sh\necho \x00\xff\r\n"
	var out bytes.Buffer
	err := e.View(&out, body(t, e, "https://downloads.example/install.sh", text), ecosystem.View{Link: strings.ToUpper})
	if err != nil || out.String() != text {
		t.Errorf("View = %q, %v", out.String(), err)
	}
}

// FuzzChecksums checks that a checksum file speaks of nothing but what lies beside it.
func FuzzChecksums(f *testing.F) {
	f.Add(strings.Repeat("a", 64)+"  tool-1.2.3.zip\n", true)
	f.Add("SHA256 (tool-1.2.3.zip) = "+strings.Repeat("b", 64), true)
	f.Add("tool-1.2.3.zip: "+strings.Repeat("C3C3 ", 32), false)
	e := example()
	f.Fuzz(func(t *testing.T, text string, list bool) {
		address := "https://downloads.example/d/tool-1.2.3.zip.sha256"
		if list {
			address = "https://downloads.example/d/SHA256SUMS"
		}
		_, err := e.Inspect(t.Context(), body(t, e, address, text), nil, func(c ecosystem.Claim) error {
			res, err := e.Classify(request(t, "GET", c.URL))
			above, name := splitPath(c.URL)
			if err != nil || res.URL != c.URL || above != "https://downloads.example/d/" || name == "" || !c.Digest.Strong() {
				t.Errorf("claim %+v leaves the directory of the checksum file (%v)", c, err)
			}
			if !list && name != "tool-1.2.3.zip" {
				t.Errorf("claim about %q, which is another file", c.URL)
			}
			return nil
		})
		if err != nil {
			t.Errorf("Inspect: %v", err)
		}
	})
}
