package cargo_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem"
)

// body returns a document of that URL.
func body(t testing.TB, address, text string) ecosystem.Body {
	t.Helper()
	res, err := example().Classify(request(t, "GET", address))
	if err != nil {
		t.Fatal(err)
	}
	return ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(text), Size: int64(len(text))}
}

// line returns a line of an index, without its newline.
func line(version, published string) string {
	l := `{"name":"inner","vers":"` + version + `","cksum":"` + strings.Repeat("a", 64) + `","yanked":false`
	if published != "" {
		l += `,"pubtime":"` + published + `"`
	}
	return l + "}"
}

// TestViewSame checks that documents pass unchanged where links are not mapped.
func TestViewSame(t *testing.T) {
	for address, text := range map[string]string{
		private + "config.json": "{ \"dl\": \"https://files.example\", \"more\": [1] }\n",
		private + "in/ne/inner": line("1.0.0", ""),
	} {
		var got bytes.Buffer
		v := ecosystem.View{Link: func(u string) string { return u }}
		if err := example().View(&got, body(t, address, text), v); err != nil || got.String() != text {
			t.Errorf("%s: %q, %v", address, got.String(), err)
		}
	}
}

// TestShow checks that young versions are left out, and that the others keep their bytes.
func TestShow(t *testing.T) {
	old, young, undated := line("1.0.0", "2026-01-01T00:00:00Z"), line("1.0.1", "2026-03-01T00:00:00Z"), line("0.9.0", "")
	cutoff := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	v := ecosystem.View{Show: func(_ string, published time.Time) bool { return published.Before(cutoff) }}
	var got bytes.Buffer
	err := example().View(&got, body(t, private+"in/ne/inner", old+"\n"+young+"\n"+undated), v)
	if want := old + "\n" + undated; err != nil || got.String() != want {
		t.Errorf("View wrote %q, %v, want %q", got.String(), err, want)
	}
}

// TestLimits checks that what is too big is invalid.
func TestLimits(t *testing.T) {
	for address, text := range map[string]string{
		private + "config.json": `{"dl":"https://files.example/` + strings.Repeat("x", 70<<10) + `"}`,
		private + "in/ne/inner": strings.Repeat(" ", 5<<20),
	} {
		_, err := example().Inspect(t.Context(), body(t, address, text), nil, func(ecosystem.Claim) error { return nil })
		if !errors.Is(err, ecosystem.ErrInvalid) {
			t.Errorf("%s of %d bytes: %v", address, len(text), err)
		}
	}
}

// config is a Source whose config.json has these bytes.
type config string

// Document returns the bytes.
func (c config) Document(_ context.Context, res ecosystem.Resource) (ecosystem.Body, error) {
	return ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(string(c)), Size: int64(len(c))}, nil
}

// TestPublic checks that the public index vouches for crates on the host that has them, and
// for those that the API redirects to it.
func TestPublic(t *testing.T) {
	index, crates, site := public(example())
	src := config(`{"dl":"` + crates + `crates","api":"` + strings.TrimSuffix(site, "/") + `"}`)
	var got []string
	_, err := example().Inspect(t.Context(), body(t, index+"in/ne/inner", line("1.0.0", "")), src, func(c ecosystem.Claim) error {
		got = append(got, c.URL)
		return nil
	})
	want := []string{crates + "crates/inner/1.0.0/download", crates + "crates/inner/inner-1.0.0.crate", site + "api/v1/crates/inner/1.0.0/download"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("claims about %q, %v, want %q", got, err, want)
	}
}
