package oci_test

import (
	"net/url"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/oci"
)

// example knows a private registry besides the public ones.
func example() *oci.Ecosystem { return oci.New(oci.Options{Hosts: []string{"registry.example"}}) }

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }

// TestResolve finds the registry that a client of the native endpoint means.
func TestResolve(t *testing.T) {
	m := example().Profile().Mounts[0]
	for _, tt := range []struct{ path, query, want string }{
		{"/v2/", "", m.Origin},
		{"/v2/library/debian/manifests/12", "", m.Origin + "library/debian/manifests/12"},
		{"/v2/debian/manifests/12", "", m.Origin + "debian/manifests/12"},
		{"/v2/team/app/manifests/1", "ns=registry.example", "https://registry.example/v2/team/app/manifests/1"},
		{"/v2/team/app/tags/list", "n=5&ns=registry.example", "https://registry.example/v2/team/app/tags/list?n=5"},
		{"/v2/registry.example/team/app/manifests/1", "", "https://registry.example/v2/team/app/manifests/1"},
		{"/v2/registry.example:5000/app/manifests/1", "", "https://registry.example:5000/v2/app/manifests/1"},
		{"/v2/127.0.0.1:5000/app/manifests/1", "", "http://127.0.0.1:5000/v2/app/manifests/1"},
		{"/v2/localhost/app/manifests/1", "", "http://localhost/v2/app/manifests/1"},
		{"/v2/", "ns=registry.example", "https://registry.example/v2/"},
		{"/v2/library/debian/manifests/12", "ns=docker.io", m.Origin + "library/debian/manifests/12"},
	} {
		u, ok := m.URL(tt.path, tt.query)
		if !ok || u.String() != tt.want {
			t.Errorf("URL(%s?%s) = %v, %v; want %s", tt.path, tt.query, u, ok, tt.want)
		}
	}
}

// TestName finds the way back from a URL at a registry to the native endpoint.
func TestName(t *testing.T) {
	m := example().Profile().Mounts[0]
	for origin, want := range map[string]string{
		"https://registry.example/v2/team/app/tags/list?last=b&n=2": "/v2/registry.example/team/app/tags/list?last=b&n=2",
		"https://registry.example:5000/v2/app/tags/list":            "/v2/registry.example:5000/app/tags/list",
		"http://127.0.0.1:5000/v2/app/tags/list":                    "/v2/127.0.0.1:5000/app/tags/list",
		"http://localhost/v2/app/tags/list":                         "/v2/localhost/app/tags/list",
		m.Origin + "library/app/tags/list":                          "/v2/library/app/tags/list",
		"http://registry.example/v2/app/tags/list":                  "",
		"https://registry/v2/app/tags/list":                         "",
		"https://registry.example/v1/app":                           "",
		"https://registry.example/a/v2/app":                         "",
		"https://me@registry.example/v2/app":                        "",
	} {
		got, ok := m.Native(origin)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s is at %q, %v, want %q", origin, got, ok, want)
		}
		if path, query, _ := strings.Cut(got, "?"); ok {
			if u, ok := m.URL(path, query); !ok || u.String() != origin {
				t.Errorf("%s leads back to %v", got, u)
			}
		}
	}
}

// TestOrigin asks registries of this machine over plain HTTP, as engines do, and no others.
func TestOrigin(t *testing.T) {
	for host, want := range map[string]string{
		"Registry.example": "https://registry.example/", "registry.example:5000": "https://registry.example:5000/",
		"localhost:5000": "http://localhost:5000/", "127.0.0.1:5000": "http://127.0.0.1:5000/", "[::1]:5000": "http://[::1]:5000/",
		"127.example": "https://127.example/",
	} {
		if got := oci.Origin(host); got != want {
			t.Errorf("Origin(%s) = %s, want %s", host, got, want)
		}
	}
	if got, want := oci.Origin("index.docker.io")+"v2/", example().Profile().Mounts[0].Origin; got != want {
		t.Errorf("the default registry is %s by name, %s by mount", got, want)
	}
}

// TestPush passes pushes through to registries, and refuses them at sutler's own endpoint.
func TestPush(t *testing.T) {
	u, ok := example().Profile().Mounts[0].URL("/v2/app/blobs/uploads/", "")
	if !ok {
		t.Fatal("not mounted")
	}
	for base, want := range map[string]error{"": ecosystem.ErrBypass, "http://127.0.0.1:7885": ecosystem.ErrRefused} {
		if _, err := example().Classify(ecosystem.Request{Method: "POST", URL: u, Base: base}); err != want {
			t.Errorf("POST at %q: %v, want %v", base, err, want)
		}
	}
}

// TestNoPath finds nothing at sutler's own endpoint under a path that the protocol has not.
func TestNoPath(t *testing.T) {
	u, ok := example().Profile().Mounts[0].URL("/v2/app/manifests/sha256:baddigeststring", "")
	if !ok {
		t.Fatal("not mounted")
	}
	for base, want := range map[string]error{"": ecosystem.ErrBypass, "http://127.0.0.1:7885": ecosystem.ErrUnknown} {
		if _, err := example().Classify(ecosystem.Request{Method: "GET", URL: u, Base: base}); err != want {
			t.Errorf("at %q: %v, want %v", base, err, want)
		}
	}
}

// TestLibrary completes the name of an official image on the default registry only.
func TestLibrary(t *testing.T) {
	m := example().Profile().Mounts[0]
	for origin, want := range map[string]string{m.Origin: "library/debian", "https://registry.example/v2/": "debian"} {
		u, err := url.Parse(origin + "debian/tags/list")
		if err != nil {
			t.Fatal(err)
		}
		res, err := example().Classify(ecosystem.Request{Method: "GET", URL: u})
		if err != nil || res.Package != want {
			t.Errorf("%s is about %q, %v; want %q", u, res.Package, err, want)
		}
	}
}
