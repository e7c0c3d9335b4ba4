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
// mirror states, stored, and served again without it; a burst is one fetch, and what comes
// with a credential is not kept. The rest is passed through. apt, apk
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
	var seen []thin
	for _, c := range packages() {
		stated, ok := told[c.name]
		c := c.on(plain.URL, stated)
		for name, body := range c.files {
			origin.put(name, []byte(body))
		}
		t.Run(c.name, func(t *testing.T) {
			if !ok {
				if r, s := d.through(d.dir, c.curl()...); !strings.HasSuffix(r.out, c.files[c.artifact]) || len(s.Lines) != 1 || s.Lines[0].Outcome != "bypass" {
					t.Errorf("%q, %+v", r.out, s.Lines)
				}
				return
			}
			seen = append(seen, c)
			c.withCredential(t, d, origin)
			c.spoiled(t, d, origin)
			c.burst(t, d, origin)
			c.again(t, d, origin)
		})
	}
	if len(seen) != len(told) {
		t.Errorf("%d of %d ecosystems were asked", len(seen), len(told))
	}
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	for _, c := range seen {
		if r, s := d.through(d.dir, c.curl()...); !strings.HasSuffix(r.out, c.files[c.artifact]) || len(s.Lines) != 1 || s.Lines[0].Outcome == "miss" {
			t.Errorf("%s offline: %q, %+v", c.name, r.out, s.Lines)
		}
	}
}

// on returns the package as a mirror at url has it: mirrors have all hosts of an ecosystem in
// one folder, registries have none. stated is whether it states the digest.
func (c thin) on(url string, stated bool) thin {
	folder := c.name + "/"
	if c.name == oci.Name {
		folder = ""
	}
	place := func(name string) string {
		_, path, _ := strings.Cut(name, "/")
		return folder + path
	}
	files := map[string]string{}
	for name, body := range c.files {
		for _, h := range c.hosts() {
			body = strings.ReplaceAll(body, "https://"+h+"/", url+"/"+folder)
		}
		files[place(name)] = body
	}
	at := thin{name: c.name, agent: c.agent, base: url + "/", files: files, artifact: place(c.artifact), named: c.name == oci.Name}
	if stated {
		at.voucher = place(c.voucher)
	}
	return at
}
