package e2e

import (
	"cmp"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sutler/internal/ecosystem/cargo"
	"sutler/internal/ecosystem/generic"
	"sutler/internal/ecosystem/maven"
	"sutler/internal/ecosystem/npm"
	"sutler/internal/ecosystem/oci"
	"sutler/internal/ecosystem/pypi"
	"sutler/internal/ecosystem/rpm"
	"sutler/internal/ecosystem/rubygems"
)

// privateHost is a host that no profile names.
const privateHost = "files.example"

// packages is one package of each ecosystem whose documents need no signature.
func packages() []thin {
	node := npm.New(npm.Options{}).Profile().Hosts[0]
	index := pypi.New(pypi.Options{}).Profile().Hosts
	crates := cargo.New(cargo.Options{}).Profile().Hosts
	gems := rubygems.New(rubygems.Options{}).Profile().Hosts
	jars := maven.New(maven.Options{}).Profile().Hosts[0]
	fedora := rpm.New(rpm.Options{}).Profile().Hosts[1]
	wide := sha512.Sum512([]byte(bytesOf(npm.Name)))
	wheel := index[1] + "/packages/aa/bb/" + strings.Repeat("0123456789", 6) + "/left_pad-1.2.0-py3-none-any.whl"
	primary := `<metadata packages="1"><package type="rpm"><name>pad</name><arch>noarch</arch><version epoch="0" ver="1.2.0" rel="1"/><checksum type="sha256" pkgid="YES">` +
		sumOf(rpm.Name) + `</checksum><size package="` + fmt.Sprint(len(bytesOf(rpm.Name))) + `"/><location href="Packages/p/pad-1.2.0-1.noarch.rpm"/></package></metadata>`
	layer := "/v2/acme/pad/blobs/sha256:" + sumOf(oci.Name)
	return append(thins(), []thin{
		{
			name: npm.Name, agent: "npm/10.9.2", voucher: node + "/left-pad", artifact: node + "/left-pad/-/left-pad-1.2.0.tgz",
			files: map[string]string{
				node + "/left-pad/-/left-pad-1.2.0.tgz": bytesOf(npm.Name),
				node + "/left-pad": `{"name":"left-pad","versions":{"1.2.0":{"name":"left-pad","version":"1.2.0","dist":{"tarball":"https://` + node +
					`/left-pad/-/left-pad-1.2.0.tgz","integrity":"sha512-` + base64.StdEncoding.EncodeToString(wide[:]) + `"}}}}`,
			},
		},
		{
			name: pypi.Name, agent: "pip/25.1", voucher: index[0] + "/simple/left-pad/", artifact: wheel,
			files: map[string]string{
				wheel:                          bytesOf(pypi.Name),
				index[0] + "/simple/left-pad/": `<!DOCTYPE html><html><body><a href="https://` + wheel + `#sha256=` + sumOf(pypi.Name) + `">left_pad-1.2.0-py3-none-any.whl</a></body></html>`,
			},
		},
		{
			name: cargo.Name, agent: "cargo/1.96.0", voucher: crates[0] + "/le/ft/left-pad", artifact: crates[1] + "/crates/left-pad/left-pad-1.2.0.crate",
			files: map[string]string{
				crates[1] + "/crates/left-pad/left-pad-1.2.0.crate": bytesOf(cargo.Name),
				crates[0] + "/config.json":                          `{"dl":"https://` + crates[1] + `/crates"}`,
				crates[0] + "/le/ft/left-pad":                       `{"name":"left-pad","vers":"1.2.0","deps":[],"cksum":"` + sumOf(cargo.Name) + `","features":{},"yanked":false}` + "\n",
			},
		},
		{
			name: rubygems.Name, agent: "Ruby, RubyGems/3.3.15", voucher: gems[1] + "/info/left-pad", artifact: gems[0] + "/gems/left-pad-1.2.0.gem",
			files: map[string]string{
				gems[0] + "/gems/left-pad-1.2.0.gem": bytesOf(rubygems.Name),
				gems[1] + "/info/left-pad":           "---\n1.2.0 |checksum:" + sumOf(rubygems.Name) + "\n",
			},
		},
		{
			name: maven.Name, agent: "Apache-Maven/3.9.9", voucher: jars + "/maven2/org/acme/pad/1.2.0/pad-1.2.0.jar.sha256", artifact: jars + "/maven2/org/acme/pad/1.2.0/pad-1.2.0.jar",
			files: map[string]string{
				jars + "/maven2/org/acme/pad/1.2.0/pad-1.2.0.jar":        bytesOf(maven.Name),
				jars + "/maven2/org/acme/pad/1.2.0/pad-1.2.0.jar.sha256": sumOf(maven.Name),
			},
		},
		{
			name: rpm.Name, agent: "libdnf", artifact: fedora + "/pub/repo/Packages/p/pad-1.2.0-1.noarch.rpm", voucher: fedora + "/pub/repo/repodata/primary.xml",
			files: map[string]string{
				fedora + "/pub/repo/Packages/p/pad-1.2.0-1.noarch.rpm": bytesOf(rpm.Name),
				fedora + "/pub/repo/repodata/primary.xml":              primary,
				fedora + "/pub/repo/repodata/repomd.xml": `<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision><data type="primary"><checksum type="sha256">` + sha256Of([]byte(primary)) +
					`</checksum><location href="repodata/primary.xml"/><timestamp>1</timestamp><size>` + fmt.Sprint(len(primary)) + `</size></data></repomd>`,
			},
		},
		{
			name: oci.Name, agent: "containerd/1.6.20", artifact: privateHost + layer, anonymous: true, named: true,
			files: map[string]string{privateHost + layer: bytesOf(oci.Name)},
		},
		{
			name: generic.Name, agent: "curl/7.88", artifact: privateHost + "/dl/pad-1.2.0.tar.gz", voucher: privateHost + "/dl/SHA256SUMS",
			files: map[string]string{
				privateHost + "/dl/pad-1.2.0.tar.gz": bytesOf(generic.Name),
				privateHost + "/dl/SHA256SUMS":       sumOf(generic.Name) + "  pad-1.2.0.tar.gz\n",
			},
		},
	}...)
}

// TestEveryEcosystem puts every ecosystem to the same proof: what comes with a client's
// credential is nobody else's, wrong bytes are no answer, a burst is one fetch, who vouches
// for it is told, documents lead to the native endpoint, and all of it is there with the
// origin gone; by interception and at the native endpoint. Plain HTTP through the proxy is
// TestUnknownMirrors.
func TestEveryEcosystem(t *testing.T) {
	need(t, "curl")
	origin := newPublicOrigin(t)
	var hosts []string
	made, keys := signed(t)
	all := append(packages(), made...)
	for _, c := range all {
		for name, body := range c.files {
			origin.put(name, []byte(body))
		}
		if name, value, ok := strings.Cut(c.field, ": "); ok {
			origin.head[c.artifact] = map[string][]string{name: {value}}
		}
		hosts = append(hosts, c.hosts()...)
	}
	slices.Sort(hosts)
	settings := append(origin.settings(t, slices.Compact(hosts)...), "HOSTS=gomod="+goHost+",hex="+hexHost+",generic="+privateHost+",oci="+privateHost)
	d := start(t, append(settings, keys...)...)
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range c.first {
				d.through(d.dir, "curl", "-sS", "--fail", "-o", os.DevNull, "-A", c.agent, "https://"+name)
			}
			c.withCredential(t, d, origin.shelf)
			c.spoiled(t, d, origin.shelf)
			c.burst(t, d, origin.shelf)
			c.again(t, d, origin.shelf)
			c.native(t, d)
			c.atEndpoint(t, d, origin)
		})
	}
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	for _, c := range all {
		r, s := d.through(d.dir, c.curl()...)
		if !strings.HasSuffix(r.out, c.files[c.artifact]) || len(s.Lines) != 1 || s.Lines[0].Outcome == "miss" {
			t.Errorf("%s offline: %q, %+v", c.name, r.out, s.Lines)
		}
		if r := d.run(d.dir, nil, "curl", "-sS", "--fail", "-A", c.agent, c.endpoint(d)); r.out != c.files[c.artifact] {
			t.Errorf("%s offline at the endpoint: exit %d, %q %s", c.name, r.code, r.out, r.err)
		}
	}
}

// url returns the URL of a file.
func (c thin) url(name string) string { return cmp.Or(c.base, "https://") + name }

// curl returns the command that asks for the artifact through the proxy, wherever that is, and
// prints the fields of the answer.
func (c thin) curl() []string {
	return []string{"curl", "-sS", "--fail", "--noproxy", "", "-D", "-", "-A", c.agent, c.url(c.artifact)}
}

// withCredential asks with a credential for what is not stored, and then without: the first
// answer is passed through and not kept. Where clients have no business to send one, it
// does not get to the origin.
func (c thin) withCredential(t *testing.T, d *daemon, origin *shelf) {
	r, s := d.through(d.dir, append(c.curl(), "-H", "Authorization: Bearer of-one-client")...)
	if c.anonymous {
		if origin.secrets[c.artifact] != 0 || strings.Contains(r.out, privately) {
			t.Errorf("the credential went to the origin: %q", r.out)
		}
		d.sutler("purge", c.url(c.artifact))
		return
	}
	if !strings.Contains(r.out, privately+c.files[c.artifact]) || len(s.Lines) != 1 || s.Lines[0].Outcome != "bypass" {
		t.Errorf("with a credential: %q, %+v", r.out, s.Lines)
	}
	before := origin.secrets[c.artifact]
	r, s = d.through(d.dir, c.curl()...)
	if strings.Contains(r.out, privately) || len(s.Lines) != 1 || s.Lines[0].Outcome != "miss" || origin.secrets[c.artifact] != before {
		t.Errorf("without one: %q, %+v", r.out, s.Lines)
	}
	d.sutler("purge", c.url(c.artifact))
}

// spoiled asks for wrong bytes, where somebody states the right ones.
func (c thin) spoiled(t *testing.T, d *daemon, origin *shelf) {
	if c.voucher == "" && !c.named {
		return
	}
	origin.tamper(c.artifact, true)
	r := d.run(d.dir, nil, binary, append([]string{"exec", "--"}, c.curl()...)...)
	if s := d.last(); r.code == 0 || s.Failed != 1 || len(s.Lines) != 1 || s.Lines[0].Outcome != "bad" {
		t.Errorf("wrong bytes: exit %d\n%s\n%+v", r.code, r.out, s)
	}
	origin.tamper(c.artifact, false)
}

// clients is how many ask at once.
const clients = 20

// burst returns a command that runs another for many clients at once and prints all that
// they print. It leaves files in its folder.
func burst(command []string) []string {
	script := fmt.Sprintf(`for i in $(seq %d); do "$@" >$i.out & done; wait; cat *.out`, clients)
	return append([]string{"sh", "-c", script, "sh"}, command...)
}

// burst asks with many clients at once: all get the same bytes, the origin is asked once.
func (c thin) burst(t *testing.T, d *daemon, origin *shelf) {
	before := origin.count(c.artifact)
	r, s := d.through(t.TempDir(), burst(c.curl())...)
	if n := strings.Count(r.out, c.files[c.artifact]); n != clients || len(s.Lines) != clients || s.Failed != 0 {
		t.Errorf("%d of %d clients were served, %d lines, %d failed", n, clients, len(s.Lines), s.Failed)
	}
	if n := origin.count(c.artifact) - before; n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// again asks for what is stored: the answer has the fields that clients need, the receipt
// says who vouches for the bytes, and the origin is not asked.
func (c thin) again(t *testing.T, d *daemon, origin *shelf) {
	before := origin.count(c.artifact)
	r, s := d.through(d.dir, c.curl()...)
	s.allFromStore(t, 1)
	if n := origin.count(c.artifact); n != before {
		t.Errorf("the origin was asked %d times more", n-before)
	}
	if !strings.HasSuffix(r.out, c.files[c.artifact]) || len(s.Lines) != 1 || s.Lines[0].Ecosystem != c.name {
		t.Fatalf("%q, %+v", r.out, s.Lines)
	}
	verified := int64(1)
	if c.base != "" { // nobody vouches for a document that came over plain HTTP
		verified = 0
	}
	switch l := s.Lines[0]; {
	case c.voucher == "" && !c.named && s.Verified != 0, c.voucher != "" && (s.Verified != verified || !strings.HasSuffix(l.Voucher, c.url(c.voucher))):
		t.Errorf("vouched for by %q (%s), want %q", l.Voucher, l.Trust, c.voucher)
	}
	if c.field != "" && !strings.Contains(strings.ToLower(r.out), strings.ToLower(c.field)) {
		t.Errorf("the answer lacks %q:\n%s", c.field, r.out)
	}
}

// native asks for the document at the native endpoint, and for what it leads to.
func (c thin) native(t *testing.T, d *daemon) {
	if c.document == "" {
		return
	}
	endpoint := "http://" + d.addr
	doc := d.must(d.dir, nil, "curl", "-sS", "--fail", "-A", c.agent, endpoint+c.document).out
	if !strings.Contains(doc, endpoint+c.link) && c.link != "" || strings.Contains(doc, "https://") {
		t.Errorf("the document does not lead to %s:\n%s", c.link, doc)
	}
	if strings.Contains(c.link, "1.2.0") {
		if got := d.must(d.dir, nil, "curl", "-sS", "--fail", "-A", c.agent, endpoint+c.link).out; got != c.files[c.artifact] {
			t.Errorf("%s is %q", c.link, got)
		}
	}
}
