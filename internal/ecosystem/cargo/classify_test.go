package cargo_test

import (
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/cargo"
	"sutler/internal/ecosystem/ecosystemtest"
)

// private is the index of a registry whose crates lie on another host.
const private = "https://crates.example/index/"

// example returns an ecosystem that knows the registries of the tests.
func example() *cargo.Ecosystem {
	return cargo.New(cargo.Options{Hosts: []string{"Crates.example/index", "files.example", "ported.example:8443/index"}})
}

// public returns the URLs under which the public registry has its index, crates and API,
// with a slash at their ends.
func public(e ecosystem.Ecosystem) (index, crates, site string) {
	hosts := e.Profile().Hosts
	return "https://" + hosts[0] + "/", "https://" + hosts[1] + "/", "https://" + hosts[2] + "/"
}

// client is the User-Agent of the client that asks.
const client = "cargo/1.96.0"

// request returns a request for a URL.
func request(t testing.TB, method, address string) ecosystem.Request {
	t.Helper()
	return ecosystemtest.Request(t, method, address, client)
}

func TestClassify(t *testing.T) {
	const mirror = "http://mirror.example:8000/"
	index, crates, site := public(example())
	ecosystemtest.CheckClassified(t, example(), client, []ecosystemtest.Classified{
		{index + "config.json", "", "", "", ""},
		{index + "1/a", "", "a", "", ""},
		{index + "2/ab", "", "ab", "", ""},
		{index + "3/s/syn", "", "syn", "", ""},
		{index + "se/rd/serde", "", "serde", "", ""},
		{index + "se/rd/serd%65", index + "se/rd/serde", "serde", "", ""},
		{index + "se/rd/serde_json-x", "", "serde_json-x", "", ""},
		{crates + "crates/serde/1.0.2/download", "", "serde", "1.0.2", index + "se/rd/serde"},
		{crates + "crates/serde/serde-1.0.2.crate", "", "serde", "1.0.2", index + "se/rd/serde"},
		{crates + "crates/cc/cc-1.0.2.crate", "", "cc", "1.0.2", index + "2/cc"},
		{crates + "crates/Inflector/0.11.4/download", "", "Inflector", "0.11.4", index + "in/fl/inflector"},
		{crates + "crates/zlib/1.1.0+zlib-1.2/download", "", "zlib", "1.1.0+zlib-1.2", index + "zl/ib/zlib"},
		{crates + "crates/zlib/1.1.0%2Bzlib/download", crates + "crates/zlib/1.1.0+zlib/download", "zlib", "1.1.0+zlib", index + "zl/ib/zlib"},
		{site + "api/v1/crates/serde/1.0.2-rc.1/download", "", "serde", "1.0.2-rc.1", index + "se/rd/serde"},
		{private + "config.json", "", "", "", ""},
		{private + "in/ne/inner", "", "inner", "", ""},
		{"https://CRATES.example:443/index/in/ne/inner", private + "in/ne/inner", "inner", "", ""},
		{"https://crates.example/dl/inner/1.0.0/download", "", "inner", "1.0.0", private + "in/ne/inner"},
		{"https://files.example/inner-1.0.0.crate", "", "inner", "1.0.0", "https://files.example/in/ne/inner"},
		{"https://ported.example:8443/index/2/ab", "", "ab", "", ""},
		{mirror + "index/se/rd/serde", "", "serde", "", ""},
		{mirror + "index/config.json", "", "", "", ""},
		{mirror + "a/serde/1.0.0/download", "", "serde", "1.0.0", mirror + "a/se/rd/serde"},
		{mirror + "a/serde-json-1.0.0-1.crate", "", "serde-json", "1.0.0-1", mirror + "a/se/rd/serde-json"},
		{mirror + "a/serde-1.0.0/serde-1.0.0-2.0.0.crate", "", "serde", "1.0.0-2.0.0", mirror + "a/serde-1.0.0/se/rd/serde"},
	})
}

// TestVouchers checks where the index of a registry that is not configured is looked for.
func TestVouchers(t *testing.T) {
	const host = "https://mirror.example"
	for _, tt := range []struct {
		url  string
		want []string // folders of the index
	}{
		{"/owner/cargo/api/v1/crates/serde/1.0.0/download", []string{"/owner/cargo/api/v1/crates/", "/owner/cargo/", "/owner/cargo/api/index/", "/owner/cargo/api/v1/", "/owner/cargo/api/v1/index/"}},
		{"/repository/rust/crates/serde/1.0.0/download", []string{"/repository/rust/crates/", "/repository/rust/", "/repository/rust/index/"}},
		{"/files/serde-1.0.0.crate", []string{"/files/"}},
	} {
		res, err := example().Classify(request(t, "GET", host+tt.url))
		if err != nil {
			t.Errorf("Classify(%s): %v", tt.url, err)
			continue
		}
		var got []string
		for _, v := range res.VouchedBy {
			got = append(got, v.URL)
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s is vouched for by %v, want %v", tt.url, got, tt.want)
			continue
		}
		for i, w := range tt.want {
			if got[i] != host+w+"se/rd/serde" {
				t.Errorf("%s is vouched for by %s, want %s", tt.url, got[i], w)
			}
		}
	}
}

func TestClassifyOthers(t *testing.T) {
	const mirror = "https://mirror.example/"
	index, crates, site := public(example())
	ecosystemtest.CheckRefused(t, example(), client, []ecosystemtest.Refused{
		{"GET", mirror + "1/a", ecosystem.ErrUnknown},
		{"GET", mirror + "se/rd/other", ecosystem.ErrUnknown},
		{"GET", mirror + "serde/latest/download", ecosystem.ErrUnknown},
		{"GET", mirror + "ab/1.0.0/download", ecosystem.ErrUnknown},
		{"GET", mirror + "serde.crate", ecosystem.ErrUnknown},
		{"GET", mirror + "serde/1.0.0/download?token=x", ecosystem.ErrUnknown},
		{"PUT", mirror + "serde/1.0.0/download", ecosystem.ErrUnknown},
		{"GET", "ftp://mirror.example/se/rd/serde", ecosystem.ErrUnknown},
		{"GET", index, ecosystem.ErrBypass},
		{"GET", index + "se/rd/Serde", ecosystem.ErrBypass},
		{"GET", index + "se/serde", ecosystem.ErrBypass},
		{"GET", index + "x/se/rd/serde", ecosystem.ErrBypass},
		{"GET", index + "serde/1.0.0/download", ecosystem.ErrBypass},
		{"GET", crates + "se/rd/serde", ecosystem.ErrBypass},
		{"GET", crates + "readmes/serde/serde-1.0.0.html", ecosystem.ErrBypass},
		{"GET", site + "api/v1/crates?q=serde", ecosystem.ErrBypass},
		{"PUT", site + "api/v1/crates/new", ecosystem.ErrBypass},
		{"DELETE", site + "api/v1/crates/serde/1.0.0/yank", ecosystem.ErrBypass},
		{"POST", crates + "crates/serde/1.0.0/download", ecosystem.ErrBypass},
		{"GET", "https://me:secret@crates.example/index/config.json", ecosystem.ErrBypass},
		{"GET", "https://crates.example/config.json", ecosystem.ErrBypass},
		{"TRACE", index + "se/rd/serde", ecosystem.ErrRefused},
		{"GET", index + "se/rd/../rd/serde", ecosystem.ErrRefused},
		{"GET", index + "se%2frd/serde", ecosystem.ErrRefused},
		{"GET", index + "se/rd/serde%00", ecosystem.ErrRefused},
		{"GET", index + "se/rd/serd%2565", ecosystem.ErrRefused},
		{"GET", index + "se//rd/serde", ecosystem.ErrRefused},
	})
}

// TestElsewhere checks what is cargo's on any host if cargo asks for it, and what is
// whoever asks.
func TestElsewhere(t *testing.T) {
	for path, want := range map[string]bool{
		"config.json":                                  false,
		"v1/modules/a/b/aws/0.1.0/download":            false, // a module of another registry
		"files/1.2.3/download":                         false,
		"api/v1/crates/serde/1.0.0/download":           true,
		"x/serde-1.0.0.crate":                          true,
		"x/se/rd/serde":                                true,
		"x/ab/cd/abcd0123456789abcdef0123456789abcdef": false, // a blob
	} {
		r := request(t, "GET", "https://mirror.example/"+path)
		r.Client = "curl/8.0"
		if res, err := example().Classify(r); (err == nil) != want {
			t.Errorf("Classify(%s) = %s, %v", path, res.URL, err)
		}
	}
}
