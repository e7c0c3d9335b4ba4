package all_test

import (
	"errors"
	"net/url"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/all"
	"sutler/internal/ecosystem/generic"
	"sutler/internal/ecosystem/npm"
)

// classify returns the name of the first ecosystem that knows a URL, as the engine asks them.
// base is the native endpoint's address if the request came there.
func classify(t *testing.T, list []ecosystem.Ecosystem, address, base string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if _, err := e.Classify(ecosystem.Request{Method: "GET", URL: u, Base: base}); !errors.Is(err, ecosystem.ErrUnknown) {
			return e.Profile().Name
		}
	}
	return ""
}

func TestOrder(t *testing.T) {
	list := all.New(all.Options{
		Hosts: map[string][]string{generic.Name: {"files.example"}, npm.Name: {"files.example/npm"}},
	})
	if last := list[len(list)-1].Profile().Name; last != generic.Name {
		t.Errorf("the last ecosystem is %q: %q would take what is of others", last, generic.Name)
	}
	for _, tt := range []struct{ url, want string }{
		{"https://files.example/npm/left-pad", "npm"},
		{"https://files.example/left-pad/-/left-pad-1.3.0.tgz", "npm"},
		{"https://files.example/simple/six/", "pypi"},
		{"https://files.example/tool-1.3.0.tgz", "generic"},
		{"http://files.example/debian/dists/stable/InRelease", "apt"},
		{"http://files.example/alpine/edge/main/x86_64/APKINDEX.tar.gz", "apk"},
		{"http://files.example/alpine/edge/main/x86_64/zlib-1.3.1-r2.apk", "apk"},
		{"https://other.example/tool-1.3.0.tgz", ""},
		{"https://other.example/p2/acme/pad.json", "composer"},
		{"https://other.example/dist/acme/pad/pad.zip", ""},
		{"https://other.example/stable/index.yaml", "helm"},
		{"https://other.example/forge/noarch/pad-1.0-0.conda", "conda"},
		{"https://other.example/left.pad/1.0.0/left.pad.1.0.0.nupkg", "nuget"},
		{"https://other.example/v1/providers/acme/pad/versions", "terraform"},
		{"https://other.example/api/packages/left_pad", ""},
		{"https://other.example/packages/pad", ""},
		{"https://other.example/acme/pad/resolve/main/model.onnx", ""},
		{"https://other.example/v2/acme/pad/manifests/1.2", "oci"},
		{"http://other.example/debian/dists/stable/InRelease", "apt"},
		{"http://other.example/debian/pool/main/p/pad/pad_1.2_all.deb", "apt"},
		{"https://other.example/alpine/edge/main/x86_64/APKINDEX.tar.gz", "apk"},
		{"https://other.example/npm/left-pad/-/left-pad-1.3.0.tgz", "npm"},
		{"https://other.example/npm/left-pad", ""}, // a name alone can be anything
		{"https://other.example/pypi/simple/six/", "pypi"},
		{"https://other.example/crates/left-pad/left-pad-1.2.0.crate", "cargo"},
		{"https://other.example/go/acme.example/pad/@v/v1.2.0.zip", "gomod"},
		{"https://other.example/fedora/repodata/repomd.xml", "rpm"},
		{"https://other.example/fedora/Packages/p/pad-1.2-1.noarch.rpm", "rpm"},
		{"https://other.example/maven2/org/acme/pad/1.2/pad-1.2.jar", "maven"},
		{"https://other.example/maven2/org/acme/pad/maven-metadata.xml", "maven"},
		{"https://other.example/gems/pad-1.2.0.gem", ""},
	} {
		for _, base := range []string{"", "http://cache.example"} {
			if got := classify(t, list, tt.url, base); got != tt.want {
				t.Errorf("%s by %q is of %q, want %q", tt.url, base, got, tt.want)
			}
		}
	}
}

// TestDistinct checks what would make two ecosystems stand in each other's way.
func TestDistinct(t *testing.T) {
	seen := map[string]string{}
	claim := func(kind, name, by string) {
		if other, ok := seen[kind+name]; ok && other != by {
			t.Errorf("%s %q is of both %s and %s", kind, name, other, by)
		}
		seen[kind+name] = by
	}
	for _, e := range all.New(all.Options{}) {
		p := e.Profile()
		claim("name ", p.Name, p.Title)
		for _, m := range p.Mounts {
			claim("mount ", m.Path, p.Name)
		}
		for _, s := range p.Env {
			claim("variable ", s.Name, p.Name)
		}
		for _, f := range p.Files {
			claim("file ", f.Name, p.Name)
		}
	}
}

// TestFirst checks that what stands for the first request of a client is one that its
// ecosystem knows.
func TestFirst(t *testing.T) {
	list := all.New(all.Options{})
	n := 0
	for _, e := range list {
		p := e.Profile()
		if p.First == "" {
			continue
		}
		n++
		found := false
		for _, m := range p.Mounts {
			u, ok := m.URL(p.First, "")
			if !ok || found {
				continue
			}
			found = true
			if got := classify(t, list, u.String(), "http://cache.example"); got != p.Name {
				t.Errorf("%s: %s is of %q", p.Name, u, got)
			}
			_, err := e.Classify(ecosystem.Request{Method: "HEAD", URL: u, Base: "http://cache.example"})
			if err != nil && !errors.Is(err, ecosystem.ErrBypass) {
				t.Errorf("%s: HEAD %s: %v", p.Name, u, err)
			}
		}
		if !found {
			t.Errorf("%s: %s is under no mount of it", p.Name, p.First)
		}
	}
	if n < 10 {
		t.Errorf("%d ecosystems have a first request", n)
	}
}
