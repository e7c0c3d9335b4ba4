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
	var seen []plainCase
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
		m := plainCase{thin: c, at: at(c.artifact), url: plain.URL + "/" + at(c.artifact)}
		t.Run(c.name, func(t *testing.T) {
			if !ok {
				if r, l := m.ask(t, d); r.out != c.files[c.artifact] || l.Outcome != "bypass" {
					t.Errorf("%q, %+v", r.out, l)
				}
				return
			}
			seen = append(seen, m)
			m.withCredential(t, d, origin)
			if stated || c.name == oci.Name {
				origin.tamper(m.at, true)
				if r, l := m.ask(t, d); r.code == 0 || l.Outcome != "bad" {
					t.Errorf("wrong bytes: exit %d, %+v", r.code, l)
				}
				origin.tamper(m.at, false)
			}
			m.burst(t, d, origin)
			asked := origin.count(m.at)
			r, l := m.ask(t, d)
			if r.out != c.files[c.artifact] || l.Ecosystem != c.name || l.Outcome != "hit" || origin.count(m.at) != asked || stated && l.Voucher != plain.URL+"/"+at(c.voucher) {
				t.Errorf("warm: %q, %+v", r.out, l)
			}
		})
	}
	if len(seen) != len(told) {
		t.Errorf("%d of %d ecosystems were asked", len(seen), len(told))
	}
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	for _, m := range seen {
		if r, l := m.ask(t, d); r.out != m.files[m.artifact] || l.Outcome == "miss" {
			t.Errorf("%s offline: %q, %+v", m.name, r.out, l)
		}
	}
}

// A plainCase is a package of an ecosystem on a mirror that is asked over plain HTTP.
type plainCase struct {
	thin
	at, url string // the artifact's name at the origin, and its URL
}

// curl returns the command that asks for the artifact through the proxy.
func (m plainCase) curl(more ...string) []string {
	return append([]string{"curl", "-sS", "--fail", "--noproxy", "", "-A", m.agent, m.url}, more...)
}

// ask asks for the artifact, as a build, and returns the one line of its receipt.
func (m plainCase) ask(t *testing.T, d *daemon, more ...string) (result, line) {
	t.Helper()
	r := d.run(d.dir, nil, binary, append([]string{"exec", "--"}, m.curl(more...)...)...)
	s := d.last()
	if len(s.Lines) != 1 {
		t.Fatalf("%q, %+v", r.err, s)
	}
	return r, s.Lines[0]
}

// withCredential asks with a credential, and without: no answer to the first is kept.
func (m plainCase) withCredential(t *testing.T, d *daemon, origin *shelf) {
	r, l := m.ask(t, d, "-H", "Authorization: Bearer of-one-client")
	if r.out != privately+m.files[m.artifact] || l.Outcome != "bypass" {
		t.Errorf("with a credential: %q, %+v", r.out, l)
	}
	before := origin.secrets[m.at]
	if r, l := m.ask(t, d); r.out != m.files[m.artifact] || l.Outcome != "miss" || origin.secrets[m.at] != before {
		t.Errorf("without one: %q, %+v", r.out, l)
	}
	d.sutler("purge", m.url)
}

// burst asks with many clients at once: all get the same bytes, the origin is asked once.
func (m plainCase) burst(t *testing.T, d *daemon, origin *shelf) {
	before := origin.count(m.at)
	r, s := d.through(t.TempDir(), burst(m.curl())...)
	if n := strings.Count(r.out, m.files[m.artifact]); n != clients || len(s.Lines) != clients || s.Failed != 0 || origin.count(m.at)-before != 1 {
		t.Errorf("%d of %d clients were served, %d failed, the origin was asked %d times", n, clients, s.Failed, origin.count(m.at)-before)
	}
}
