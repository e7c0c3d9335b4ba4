package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sutler/internal/ecosystem/oci"
)

// A puller is one of the programs that pull images: it fetches image to a place of its own
// through the endpoint of d, or only says so with an error.
type puller struct {
	name string
	pull func(t *testing.T, d *daemon, image string) result
}

// registries writes the configuration by which the tools of containers/image reach two
// registries through the native endpoint.
func registries(t *testing.T, d *daemon) string {
	path := filepath.Join(t.TempDir(), "registries.conf")
	text := ""
	for _, host := range []string{"one.example", "two.example"} {
		text += fmt.Sprintf("[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\n", host, d.addr+"/"+host)
	}
	write(t, path, text)
	return path
}

// pullers are the programs that Debian has.
func pullers(t *testing.T) []puller {
	need(t, "skopeo", "buildah", "podman")
	all := []puller{
		{"skopeo", func(t *testing.T, d *daemon, image string) result {
			return d.run(t.TempDir(), nil, "skopeo", "--registries-conf", registries(t, d), "--insecure-policy", "copy", "--all", "docker://"+image, "dir:image")
		}},
		{"skopeo through the proxy", func(t *testing.T, d *daemon, image string) result {
			return d.run(t.TempDir(), nil, binary, "exec", "--", "skopeo", "--insecure-policy", "copy", "--all", "docker://"+image, "dir:image")
		}},
	}
	for _, name := range []string{"buildah", "podman"} {
		all = append(all, puller{name, func(t *testing.T, d *daemon, image string) result {
			dir := t.TempDir()
			write(t, dir+"/policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`)
			return d.run(dir, []string{"CONTAINERS_REGISTRIES_CONF=" + registries(t, d)}, name, "--root", dir+"/root", "--runroot", dir+"/run",
				"--storage-driver", "vfs", "pull", "--signature-policy", dir+"/policy.json", image)
		}})
	}
	return all
}

// mirrors returns the settings by which registries of these names are found on this machine.
func mirrors(byHost map[string]string) []string {
	var list, names []string
	for host, addr := range byHost {
		list, names = append(list, "https://"+host+"/=http://"+addr+"/"), append(names, "oci="+host)
	}
	return []string{"UPSTREAM_MIRRORS=" + strings.Join(list, ","), "UPSTREAM_MIRRORS_ONLY=true", "HOSTS=" + strings.Join(names, ",")}
}

// hub is the host of the registry that image names without a host mean.
func hub() string { return oci.New(oci.Options{}).Profile().Hosts[0] }

// TestOCI pulls with several clients: cold, warm, with a tag that moved, and with the
// registry gone. Layers that the store has are not fetched again for another repository.
func TestOCI(t *testing.T) {
	r := newRegistry(t, nil, freeAddr(t), "", "")
	r.push("team/app", "1", 1, 2)
	d := start(t, mirrors(map[string]string{"one.example": r.addr, "two.example": r.addr})...)
	all := pullers(t)
	for i, p := range all {
		if got := p.pull(t, d, "one.example/team/app:1"); got.code != 0 {
			t.Fatalf("%s: exit %d\n%s%s", p.name, got.code, got.out, got.err)
		}
		fetched := metric(t, d, `sutler_origin_bytes_total{ecosystem="oci"}`)
		if i == 0 && fetched < 600_000 {
			t.Errorf("%s fetched %d bytes", p.name, fetched)
		}
		if i > 0 && fetched > 620_000 {
			t.Errorf("after %s %d bytes were fetched: more than the image has", p.name, fetched)
		}
	}
	before := metric(t, d, `sutler_origin_bytes_total{ecosystem="oci"}`)
	if got := all[0].pull(t, d, "two.example/team/app:1"); got.code != 0 {
		t.Fatalf("%s%s", got.out, got.err)
	}
	if more := metric(t, d, `sutler_origin_bytes_total{ecosystem="oci"}`) - before; more > 5_000 {
		t.Errorf("another registry's image of the same layers cost %d bytes", more)
	}
	r.push("team/app", "2", 1, 3)
	if got := all[0].pull(t, d, "one.example/team/app:2"); got.code != 0 {
		t.Fatalf("%s%s", got.out, got.err)
	}
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	for _, p := range all {
		if got := p.pull(t, d, "one.example/team/app:1"); got.code != 0 {
			t.Errorf("%s offline: exit %d\n%s%s", p.name, got.code, got.out, got.err)
		}
		if got := p.pull(t, d, "one.example/team/other:1"); got.code == 0 || !strings.Contains(got.out+got.err, "offline") {
			t.Errorf("%s offline, not stored: exit %d\n%s%s", p.name, got.code, got.out, got.err)
		}
	}
}

// metric returns the sum of what the daemon counts under names with that beginning.
func metric(t *testing.T, d *daemon, name string) int64 {
	t.Helper()
	resp, err := http.Get("http://" + d.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return sampleSum(t, string(text), name)
}

// sampleSum is metric of a text of the daemon's.
func sampleSum(t *testing.T, text, name string) int64 {
	t.Helper()
	var sum float64
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(line, name) {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		sum += v
	}
	return int64(sum)
}

// TestOCIPrivate gets at a registry that wants a password with the credential of the
// configuration, and at nothing with that of a client.
func TestOCIPrivate(t *testing.T) {
	need(t, "skopeo")
	r := newRegistry(t, nil, freeAddr(t), "me", "secret")
	r.push("team/app", "1", 4)
	d := start(t, mirrors(map[string]string{"one.example": r.addr})...)
	p := pullers(t)[0]
	if got := p.pull(t, d, "one.example/team/app:1"); got.code == 0 || !strings.Contains(got.err, "credentials configured") {
		t.Errorf("without a credential: exit %d\n%s", got.code, got.err)
	}
	got := d.run(t.TempDir(), nil, "skopeo", "--registries-conf", registries(t, d), "--insecure-policy", "copy", "--src-creds", "me:secret",
		"docker://one.example/team/app:1", "dir:image")
	if got.code == 0 {
		t.Error("a client's own password opened what sutler has no credential for")
	}
	d.stop()
	write(t, d.dir+"/.docker/config.json", `{"auths":{"http://`+r.addr+`":{"username":"me","password":"secret"}}}`)
	d.set("UPSTREAM_DOCKER_CONFIG=true")
	d.serve()
	for range 2 {
		if got := p.pull(t, d, "one.example/team/app:1"); got.code != 0 {
			t.Errorf("with the credential: exit %d\n%s", got.code, got.err)
		}
	}
	if out := d.sutler("ls", "--json").out + d.log.String(); strings.Contains(out, "secret") {
		t.Error("the password shows")
	}
}

// TestOCIHostile puts a registry in between that changes one layer: no client takes it,
// nothing of it is stored, and the right bytes are taken afterwards.
func TestOCIHostile(t *testing.T) {
	r := newRegistry(t, nil, freeAddr(t), "", "")
	r.push("team/app", "1", 5)
	var evil atomic.Bool
	evil.Store(true)
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: r.addr}) },
		ModifyResponse: func(resp *http.Response) error {
			if evil.Load() && resp.ContentLength > 100_000 {
				resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, resp.ContentLength-1), strings.NewReader("x")))
			}
			return nil
		},
	})
	defer between.Close()
	d := start(t, mirrors(map[string]string{"one.example": strings.TrimPrefix(between.URL, "http://")})...)
	for _, p := range pullers(t)[:2] {
		if got := p.pull(t, d, "one.example/team/app:1"); got.code == 0 {
			t.Errorf("%s took a layer that was changed", p.name)
		}
	}
	if n := metric(t, d, "sutler_verify_failures_total"); n == 0 {
		t.Error("no failed verification was counted")
	}
	evil.Store(false)
	if got := pullers(t)[0].pull(t, d, "one.example/team/app:1"); got.code != 0 {
		t.Errorf("the right bytes were refused: %s", got.err)
	}
}

// TestContainerd fetches with containerd's client, which names the registry by ?ns=.
func TestContainerd(t *testing.T) {
	need(t, "containerd", "ctr")
	if os.Getuid() != 0 {
		lacks(t, "containerd needs root")
	}
	r := newRegistry(t, nil, freeAddr(t), "", "")
	r.push("team/app", "1", 6)
	d := start(t, mirrors(map[string]string{"one.example": r.addr})...)
	dir := t.TempDir()
	write(t, dir+"/config.toml", "version = 2\nroot = \""+dir+"/root\"\nstate = \""+dir+"/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \""+dir+"/c.sock\"\n")
	cmd := exec.Command("containerd", "-c", dir+"/config.toml")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it holds nothing that is needed
		_ = cmd.Wait()         // its status is the signal
	}()
	ctr := func(args ...string) result {
		return d.run(dir, nil, "ctr", append([]string{"-a", dir + "/c.sock"}, args...)...)
	}
	for end := time.Now().Add(10 * time.Second); ctr("version").code != 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("containerd does not answer")
		}
	}
	write(t, dir+"/certs.d/one.example/hosts.toml", "server = \"http://"+d.addr+"\"\n[host.\"http://"+d.addr+"\"]\ncapabilities = [\"pull\", \"resolve\"]\n")
	if got := ctr("content", "fetch", "--hosts-dir", dir+"/certs.d", "--all-platforms", "one.example/team/app:1"); got.code != 0 {
		t.Fatalf("ctr: exit %d\n%s%s", got.code, got.out, got.err)
	}
	if n := metric(t, d, `sutler_responses_total{ecosystem="oci",outcome="miss"`); n < 6 {
		t.Errorf("%d resources were fetched through sutler, want an index, two manifests, two configurations and a layer", n)
	}
	if got := ctr("content", "fetch", "--hosts-dir", dir+"/certs.d", "one.example/team/none:1"); got.code == 0 || !strings.Contains(got.err, "not found") {
		t.Errorf("what is not there: exit %d\n%s", got.code, got.err)
	}
}
