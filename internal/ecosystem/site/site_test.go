package site_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

func TestRead(t *testing.T) {
	l := site.New("registry.example", "Nexus.example/repository/php/", "127.0.0.1:8080")
	for _, tt := range []struct {
		method, url, base, want string
		known                   bool
		err                     error
	}{
		{"GET", "https://registry.example/a/b%2B1~c", "https://registry.example", "https://registry.example/a/b+1~c", true, nil},
		{"HEAD", "http://Registry.example:80/a/", "http://registry.example", "http://registry.example/a", true, nil},
		{"GET", "https://registry.example", "https://registry.example", "https://registry.example", true, nil},
		{"GET", "https://nexus.example/repository/php/p2/x", "https://nexus.example/repository/php", "https://nexus.example/repository/php/p2/x", true, nil},
		{"GET", "https://nexus.example/repository/npm/x", "https://nexus.example", "https://nexus.example/repository/npm/x", false, nil},
		{"GET", "http://127.0.0.1:8080/x", "http://127.0.0.1:8080", "http://127.0.0.1:8080/x", true, nil},
		{"GET", "http://127.0.0.1:8081/x", "http://127.0.0.1:8081", "http://127.0.0.1:8081/x", false, nil},
		{"GET", "https://other.example/x", "https://other.example", "https://other.example/x", false, nil},
		{"GET", "https://registry.example/x?y", "", "", false, ecosystem.ErrBypass},
		{"GET", "https://u:p@registry.example/x", "", "", false, ecosystem.ErrBypass},
		{"POST", "https://registry.example/x", "", "", false, ecosystem.ErrBypass},
		{"TRACE", "https://registry.example/x", "", "", false, ecosystem.ErrRefused},
		{"GET", "https://registry.example/a/%2e%2e/x", "", "", false, ecosystem.ErrRefused},
		{"GET", "https://registry.example/a%2fx", "", "", false, ecosystem.ErrRefused},
		{"GET", "https://registry.example/a//x", "", "", false, ecosystem.ErrRefused},
		{"GET", "https://other.example/x?y", "", "", false, ecosystem.ErrUnknown},
		{"PUT", "https://other.example/x", "", "", false, ecosystem.ErrUnknown},
		{"TRACE", "https://other.example/x", "", "", false, ecosystem.ErrUnknown},
		{"GET", "https://other.example/%00", "", "", false, ecosystem.ErrUnknown},
		{"GET", "ftp://registry.example/x", "", "", false, ecosystem.ErrUnknown},
	} {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Read(ecosystem.Request{Method: tt.method, URL: u})
		if !errors.Is(err, tt.err) || err == nil && (got.Base != tt.base || got.URL() != tt.want || got.Known != tt.known) {
			t.Errorf("Read(%s %s) = %+v (%s), %v; want %s in %s, %v", tt.method, tt.url, got, got.URL(), err, tt.want, tt.base, tt.err)
		}
	}
	if got := site.New("a.example", "a.example/x", "b.example:80").Hosts(); !slices.Equal(got, []string{"a.example", "b.example"}) {
		t.Errorf("Hosts = %q", got)
	}
}

// TestLocate checks that methods and queries do not matter, and what becomes of the last slash.
func TestLocate(t *testing.T) {
	l := site.New("registry.example/gems")
	for raw, folder := range map[string]bool{
		"https://registry.example/gems": false, "https://registry.example/gems/": false,
		"https://registry.example/gems/x?y": false, "https://registry.example/gems/x/": true,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Locate(u); err != nil || !got.Known || got.Folder != folder {
			t.Errorf("Locate(%s) = %+v, %v, want a folder: %v", raw, got, err, folder)
		}
	}
	if _, err := l.Locate(nil); !errors.Is(err, ecosystem.ErrUnknown) {
		t.Errorf("Locate(nil) = %v", err)
	}
}

func TestUp(t *testing.T) {
	u := &url.URL{Scheme: "https", Host: "registry.example", Path: "/a/b c/d"}
	got, err := site.New().Read(ecosystem.Request{Method: "GET", URL: u})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{0: "/a/b%20c/d/x", 1: "/a/b%20c/x", 3: "/x", 9: "/x"} {
		if got := got.Up(n, "x"); got != "https://registry.example"+want {
			t.Errorf("Up(%d) = %s, want %s", n, got, want)
		}
	}
}
