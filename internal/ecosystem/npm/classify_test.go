package npm_test

import (
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/npm"
)

// registry is the registry that the tests ask; nexus lies under a path of its host.
const (
	registry = "https://registry.example/"
	nexus    = "https://nexus.example/repository/npm/"
)

// example returns an ecosystem that knows the registries of the tests.
func example() *npm.Ecosystem {
	return npm.New(npm.Options{Hosts: []string{"Registry.example", "nexus.example/repository/npm"}})
}

// request returns a request for a URL.
func request(t testing.TB, method, address string) ecosystem.Request {
	t.Helper()
	return ecosystemtest.Request(t, method, address, "")
}

func TestClassify(t *testing.T) {
	const mirror = "https://mirror.example/"
	ecosystemtest.CheckClassified(t, example(), "", []ecosystemtest.Classified{
		{registry + "left-pad", registry + "left-pad", "left-pad", "", ""},
		{"https://REGISTRY.example:443/left-pad", registry + "left-pad", "left-pad", "", ""},
		{"http://registry.example:80/left-pad", "http://registry.example/left-pad", "left-pad", "", ""},
		{registry + "JSONStream", registry + "JSONStream", "JSONStream", "", ""},
		{registry + "@scope%2fname", registry + "@scope%2fname", "@scope/name", "", ""},
		{registry + "@scope%2Fname", registry + "@scope%2fname", "@scope/name", "", ""},
		{registry + "@scope/name", registry + "@scope%2fname", "@scope/name", "", ""},
		{registry + "%40scope%2fname", registry + "@scope%2fname", "@scope/name", "", ""},
		{registry + "left-pad/1.3.0", registry + "left-pad/1.3.0", "left-pad", "1.3.0", ""},
		{registry + "left-pad/latest", registry + "left-pad/latest", "left-pad", "latest", ""},
		{registry + "@scope%2fname/latest", registry + "@scope%2fname/latest", "@scope/name", "latest", ""},
		{registry + "@scope/name/1.0.0", registry + "@scope%2fname/1.0.0", "@scope/name", "1.0.0", ""},
		{registry + "left-pad/-/left-pad-1.3.0.tgz", registry + "left-pad/-/left-pad-1.3.0.tgz", "left-pad", "1.3.0", registry + "left-pad"},
		{registry + "left-pad/-/left-pad-1.3.0-rc.1.tgz", registry + "left-pad/-/left-pad-1.3.0-rc.1.tgz", "left-pad", "1.3.0-rc.1", registry + "left-pad"},
		{registry + "left-pad/-/other.tgz", registry + "left-pad/-/other.tgz", "left-pad", "", registry + "left-pad"},
		{registry + "@scope/name/-/name-1.0.0.tgz", registry + "@scope/name/-/name-1.0.0.tgz", "@scope/name", "1.0.0", registry + "@scope%2fname"},
		{registry + "@scope%2fname/-/name-1.0.0.tgz", registry + "@scope/name/-/name-1.0.0.tgz", "@scope/name", "1.0.0", registry + "@scope%2fname"},
		{registry + "@scope/name/-/@scope/name-1.0.0.tgz", registry + "@scope/name/-/@scope/name-1.0.0.tgz", "@scope/name", "1.0.0", registry + "@scope%2fname"},
		{registry + "download/@scope/name/1.0.0/abcdef", registry + "download/@scope/name/1.0.0/abcdef", "@scope/name", "1.0.0", registry + "@scope%2fname"},
		{registry + "~/11/@scope/name/1.0.0.tgz", registry + "~/11/@scope/name/1.0.0.tgz", "@scope/name", "1.0.0", registry + "@scope%2fname"},
		{registry + "-/npm/v1/keys", registry + "-/npm/v1/keys", "", "", ""},
		{registry + "-/npm/v1/attestations/left-pad@1.3.0", registry + "-/npm/v1/attestations/left-pad@1.3.0", "left-pad", "1.3.0", ""},
		{registry + "-/npm/v1/attestations/@scope%2fname@1.3.0", registry + "-/npm/v1/attestations/@scope%2fname@1.3.0", "@scope/name", "1.3.0", ""},
		{registry + "-/package/@scope%2fname/dist-tags", registry + "-/package/@scope%2fname/dist-tags", "@scope/name", "", ""},
		{registry + "-/package/left-pad/dist-tags", registry + "-/package/left-pad/dist-tags", "left-pad", "", ""},
		{nexus + "left-pad", nexus + "left-pad", "left-pad", "", ""},
		{nexus + "@scope/name/-/name-1.0.0.tgz", nexus + "@scope/name/-/name-1.0.0.tgz", "@scope/name", "1.0.0", nexus + "@scope%2fname"},
		{mirror + "left-pad/-/left-pad-1.3.0.tgz", mirror + "left-pad/-/left-pad-1.3.0.tgz", "left-pad", "1.3.0", mirror + "left-pad"},
		{mirror + "a/b/@scope/name/-/name-1.3.0.tgz", mirror + "a/b/@scope/name/-/name-1.3.0.tgz", "@scope/name", "1.3.0", mirror + "a/b/@scope%2fname"},
		{mirror + "a/@scope%2fname", mirror + "a/@scope%2fname", "@scope/name", "", ""},
	})
}

func TestClassifyOthers(t *testing.T) {
	const mirror = "https://mirror.example/"
	ecosystemtest.CheckRefused(t, example(), "", []ecosystemtest.Refused{
		{"GET", mirror + "left-pad", ecosystem.ErrUnknown},
		{"GET", mirror + "@scope/name", ecosystem.ErrUnknown},
		{"GET", mirror + "left-pad/-/right-pad-1.0.0.tgz", ecosystem.ErrUnknown},
		{"GET", mirror + "group/project/-/archive/main/project-main.tar.gz", ecosystem.ErrUnknown},
		{"GET", mirror + "-/left-pad/-/left-pad-1.3.0.tgz?sig=1", ecosystem.ErrUnknown},
		{"PUT", mirror + "left-pad/-/left-pad-1.3.0.tgz", ecosystem.ErrUnknown},
		{"GET", "https://nexus.example/repository/raw/left-pad", ecosystem.ErrUnknown},
		{"GET", "ftp://registry.example/left-pad", ecosystem.ErrUnknown},
		{"PUT", registry + "left-pad", ecosystem.ErrBypass},
		{"PUT", registry + "-/user/org.couchdb.user:me", ecosystem.ErrBypass},
		{"DELETE", registry + "left-pad/-/left-pad-1.3.0.tgz/-rev/1", ecosystem.ErrBypass},
		{"POST", registry + "-/npm/v1/security/advisories/bulk", ecosystem.ErrBypass},
		{"GET", registry + "left-pad?write=true", ecosystem.ErrBypass},
		{"GET", "https://me:secret@registry.example/left-pad", ecosystem.ErrBypass},
		{"GET", registry + "-/v1/search?text=pad", ecosystem.ErrBypass},
		{"GET", registry + "-/ping", ecosystem.ErrBypass},
		{"GET", registry + "-/whoami", ecosystem.ErrBypass},
		{"GET", registry + "-/npm/v1/attestations/left-pad", ecosystem.ErrBypass},
		{"GET", registry, ecosystem.ErrBypass},
		{"GET", registry + "left-pad/1.0.0/more", ecosystem.ErrBypass},
		{"GET", registry + ".hidden", ecosystem.ErrBypass},
		{"GET", registry + "left-pad/-/readme.md", ecosystem.ErrBypass},
		{"TRACE", registry + "left-pad", ecosystem.ErrRefused},
		{"GET", registry + "a/../b", ecosystem.ErrRefused},
		{"GET", registry + "a/%2e%2e/b", ecosystem.ErrRefused},
		{"GET", registry + "a%252fb", ecosystem.ErrRefused},
		{"GET", registry + "a%5cb", ecosystem.ErrRefused},
		{"GET", registry + "a%00", ecosystem.ErrRefused},
		{"GET", registry + "a%2fb", ecosystem.ErrRefused},
		{"GET", registry + "@a%2fb%2fc", ecosystem.ErrRefused},
		{"GET", registry + "@a%2f..", ecosystem.ErrRefused},
	})
}

func TestForm(t *testing.T) {
	const (
		installer = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"
		base      = "http://cache.example:7885"
	)
	for _, tt := range []struct {
		name, path, accept, client, base string
		form, mediaType                  string
	}{
		{"npm 11", "left-pad", "application/json", "npm/11.19.1 node/v24.0.0 linux x64", "", "", ""},
		{"npm 11 native", "left-pad", "application/json", "npm/11.19.1 node/v24.0.0", base, "unlinked", "application/json"},
		{"npm 9 native", "left-pad", installer, "npm/9.9.0 node/v18.0.0", base, "abbreviated unlinked", "application/vnd.npm.install-v1+json"},
		{"npm 6 native", "left-pad", installer, "npm/6.14.18 node/v14.0.0", base, "abbreviated", "application/vnd.npm.install-v1+json"},
		{"pnpm", "left-pad", installer, "pnpm/9.15.0 npm/? node/v20.0.0", "", "abbreviated", "application/vnd.npm.install-v1+json"},
		{"curl", "left-pad", "*/*", "curl/8.0", "", "", ""},
		{"refuses the short form", "left-pad", "application/vnd.npm.install-v1+json;q=0", "", "", "", ""},
		{"prefers the full form", "left-pad", "application/json, application/vnd.npm.install-v1+json;q=0.5", "", "", "", ""},
		{"manifest", "left-pad/1.3.0", installer, "yarn/1.22.22", base, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t, "GET", registry+tt.path)
			r.Accept, r.Client, r.Base = tt.accept, tt.client, tt.base
			res, err := example().Classify(r)
			if err != nil || res.Form != tt.form || res.FormType != tt.mediaType {
				t.Errorf("Classify = form %q, type %q, %v, want %q, %q", res.Form, res.FormType, err, tt.form, tt.mediaType)
			}
			if res.Variant != "" {
				t.Errorf("variant %q: forms share one resource", res.Variant)
			}
		})
	}
}
