package pypi_test

import (
	"errors"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/pypi"
)

// Indexes of the tests; nexus and wheels lie under a path of their hosts.
const (
	index  = "https://index.example/simple/"
	nexus  = "https://nexus.example/repository/py/simple/"
	wheels = "https://wheels.example/whl/"
	other  = "https://other.example/"
	hash   = "a1/b2/0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab/"
)

// example returns an ecosystem that knows the indexes of the tests.
func example() *pypi.Ecosystem {
	return pypi.New(pypi.Options{Hosts: []string{"Index.example", "nexus.example/repository/py/simple", "wheels.example/whl/"}})
}

// public returns the URLs of the public index and of its files.
func public() (simple, files string) {
	hosts := pypi.New(pypi.Options{}).Profile().Hosts
	return "https://" + hosts[0] + "/simple/", "https://" + hosts[1] + "/packages/" + hash
}

// request returns a request for a URL.
func request(t testing.TB, method, address string) ecosystem.Request {
	t.Helper()
	return ecosystemtest.Request(t, method, address, "")
}

func TestClassifyPages(t *testing.T) {
	simple, _ := public()
	api := strings.TrimSuffix(simple, "simple/") + "pypi/"
	for _, tt := range []struct{ url, want, project string }{
		{index + "six/", index + "six/", "six"},
		{"https://INDEX.example:443/simple/six/", index + "six/", "six"},
		{"http://index.example:80/simple/six/", "http://index.example/simple/six/", "six"},
		{index + "Ruamel.yaml__clib/", index + "ruamel-yaml-clib/", "ruamel-yaml-clib"},
		{index + "%73ix/", index + "six/", "six"},
		{simple + "Six/", simple + "six/", "six"},
		{nexus + "six/", nexus + "six/", "six"},
		{wheels + "torch/", wheels + "torch/", "torch"},
		{wheels + "cpu/torch/", wheels + "cpu/torch/", "torch"},
		{other + "root/pypi/+simple/six/", other + "root/pypi/+simple/six/", "six"},
		{"http://127.0.0.1:8080/simple/six/", "http://127.0.0.1:8080/simple/six/", "six"},
		{api + "Six/json", api + "six/json", "six"},
		{api + "six/1.0/json", api + "six/1.0/json", "six"},
	} {
		res, err := example().Classify(request(t, "GET", tt.url))
		if err != nil || res.URL != tt.want || res.Package != tt.project || res.Kind != ecosystem.Document || len(res.VouchedBy) > 0 {
			t.Errorf("Classify(%s) = %+v, %v, want the document %s of %s", tt.url, res, err, tt.want, tt.project)
		}
	}
}

// TestClassifyBare checks that a page needs its slash only where its links may be relative.
func TestClassifyBare(t *testing.T) {
	r := request(t, "GET", index+"Six")
	if res, err := example().Classify(r); !errors.Is(err, ecosystem.ErrUnknown) {
		t.Errorf("through the proxy: %s, %v, want ErrUnknown", res.URL, err)
	}
	r.Base = "http://cache.example:7885"
	if res, err := example().Classify(r); err != nil || res.URL != index+"six/" {
		t.Errorf("at the native endpoint: %s, %v, want %s", res.URL, err, index+"six/")
	}
	r.URL = request(t, "GET", index+"six-1.0.tar.gz").URL
	if res, err := example().Classify(r); err != nil || res.Kind != ecosystem.Artifact {
		t.Errorf("at the native endpoint: %+v, %v, want an artifact", res, err)
	}
}

func TestClassifyFiles(t *testing.T) {
	simple, files := public()
	for _, tt := range []struct {
		url              string // canonical, too
		project, version string
		by               string // URLs of the vouchers
	}{
		{files + "six-1.16.0-py2.py3-none-any.whl", "six", "1.16.0", simple + "six/"},
		{files + "six-1.16.0-py2.py3-none-any.whl.metadata", "six", "1.16.0", simple + "six/"},
		{files + "ruamel.yaml_clib-0.2-1-cp39-cp39-linux_x86_64.whl", "ruamel-yaml-clib", "0.2", simple + "ruamel-yaml-clib/"},
		{files + "zope.interface-5.0.tar.gz", "zope-interface", "5.0", simple + "zope-interface/"},
		{files + "a-2-b-1.0.tar.gz", "a-2-b", "1.0", simple + "a-2-b/ " + simple + "a/"},
		{files + "python-foo-1.0-beta-2.zip", "python-foo", "1.0-beta-2", simple + "python-foo/ " + simple + "python-foo-1-0-beta/"},
		{files + "foo-1.0-1.tar.bz2", "foo", "1.0-1", simple + "foo/ " + simple + "foo-1-0/"},
		{files + "tz-2004d.tar.gz", "tz", "2004d", simple + "tz/"},
		{files + "foo-dev.tar.gz", "foo", "dev", simple + "foo/"},
		{files + "foo-1.0-py3.9.egg", "foo", "1.0", simple + "foo/"},
		{"https://index.example/packages/" + hash + "six-1.0.tar.gz", "six", "1.0", index + "six/"},
		{"https://index.example/any/where/six-1.0.tar.gz", "six", "1.0", index + "six/"},
		{index + "six/six-1.0.tar.gz", "six", "1.0", index + "six/"},
		{"https://nexus.example/repository/py/packages/six/1.0/six-1.0.tar.gz", "six", "1.0", nexus + "six/"},
		{wheels + "torch-2.1.0-cp310-cp310-linux_x86_64.whl", "torch", "2.1.0", wheels + "torch/"},
		{wheels + "cpu/torch-2.1.0%2Bcpu-cp310-cp310-linux_x86_64.whl", "torch", "2.1.0+cpu", wheels + "cpu/torch/ " + wheels + "torch/"},
		{other + "repository/p/packages/six/1.0/six-1.0.tar.gz", "six", "1.0", other + "repository/p/simple/six/"},
		{other + "api/pypi/p/packages/packages/" + hash + "six-1.0.tar.gz", "six", "1.0", other + "api/pypi/p/simple/six/"},
		{other + "projects/1/packages/pypi/files/" + strings.Repeat("0f", 32) + "/six-1.0.tar.gz", "six", "1.0", other + "projects/1/packages/pypi/simple/six/"},
		{other + "root/pypi/+f/012/3456789abcdef/six-1.0.tar.gz", "six", "1.0", other + "root/pypi/+simple/six/"},
		{other + "packages/six-1.0-py3-none-any.whl", "six", "1.0", other + "simple/six/"},
		{other + "simple/six/six-1.0.tar.gz", "six", "1.0", other + "simple/six/"},
	} {
		res, err := example().Classify(request(t, "GET", tt.url))
		var by []string
		for _, v := range res.VouchedBy {
			by = append(by, v.URL)
		}
		if err != nil || res.URL != tt.url || res.Package != tt.project || res.Version != tt.version || res.Kind != ecosystem.Artifact {
			t.Errorf("Classify(%s) = %+v, %v, want the artifact %s %s", tt.url, res, err, tt.project, tt.version)
		}
		if strings.Join(by, " ") != tt.by {
			t.Errorf("Classify(%s) by\n%s, want\n%s", tt.url, strings.Join(by, " "), tt.by)
		}
	}
}

func TestClassifyOthers(t *testing.T) {
	simple, files := public()
	site := strings.TrimSuffix(simple, "simple/")
	ecosystemtest.CheckRefused(t, example(), "", []ecosystemtest.Refused{
		{"GET", other + "six/", ecosystem.ErrUnknown},
		{"GET", other + "simple/six", ecosystem.ErrUnknown},
		{"GET", other + "simple/", ecosystem.ErrUnknown},
		{"GET", other + "simple/-six/", ecosystem.ErrUnknown},
		{"GET", other + "simple/six/?token=1", ecosystem.ErrUnknown},
		{"GET", "https://me:secret@other.example/simple/six/", ecosystem.ErrUnknown},
		{"GET", other + "files/tool-1.0.tar.gz", ecosystem.ErrUnknown},
		{"GET", other + "packages/tool/1.0/other-1.0.tar.gz", ecosystem.ErrUnknown},
		{"GET", other + "releases/download/v1/six-1.0-py3-none-any.whl", ecosystem.ErrUnknown},
		{"GET", other + "packages/six-1.0.whl", ecosystem.ErrUnknown},
		{"POST", other + "simple/six/", ecosystem.ErrUnknown},
		{"GET", other + "simple/%2e%2e/", ecosystem.ErrUnknown},
		{"GET", "https://nexus.example/repository/npm/six/", ecosystem.ErrUnknown},
		{"GET", "ftp://index.example/simple/six/", ecosystem.ErrUnknown},
		{"GET", simple, ecosystem.ErrBypass},
		{"GET", simple + "six", ecosystem.ErrBypass},
		{"GET", site + "search/?q=six", ecosystem.ErrBypass},
		{"GET", site + "integrity/six/1.0/six-1.0.tar.gz/provenance", ecosystem.ErrBypass},
		{"GET", site + "pypi/six/1.0/2/json", ecosystem.ErrBypass},
		{"GET", files + "six-1.0.tar.gz.asc", ecosystem.ErrBypass},
		{"POST", site + "legacy/", ecosystem.ErrBypass},
		{"TRACE", simple + "six/", ecosystem.ErrRefused},
		{"GET", simple + "a/../six/", ecosystem.ErrRefused},
		{"GET", simple + "a%2f..%2fsix/", ecosystem.ErrRefused},
		{"GET", simple + "a%5csix/", ecosystem.ErrRefused},
		{"GET", simple + "a%252fsix/", ecosystem.ErrRefused},
		{"GET", simple + "six%00/", ecosystem.ErrRefused},
		{"GET", simple + "/six/", ecosystem.ErrRefused},
	})
}

func TestForm(t *testing.T) {
	const (
		pip  = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
		uv   = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
		html = "text/html; charset=utf-8"
	)
	for _, tt := range []struct{ accept, form, mediaType string }{
		{pip, "", ""},
		{uv, "", ""},
		{"application/vnd.pypi.simple.v1+json", "json", "application/vnd.pypi.simple.v1+json"},
		{"application/vnd.pypi.simple.latest+json", "json", "application/vnd.pypi.simple.v1+json"},
		{"application/vnd.pypi.simple.v1+html", "html", "application/vnd.pypi.simple.v1+html"},
		{"text/html, application/vnd.pypi.simple.v1+json;q=0", "html", html},
		{"text/html", "html", html},
		{"*/*", "html", html},
		{"", "html", html},
	} {
		r := request(t, "GET", index+"six/")
		r.Accept = tt.accept
		res, err := example().Classify(r)
		if err != nil || res.Form != tt.form || res.FormType != tt.mediaType || res.Variant != "" {
			t.Errorf("Classify with %q = form %q, type %q, %v, want %q, %q", tt.accept, res.Form, res.FormType, err, tt.form, tt.mediaType)
		}
	}
}
