package e2e

import (
	"strings"
	"testing"

	"sutler/internal/ecosystem/all"
)

// endpoint returns the URL of the artifact at the native endpoint: under a mount of its own
// ecosystem, or as any host with HTTPS is reached there.
func (c thin) endpoint(d *daemon) string {
	for _, e := range all.New(all.Options{}) {
		for _, m := range e.Profile().Mounts {
			if path, ok := m.Native("https://" + c.artifact); ok && e.Profile().Name == c.name {
				return "http://" + d.addr + path
			}
		}
	}
	return "http://" + d.addr + "/https/" + c.artifact
}

// atEndpoint puts the native endpoint to the same proof: what is stored is there by that way
// too, and once it is gone, a credential, wrong bytes and a burst are met as by the others.
func (c thin) atEndpoint(t *testing.T, d *daemon, origin *publicOrigin) {
	curl := []string{"-sS", "--fail", "-A", c.agent, c.endpoint(d)}
	before := origin.count(c.artifact)
	if r := d.run(d.dir, nil, "curl", curl...); r.out != c.files[c.artifact] || origin.count(c.artifact) != before {
		t.Errorf("%s: %d bytes, exit %d, the origin was asked %d times\n%s", c.endpoint(d), len(r.out), r.code, origin.count(c.artifact)-before, r.err)
	}
	d.sutler("purge", "https://"+c.artifact)
	secret := origin.secrets[c.artifact]
	r := d.run(d.dir, nil, "curl", append(curl, "-H", "Authorization: Bearer of-one-client")...)
	if sent := origin.secrets[c.artifact] - secret; c.anonymous && (sent != 0 || strings.HasPrefix(r.out, privately)) || !c.anonymous && r.out != privately+c.files[c.artifact] {
		t.Errorf("with a credential, of which the origin got %d: %d bytes, exit %d %s", sent, len(r.out), r.code, r.err)
	}
	if c.anonymous {
		d.sutler("purge", "https://"+c.artifact)
	}
	if c.voucher != "" || c.named {
		origin.tamper(c.artifact, true)
		if r := d.run(d.dir, nil, "curl", curl...); r.code == 0 {
			t.Errorf("wrong bytes at the endpoint: exit %d, %d bytes", r.code, len(r.out))
		}
		origin.tamper(c.artifact, false)
	}
	before = origin.count(c.artifact)
	many := burst(append([]string{"curl"}, curl...))
	r = d.must(t.TempDir(), nil, many[0], many[1:]...)
	if n := strings.Count(r.out, c.files[c.artifact]); n != clients || origin.count(c.artifact)-before != 1 {
		t.Errorf("at the endpoint %d of %d clients were served, the origin was asked %d times", n, clients, origin.count(c.artifact)-before)
	}
}
