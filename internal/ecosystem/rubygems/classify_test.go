package rubygems_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/rubygems"
)

// nexus is a private server that lies under a path of its host.
const nexus = "https://nexus.example/repository/gems/"

// options know the servers of the tests.
func options() rubygems.Options {
	return rubygems.Options{Hosts: []string{"Nexus.example/repository/gems", "gems.example", "gems.example:8443"}}
}

func example() *rubygems.Ecosystem { return rubygems.New(options()) }

// public returns the addresses of the public site and of its index, with a slash at their ends.
func public() (site, index string) {
	hosts := example().Profile().Hosts
	return "https://" + hosts[0] + "/", "https://" + hosts[1] + "/"
}

// request returns a request for a URL by the gem command.
func request(t testing.TB, method, address string) ecosystem.Request {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return ecosystem.Request{Method: method, URL: u, Client: "Ruby, RubyGems/3.3.15 x86_64-linux Ruby/3.1.2"}
}

func TestClassify(t *testing.T) {
	site, index := public()
	for _, tt := range []struct {
		url           string
		want          string // canonical URL, "" for the one asked for
		name, version string
		by            []string // URLs of the vouchers
	}{
		{index + "versions", "", "", "", nil},
		{index + "names", "", "", "", nil},
		{site + "versions", "", "", "", nil},
		{index + "info/rack", "", "rack", "", nil},
		{index + "info/Rack%2Djs", index + "info/Rack-js", "Rack-js", "", nil},
		{"https://GEMS.example:443/info/rack", "https://gems.example/info/rack", "rack", "", nil},
		{site + "gems/rack-3.0.0.gem", "", "rack", "3.0.0", []string{index + "info/rack", site + "info/rack"}},
		{index + "gems/rack-3.0.0.gem", "", "rack", "3.0.0", []string{index + "info/rack"}},
		{nexus + "gems/rack-3.0.0.rc1.gem", "", "rack", "3.0.0.rc1", []string{nexus + "info/rack"}},
		{nexus + "gems/a-b_c-1-java.gem", "", "a-b_c", "1-java", []string{nexus + "info/a-b_c"}},
		{nexus + "gems/foo-2-1.0.0.gem", "", "foo-2", "1.0.0", []string{nexus + "info/foo-2"}},
		{nexus + "gems/foo-3d-1.0.gem", "", "foo-3d", "1.0", []string{nexus + "info/foo-3d"}},
		{nexus + "gems/x-1.6.0-x86_64-darwin-20.gem", "", "x", "1.6.0-x86_64-darwin-20", []string{nexus + "info/x", nexus + "info/x-1.6.0-x86_64-darwin"}},
		{"https://gems.example:8443/gems/rack-1.0.gem", "", "rack", "1.0", []string{"https://gems.example:8443/info/rack"}},
		{site + "quick/Marshal.4.8/rack-3.0.0.gemspec.rz", "", "rack", "3.0.0", nil},
		{site, "", "", "", nil},
		{nexus, "", "", "", nil},
	} {
		res, err := example().Classify(request(t, "GET", tt.url))
		if err != nil {
			t.Errorf("Classify(%s): %v", tt.url, err)
			continue
		}
		var by []string
		for _, v := range res.VouchedBy {
			by = append(by, v.URL)
		}
		if tt.want == "" {
			tt.want = tt.url
		}
		if res.URL != tt.want || res.Package != tt.name || res.Version != tt.version || !slices.Equal(by, tt.by) {
			t.Errorf("Classify(%s) = %s %q %q by %q, want %s %q %q by %q",
				tt.url, res.URL, res.Package, res.Version, by, tt.want, tt.name, tt.version, tt.by)
		}
		if artifact := res.Kind == ecosystem.Artifact; artifact != (tt.by != nil) {
			t.Errorf("Classify(%s).Kind = %v", tt.url, res.Kind)
		}
	}
}

func TestClassifyOthers(t *testing.T) {
	site, _ := public()
	for _, tt := range []struct {
		method, url string
		want        error
	}{
		{"GET", "https://other.example/gems/rack-3.0.0.gem", ecosystem.ErrUnknown},
		{"GET", "https://nexus.example/repository/raw/versions", ecosystem.ErrUnknown},
		{"GET", "ftp://nexus.example/repository/gems/versions", ecosystem.ErrUnknown},
		{"POST", site + "api/v1/gems", ecosystem.ErrBypass},
		{"DELETE", site + "api/v1/gems/yank", ecosystem.ErrBypass},
		{"GET", site + "api/v1/search.json?query=rack", ecosystem.ErrBypass},
		{"GET", site + "gems/rack", ecosystem.ErrBypass},
		{"GET", site + "gems/rack.gem", ecosystem.ErrBypass},
		{"GET", site + "info/rack/", ecosystem.ErrBypass},
		{"GET", site + "info/.rack", ecosystem.ErrBypass},
		{"GET", site + "versions?x=1", ecosystem.ErrBypass},
		{"GET", site + "quick/Marshal.4.8/rack.gemspec.rz", ecosystem.ErrBypass},
		{"GET", "https://me:secret@nexus.example/repository/gems/versions", ecosystem.ErrBypass},
		{"GET", site + "specs.4.8.gz", ecosystem.ErrRefused},
		{"GET", nexus + "latest_specs.4.8", ecosystem.ErrRefused},
		{"GET", nexus + "prerelease_specs.4.8.gz", ecosystem.ErrRefused},
		{"GET", nexus + "api/v1/dependencies?gems=rack", ecosystem.ErrRefused},
		{"TRACE", site + "versions", ecosystem.ErrRefused},
		{"GET", site + "info/../versions", ecosystem.ErrRefused},
		{"GET", site + "info/%2e%2e", ecosystem.ErrRefused},
		{"GET", site + "info//rack", ecosystem.ErrRefused},
		{"GET", site + "info/rack%00", ecosystem.ErrRefused},
		{"GET", site + "info/rack%255c", ecosystem.ErrRefused},
	} {
		if res, err := example().Classify(request(t, tt.method, tt.url)); !errors.Is(err, tt.want) {
			t.Errorf("Classify(%s %s) = %s, %v, want %v", tt.method, tt.url, res.URL, err, tt.want)
		}
	}
}

// TestLegacy checks what the option lets through.
func TestLegacy(t *testing.T) {
	o := options()
	o.Legacy = true
	e := rubygems.New(o)
	res, err := e.Classify(request(t, "GET", nexus+"specs.4.8.gz"))
	if err != nil || res.Kind != ecosystem.Document || !res.Sealed || res.URL != nexus+"specs.4.8.gz" {
		t.Errorf("Classify = %+v, %v", res, err)
	}
	for _, address := range []string{nexus + "api/v1/dependencies?gems=rack", nexus} {
		if res, err := e.Classify(request(t, "GET", address)); !errors.Is(err, ecosystem.ErrBypass) {
			t.Errorf("Classify(%s) = %s, %v, want it passed through", address, res.URL, err)
		}
	}
}
