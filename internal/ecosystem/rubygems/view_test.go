package rubygems_test

import (
	"bytes"
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

// TestShow checks that young versions are left out, and that the others keep their bytes.
func TestShow(t *testing.T) {
	sum := "checksum:" + strings.Repeat("a", 64)
	old, young, undated := "1.0.0 rack:>= 2|"+sum+",created_at:2026-01-01T00:00:00Z\n", "1.0.1 |"+sum+",created_at:2026-03-01T00:00:00Z\n", "0.9.0 |"+sum
	cutoff := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	v := ecosystem.View{Show: func(_ string, created time.Time) bool { return created.Before(cutoff) }}
	var got bytes.Buffer
	err := example().View(&got, body(t, nexus+"info/inner", "---\n"+old+young+undated), v)
	if want := "---\n" + old + undated; err != nil || got.String() != want {
		t.Errorf("View wrote %q, %v, want %q", got.String(), err, want)
	}
	got.Reset()
	list := "---\ninner 1.0.0,1.0.1 " + strings.Repeat("b", 32) + "\n"
	if err := example().View(&got, body(t, nexus+"versions", list), v); err != nil || got.String() != list {
		t.Errorf("View changed the list of versions: %q, %v", got.String(), err)
	}
}

// TestInvalid checks lines that no server writes.
func TestInvalid(t *testing.T) {
	sum := strings.Repeat("a", 64)
	for address, texts := range map[string][]string{
		nexus + "versions":   {"inner 1.0.0\n", "inner 1.0.0 abc\n", "inner 1.0.0 " + strings.Repeat("x", 32) + "\n", "../x 1.0.0 " + strings.Repeat("b", 32) + "\n", strings.Repeat("x", 5<<20)},
		nexus + "names":      {"a b\n", "\n", "../a\n"},
		nexus + "info/inner": {"1.0.0\n", "1.0.0 rack\n", "x |checksum:" + sum + "\n", "1.0.0 |checksum:" + sum + ",checksum:" + sum + "\n", "1.0-../x |\n"},
	} {
		for _, text := range texts {
			_, err := example().Inspect(t.Context(), body(t, address, text), nil, func(ecosystem.Claim) error { return nil })
			if !errors.Is(err, ecosystem.ErrInvalid) {
				t.Errorf("%s with %.40q: %v, want ErrInvalid", address, text, err)
			}
		}
	}
}

// TestPublic checks that the host of the public index vouches for the gems of the public site.
func TestPublic(t *testing.T) {
	site, index := public()
	var got []string
	text := "---\n1.0.0-java |checksum:" + strings.Repeat("a", 64) + "\n"
	_, err := example().Inspect(t.Context(), body(t, index+"info/rack", text), nil, func(c ecosystem.Claim) error {
		got = append(got, c.URL)
		return nil
	})
	if want := []string{index + "gems/rack-1.0.0-java.gem", site + "gems/rack-1.0.0-java.gem"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("claims about %q, %v, want %q", got, err, want)
	}
}
