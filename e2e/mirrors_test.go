package e2e

import (
	"net/http/httptest"
	"strings"
	"testing"

	"sutler/internal/ecosystem/cargo"
	"sutler/internal/ecosystem/conda"
	"sutler/internal/ecosystem/helm"
	"sutler/internal/ecosystem/maven"
	"sutler/internal/ecosystem/npm"
	"sutler/internal/ecosystem/nuget"
	"sutler/internal/ecosystem/oci"
	"sutler/internal/ecosystem/pypi"
	"sutler/internal/ecosystem/rpm"
	"sutler/internal/ecosystem/terraform"
)

// TestUnknownMirrors asks a mirror that nobody configured, over plain HTTP through the proxy,
// for a package of each ecosystem: what is told by its paths is checked against what the
// mirror states, stored, and served again without it. The rest is passed through. apt, apk
// and Go modules are asked of hosts that nobody knows by tests of their own.
func TestUnknownMirrors(t *testing.T) {
	need(t, "curl")
	told := map[string]bool{ // whether the mirror states the digest
		npm.Name: true, pypi.Name: true, rpm.Name: true, maven.Name: true, helm.Name: true, conda.Name: true, nuget.Name: true,
		cargo.Name: false, terraform.Name: false, oci.Name: false,
	}
	origin := newShelf(t)
	plain := httptest.NewServer(origin)
	t.Cleanup(plain.Close)
	d := start(t, "UPSTREAM_ALLOW_LOOPBACK="+strings.TrimPrefix(plain.URL, "http://"))
	seen := 0
	for _, c := range packages() {
		stated, ok := told[c.name]
		folder := c.name + "/" // mirrors have all hosts of an ecosystem in one folder
		if c.name == oci.Name {
			folder = "" // registries have none
		}
		at := func(name string) string {
			_, path, _ := strings.Cut(name, "/")
			return folder + path
		}
		for name, body := range c.files {
			for _, h := range c.hosts() {
				body = strings.ReplaceAll(body, "https://"+h+"/", plain.URL+"/"+folder)
			}
			origin.put(at(name), []byte(body))
		}
		ask := func(t *testing.T) (result, line) {
			t.Helper()
			r := d.run(d.dir, nil, binary, "exec", "--", "curl", "-sS", "--fail", "--noproxy", "", "-A", c.agent, plain.URL+"/"+at(c.artifact))
			s := d.last()
			if len(s.Lines) != 1 {
				t.Fatalf("%q, %+v", r.err, s)
			}
			return r, s.Lines[0]
		}
		t.Run(c.name, func(t *testing.T) {
			if !ok {
				if r, l := ask(t); r.out != c.files[c.artifact] || l.Outcome != "bypass" {
					t.Errorf("%q, %+v", r.out, l)
				}
				return
			}
			seen++
			if stated || c.name == oci.Name {
				origin.tamper(at(c.artifact), true)
				if r, l := ask(t); r.code == 0 || l.Outcome != "bad" {
					t.Errorf("wrong bytes: exit %d, %+v", r.code, l)
				}
				origin.tamper(at(c.artifact), false)
			}
			if r, l := ask(t); r.out != c.files[c.artifact] || l.Ecosystem != c.name || l.Outcome != "miss" || stated && l.Voucher != plain.URL+"/"+at(c.voucher) {
				t.Errorf("cold: %q, %+v", r.out, l)
			}
			asked := origin.count(at(c.artifact))
			if r, l := ask(t); r.out != c.files[c.artifact] || l.Outcome != "hit" || origin.count(at(c.artifact)) != asked {
				t.Errorf("warm: %q, %+v", r.out, l)
			}
		})
	}
	if seen != len(told) {
		t.Errorf("%d of %d ecosystems were asked", seen, len(told))
	}
}
