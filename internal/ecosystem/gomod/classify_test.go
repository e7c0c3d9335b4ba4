package gomod_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/gomod"
)

// The proxies that the tests ask: one at the root of its host, one below a path, one that
// nobody configured.
const (
	root    = "https://proxy.example/"
	nexus   = "https://nexus.example/repository/go/"
	unknown = "https://athens.example/"
)

// request returns a request for a URL.
func request(t testing.TB, method, address string) ecosystem.Request {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return ecosystem.Request{Method: method, URL: u}
}

func TestClassify(t *testing.T) {
	e := example(t)
	const toml = "github.com/!burnt!sushi/toml"
	for _, tt := range []struct {
		url, want     string // canonical URL
		name, version string
		by            string // URL of the voucher
	}{
		{root + "github.com/%21burnt%21sushi/toml/@v/list", root + toml + "/@v/list", "github.com/BurntSushi/toml", "", ""},
		{"https://PROXY.example:443/" + toml + "/@v/list", root + toml + "/@v/list", "github.com/BurntSushi/toml", "", ""},
		{root + toml + "/@v/v1.0.0.zip", root + toml + "/@v/v1.0.0.zip", "github.com/BurntSushi/toml", "v1.0.0", root + "sumdb/sum.example/lookup/" + toml + "@v1.0.0"},
		{root + "a.example/m/@v/v1.0.0-%21r%21c1.mod", root + "a.example/m/@v/v1.0.0-!r!c1.mod", "a.example/m", "v1.0.0-RC1", root + "sumdb/sum.example/lookup/a.example/m@v1.0.0-!r!c1"},
		{root + "gopkg.in/yaml.v3/@v/v3.0.1.zip", root + "gopkg.in/yaml.v3/@v/v3.0.1.zip", "gopkg.in/yaml.v3", "v3.0.1", root + "sumdb/sum.example/lookup/gopkg.in/yaml.v3@v3.0.1"},
		{root + "golang.org/x/mod/sumdb/@v/v1.0.0.zip", root + "golang.org/x/mod/sumdb/@v/v1.0.0.zip", "golang.org/x/mod/sumdb", "v1.0.0", root + "sumdb/sum.example/lookup/golang.org/x/mod/sumdb@v1.0.0"},
		{root + "sumdb/sum.example/lookup/golang.org/x/mod/sumdb@v1.0.0", root + "sumdb/sum.example/lookup/golang.org/x/mod/sumdb@v1.0.0", "golang.org/x/mod/sumdb", "v1.0.0", ""},
		{root + "sumdb/localhost.example/sumdb/tile/8/2/000.p/1", root + "sumdb/localhost.example/sumdb/tile/8/2/000.p/1", "", "", ""},
		{root + "sumdb/sum.example/tile/8/data/x123/456", root + "sumdb/sum.example/tile/8/data/x123/456", "", "", ""},
		{nexus + "a.example/m/@latest", nexus + "a.example/m/@latest", "a.example/m", "", ""},
		{nexus + "a.example/m/@v/v1.0.0.mod", nexus + "a.example/m/@v/v1.0.0.mod", "a.example/m", "v1.0.0", nexus + "sumdb/sum.example/lookup/a.example/m@v1.0.0"},
		{unknown + "a.example/m/@v/v1.0.0.zip", unknown + "a.example/m/@v/v1.0.0.zip", "a.example/m", "v1.0.0", ""},
		{unknown + "api/go-1.2/a.example/m/@v/v1.0.0.zip", unknown + "api/go-1.2/a.example/m/@v/v1.0.0.zip", "a.example/m", "v1.0.0", ""},
		{unknown + "x/m.v2/sub/@v/list", unknown + "x/m.v2/sub/@v/list", "m.v2/sub", "", ""},
		{unknown + "go/sumdb/sum.example/supported", unknown + "go/sumdb/sum.example/supported", "", "", ""},
		{"http://127.0.0.1:3000/a.example/m/@v/main.info", "http://127.0.0.1:3000/a.example/m/@v/main.info", "a.example/m", "main", ""},
	} {
		res, err := e.Classify(request(t, "GET", tt.url))
		if err != nil {
			t.Errorf("Classify(%s): %v", tt.url, err)
			continue
		}
		var by string
		for _, v := range res.VouchedBy {
			by = v.URL
		}
		if res.URL != tt.want || res.Package != tt.name || res.Version != tt.version || by != tt.by {
			t.Errorf("Classify(%s) = %s of %q %q by %q, want %s of %q %q by %q", tt.url, res.URL, res.Package, res.Version, by, tt.want, tt.name, tt.version, tt.by)
		}
	}
}

func TestClassifyNot(t *testing.T) {
	e := example(t)
	for _, tt := range []struct {
		method, url string
		want        error
	}{
		{"GET", root, ecosystem.ErrBypass},
		{"GET", root + "healthz", ecosystem.ErrBypass},
		{"GET", root + "a.example/m/@v/v1.0.0.zip?x=1", ecosystem.ErrBypass},
		{"GET", root + "a.example/m/@v/master.zip", ecosystem.ErrBypass},
		{"GET", root + "a.example/m/@v/v2.0.0.zip", ecosystem.ErrBypass}, // not a version of that path
		{"GET", root + "a.example/m/@v/v1.0.0.exe", ecosystem.ErrBypass},
		{"GET", root + "A.example/M/@v/v1.0.0.zip", ecosystem.ErrBypass}, // upper case is escaped
		{"GET", root + "sumdb/sum.example/lookup/a.example/m@main", ecosystem.ErrBypass},
		{"GET", root + "sumdb/sum.example/tile/8/9/x", ecosystem.ErrBypass},
		{"DELETE", root + "a.example/m/@v/v1.0.0.zip", ecosystem.ErrBypass},
		{"OPTIONS", root + "a.example/m/@v/v1.0.0.zip", ecosystem.ErrRefused},
		{"GET", root + "a.example/%2e%2e/m/@v/list", ecosystem.ErrRefused},
		{"GET", root + "a.example%2fm/@v/list", ecosystem.ErrRefused},
		{"GET", root + "a.example//m/@v/list", ecosystem.ErrRefused},
		{"GET", root + "a.example/%2521m/@v/list", ecosystem.ErrRefused},
		{"GET", root + strings.Repeat("a", 3000), ecosystem.ErrRefused},
		{"GET", "https://nexus.example/repository/npm/left-pad", ecosystem.ErrUnknown},
		{"GET", unknown + "a.example/m", ecosystem.ErrUnknown},
		{"GET", unknown + "a/m/@v/list", ecosystem.ErrUnknown},
		{"GET", unknown + "sumdb/nodot/supported", ecosystem.ErrUnknown},
		{"GET", unknown + "lookup/a.example/m@v1.0.0", ecosystem.ErrUnknown},
		{"GET", unknown + "a.example/%5c/@v/list", ecosystem.ErrUnknown},
	} {
		if res, err := e.Classify(request(t, tt.method, tt.url)); !errors.Is(err, tt.want) {
			t.Errorf("Classify(%s %s) = %+v, %v; want %v", tt.method, tt.url, res, err, tt.want)
		}
	}
}

// TestPublic checks what holds of the public proxies and databases, whichever they are.
func TestPublic(t *testing.T) {
	e := gomod.New(gomod.Options{})
	var proxies, databases int
	for _, host := range e.Profile().Hosts {
		zip, err := e.Classify(request(t, "GET", "https://"+host+"/a.example/m/@v/v1.0.0.zip"))
		if err == nil && len(zip.VouchedBy) == 1 {
			proxies++
			u, _ := url.Parse(zip.VouchedBy[0].URL)
			name, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/sumdb/"), "/")
			known, err := e.Classify(request(t, "GET", "https://"+host+"/sumdb/"+name+"/supported"))
			if err != nil || known.Literal == nil {
				t.Errorf("%s: %+v, %v; want a literal answer whether it passes on %s", host, known, err, name)
			}
		}
		lookup, err := e.Classify(request(t, "GET", "https://"+host+"/lookup/a.example/m@v1.0.0"))
		if err == nil && lookup.Version == "v1.0.0" {
			databases++
		}
	}
	if proxies == 0 || databases == 0 {
		t.Errorf("%d proxies that a database vouches for, %d databases; want some", proxies, databases)
	}
	private := gomod.New(gomod.Options{Hosts: []string{"proxy.example"}})
	if zip, err := private.Classify(request(t, "GET", root+"a.example/m/@v/v1.0.0.zip")); err != nil || len(zip.VouchedBy) > 0 {
		t.Errorf("zip of a private proxy: %+v, %v; want nobody to be asked", zip, err)
	}
}

func TestParseDatabase(t *testing.T) {
	lookup := gomod.New(gomod.Options{}).Profile().Hosts
	for _, host := range lookup {
		if db, err := gomod.ParseDatabase(host); err == nil && strings.HasPrefix(host, "sum.") {
			e := gomod.New(gomod.Options{Hosts: []string{"proxy.example"}, SumDB: db})
			zip, err := e.Classify(request(t, "GET", root+"a.example/m/@v/v1.0.0.zip"))
			if err != nil || len(zip.VouchedBy) != 1 || !strings.Contains(zip.VouchedBy[0].URL, "/sumdb/"+host+"/") {
				t.Errorf("with %s: %+v, %v", host, zip, err)
			}
			if _, err := gomod.ParseDatabase(strings.Replace(exampleKey, "sum.example", host, 1)); err == nil {
				t.Error("another key was taken for the public database's")
			}
		}
	}
	for _, bad := range []string{"sum.example", "sum.example+00000000+AAAA", "+"} {
		if _, err := gomod.ParseDatabase(bad); err == nil {
			t.Errorf("ParseDatabase(%q) succeeded", bad)
		}
	}
}
