package upstream_test

import (
	"io"
	"net/http"
	"slices"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/upstream/origintest"
)

// TestKeep keeps the fields that are asked for, also those of a redirect.
func TestKeep(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.Behave("/a", origintest.Status(http.StatusFound, "Location", "/b", "X-Commit", "one", "X-Other", "no"))
	o.Put("/b", origintest.Content{Body: "b", Header: http.Header{"X-Commit": {"two"}, "X-Size": {"1"}}})
	res := artifact(o.URL("/a"))
	res.Keep = []string{"X-Commit", "X-Size", "X-None"}
	resp, err := c.Fetch(t.Context(), res, freshness.Validator{})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if want := []ecosystem.Setting{{Name: "X-Commit", Value: "one"}, {Name: "X-Size", Value: "1"}}; !slices.Equal(resp.Header, want) {
		t.Errorf("Header = %v, want %v", resp.Header, want)
	}
}

// TestProbe revalidates by HEAD what an origin states the digest of.
func TestProbe(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.Put("/tag", origintest.Content{Body: "one", Header: http.Header{"X-Digest": {"sha256:1"}}})
	res := ecosystem.Resource{Ecosystem: "toy", URL: o.URL("/tag"), Kind: ecosystem.Document, Probe: "X-Digest"}
	first, err := c.Fetch(t.Context(), res, freshness.Validator{})
	if err != nil || first.Stated != "sha256:1" {
		t.Fatalf("Fetch = %+v, %v", first, err)
	}
	if err := first.Body.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := c.Fetch(t.Context(), res, first.Validator)
	if err != nil || !again.NotModified {
		t.Fatalf("Fetch = %+v, %v, want not modified", again, err)
	}
	o.Put("/tag", origintest.Content{Body: "two", Header: http.Header{"X-Digest": {"sha256:2"}}})
	changed, err := c.Fetch(t.Context(), res, first.Validator)
	if err != nil {
		t.Fatal(err)
	}
	defer changed.Body.Close()
	if b, err := io.ReadAll(changed.Body); err != nil || string(b) != "two" || changed.Stated != "sha256:2" {
		t.Errorf("Fetch = %q, %+v, %v", b, changed, err)
	}
	var methods []string
	for _, r := range o.Requests("/tag") {
		methods = append(methods, r.Method)
	}
	if want := []string{"GET", "HEAD", "HEAD", "GET"}; !slices.Equal(methods, want) {
		t.Errorf("the origin was asked %v, want %v", methods, want)
	}
}
