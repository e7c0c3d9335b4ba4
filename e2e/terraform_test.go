package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sutler/internal/ecosystem/terraform"
)

// terraformProgram returns the path of the real program: the one that SUTLER_E2E_TERRAFORM
// names, or the one on PATH. No archive that CI installs from has it, so its lack is no
// failure there.
func terraformProgram(t *testing.T) string {
	t.Helper()
	need(t, "gpg")
	if at := os.Getenv("SUTLER_E2E_TERRAFORM"); at != "" {
		return at
	}
	at, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("terraform is not on PATH, and SUTLER_E2E_TERRAFORM names none")
	}
	return at
}

// A providers is two registries, a public one whose archives lie on the host for releases
// and a private one with its archives beside it, and the key that signs their lists.
type providers struct {
	*publicOrigin
	t               *testing.T
	program, home   string
	public, release string // hosts
}

// providerHost is the private registry.
const providerHost = "registry.example"

func newProviders(t *testing.T) *providers {
	t.Helper()
	hosts := terraform.New(terraform.Options{}).Profile().Hosts
	p := &providers{publicOrigin: newPublicOrigin(t), t: t, program: terraformProgram(t), home: keyring(t), public: hosts[0], release: hosts[2]}
	p.gpg("--quick-generate-key", "Maker <maker@test.example>", "rsa2048", "sign", "never")
	for _, h := range []string{p.public, providerHost} {
		p.putJSON(h+"/.well-known/terraform.json", map[string]string{"providers.v1": "/v1/providers/", "modules.v1": "/v1/modules/"})
	}
	return p
}

func (p *providers) gpg(args ...string) []byte {
	p.t.Helper()
	out, err := exec.Command("gpg", append([]string{"--homedir", p.home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...).Output()
	if err != nil {
		p.t.Fatalf("gpg %v: %v", args, err)
	}
	return out
}

// providerZip is the file name of the archive of a version.
func providerZip(version string) string {
	return "terraform-provider-pad_" + version + "_linux_amd64.zip"
}

// publish makes a provider pad of one version more, at both registries. init starts no
// provider, so that its program need not be one.
func (p *providers) publish(versions ...string) {
	p.t.Helper()
	version := versions[len(versions)-1]
	file := providerZip(version)
	sums := p.t.TempDir() + "/SHA256SUMS"
	key := string(p.gpg("--armor", "--export"))
	for registry, base := range map[string]string{
		p.public + "/v1/providers/hashicorp/pad": p.release + "/terraform-provider-pad/" + version + "/",
		providerHost + "/v1/providers/acme/pad":  providerHost + "/files/",
	} {
		archive := zipOf(p.t, "terraform-provider-pad_v"+version, registry+" "+version)
		list := base + "terraform-provider-pad_" + version + "_SHA256SUMS"
		write(p.t, sums, sha256Of(archive)+"  "+file+"\n")
		p.put(base+file, archive)
		p.put(list, []byte(sha256Of(archive)+"  "+file+"\n"))
		p.put(list+".sig", p.gpg("--output", "-", "--detach-sign", sums))
		p.putJSON(registry+"/"+version+"/download/linux/amd64", map[string]any{
			"protocols": []string{"5.0"}, "os": "linux", "arch": "amd64", "filename": file, "download_url": "https://" + base + file,
			"shasums_url": "https://" + list, "shasums_signature_url": "https://" + list + ".sig", "shasum": sha256Of(archive),
			"signing_keys": map[string]any{"gpg_public_keys": []any{map[string]any{"key_id": strings.Repeat("0", 16), "ascii_armor": key}}},
		})
		var all []any
		for _, v := range versions {
			all = append(all, map[string]any{"version": v, "protocols": []string{"5.0"}, "platforms": []any{map[string]string{"os": "linux", "arch": "amd64"}}})
		}
		p.putJSON(registry+"/versions", map[string]any{"versions": all})
	}
}

// putJSON makes a document of a registry, with the media type that clients insist on.
func (p *providers) putJSON(path string, v any) {
	p.t.Helper()
	p.head[path] = http.Header{"Content-Type": {"application/json"}}
	b, err := json.Marshal(v)
	if err != nil {
		p.t.Fatal(err)
	}
	p.put(path, b)
}

// init runs `terraform init` through sutler for a provider in a folder that is new, but for
// a lock file if one is given. It returns the folder and what happened.
func (p *providers) init(d *daemon, source, lock string) (string, result) {
	p.t.Helper()
	dir := p.t.TempDir()
	write(p.t, dir+"/main.tf", "terraform {\n  required_providers {\n    pad = { source = \""+source+"\", version = \">= 1.0.0\" }\n  }\n}\n")
	write(p.t, dir+"/.cli", "")
	if lock != "" {
		write(p.t, dir+"/.terraform.lock.hcl", lock)
	}
	return dir, d.run(dir, []string{"TF_CLI_CONFIG_FILE=" + dir + "/.cli", "CHECKPOINT_DISABLE=1"}, binary, "exec", "--", p.program, "init", "-no-color", "-input=false")
}

// zipOf returns an archive with one file that can be executed.
func zipOf(t *testing.T, name, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: name, Method: zip.Deflate}
	header.SetMode(0o755)
	w, err := z.CreateHeader(header)
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestTerraform installs a provider from a public and from a private registry: an archive
// changed on the way, cold, warm, with a lock file, with a new version, and with the
// registries gone.
func TestTerraform(t *testing.T) {
	p := newProviders(t)
	d := start(t, append(p.settings(t, p.public, p.release, providerHost), "HOSTS=terraform="+providerHost)...)
	p.publish("1.0.0")
	for _, c := range []struct{ source, archives, voucher string }{
		{p.public + "/hashicorp/pad", p.release + "/terraform-provider-pad/1.0.0/", "/v1/providers/hashicorp/pad/1.0.0/download/linux/amd64"},
		{providerHost + "/acme/pad", providerHost + "/files/", "_SHA256SUMS"},
	} {
		t.Run(c.source, func(t *testing.T) {
			p.t = t
			archive := c.archives + providerZip("1.0.0")
			p.tamper(archive, true)
			if _, r := p.init(d, c.source, ""); r.code == 0 || d.last().Failed == 0 {
				t.Errorf("terraform took an archive that was changed: exit %d\n%s%s\n%+v", r.code, r.out, r.err, d.last())
			}
			p.tamper(archive, false)
			lock := p.want(d, "cold", c.source, "1.0.0", "")
			if strings.Contains(lock, d.addr) || !strings.Contains(lock, "zh:") {
				t.Errorf("lock file:\n%s", lock)
			}
			s := d.last()
			if !s.has(providerZip("1.0.0")) || s.Failed > 0 || s.Unvouched > 0 || s.Tunnelled > 0 {
				t.Errorf("cold: %+v", s)
			}
			for _, l := range s.Lines {
				if l.URL == "https://"+archive && !strings.HasSuffix(l.Voucher, c.voucher) {
					t.Errorf("%s is vouched for by %q", archive, l.Voucher)
				}
			}
			p.since()
			p.want(d, "warm", c.source, "1.0.0", "")
			d.last().allFromStore(t, 1)
			p.want(d, "with a lock file", c.source, "1.0.0", lock)
			if asked := p.since(); len(asked) != 0 {
				t.Errorf("warm, the registry was asked for %v", asked)
			}
		})
	}
	p.t = t
	p.publish("1.0.0", "1.1.0")
	d.sutler("purge", providerHost+"/v1/providers/acme/pad/versions")
	p.want(d, "changed", providerHost+"/acme/pad", "1.1.0", "")
	d.stop()
	p.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	p.want(d, "offline", providerHost+"/acme/pad", "1.1.0", "")
	d.last().allFromStore(t, 1)
	p.want(d, "offline", p.public+"/hashicorp/pad", "1.0.0", "")
}

// want fails unless that version of the provider gets installed. It returns the lock file.
func (p *providers) want(d *daemon, what, source, version, lock string) string {
	p.t.Helper()
	dir, r := p.init(d, source, lock)
	if at := found(p.t, dir+"/.terraform/providers/"+source+"/"+version+"/linux_amd64/terraform-provider-pad_v"+version); r.code != 0 || len(at) != 1 {
		p.t.Fatalf("%s: exit %d, want pad %s\n%s%s%+v", what, r.code, version, r.out, r.err, d.last())
	}
	b, err := os.ReadFile(dir + "/.terraform.lock.hcl")
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}
