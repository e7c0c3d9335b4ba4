package rubygems_test

import (
	"errors"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
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

// client is the User-Agent of the client that asks.
const client = "Ruby, RubyGems/3.3.15 x86_64-linux Ruby/3.1.2"

// request returns a request for a URL.
func request(t testing.TB, method, address string) ecosystem.Request {
	t.Helper()
	return ecosystemtest.Request(t, method, address, client)
}

func TestClassify(t *testing.T) {
	site, index := public()
	ecosystemtest.CheckClassified(t, example(), client, []ecosystemtest.Classified{
		{index + "versions", "", "", "", ""},
		{index + "names", "", "", "", ""},
		{site + "versions", "", "", "", ""},
		{index + "info/rack", "", "rack", "", ""},
		{index + "info/Rack%2Djs", index + "info/Rack-js", "Rack-js", "", ""},
		{"https://GEMS.example:443/info/rack", "https://gems.example/info/rack", "rack", "", ""},
		{site + "gems/rack-3.0.0.gem", "", "rack", "3.0.0", index + "info/rack " + site + "info/rack"},
		{index + "gems/rack-3.0.0.gem", "", "rack", "3.0.0", index + "info/rack"},
		{nexus + "gems/rack-3.0.0.rc1.gem", "", "rack", "3.0.0.rc1", nexus + "info/rack"},
		{nexus + "gems/a-b_c-1-java.gem", "", "a-b_c", "1-java", nexus + "info/a-b_c"},
		{nexus + "gems/foo-2-1.0.0.gem", "", "foo-2", "1.0.0", nexus + "info/foo-2"},
		{nexus + "gems/foo-3d-1.0.gem", "", "foo-3d", "1.0", nexus + "info/foo-3d"},
		{nexus + "gems/x-1.6.0-x86_64-darwin-20.gem", "", "x", "1.6.0-x86_64-darwin-20", nexus + "info/x " + nexus + "info/x-1.6.0-x86_64-darwin"},
		{"https://gems.example:8443/gems/rack-1.0.gem", "", "rack", "1.0", "https://gems.example:8443/info/rack"},
		{site + "quick/Marshal.4.8/rack-3.0.0.gemspec.rz", "", "rack", "3.0.0", ""},
		{site, "", "", "", ""},
		{nexus, "", "", "", ""},
	})
}

func TestClassifyOthers(t *testing.T) {
	site, _ := public()
	ecosystemtest.CheckRefused(t, example(), client, []ecosystemtest.Refused{
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
	})
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
