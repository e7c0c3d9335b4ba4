package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sutler/internal/attach/tools"
	"sutler/internal/ecosystem/npm"
	"sutler/internal/edit"
)

// site describes the machine of a daemon whose clients have all files below its folder.
func site(t *testing.T, d *daemon) tools.Site {
	t.Helper()
	s := tools.Site{URL: "http://" + d.addr, Bundle: d.dir + "/bundle.pem", Hosts: []string{"one.example", "two.example"},
		Etc: d.dir + "/etc", Home: d.dir, Config: d.dir + "/config", User: true}
	write(t, s.Bundle, d.sutler("exec", "-q", "--", "sh", "-c", `cat "$SSL_CERT_FILE"`).out)
	return s
}

// written applies changes to the files of this machine, which belong to the test, and
// checks at its end that undoing them leaves what was there.
func written(t *testing.T, changes []tools.Change) {
	t.Helper()
	for _, c := range changes {
		old, err := os.ReadFile(c.Path)
		if err != nil {
			old = nil
		}
		text, record, err := c.Edit.Apply(old)
		if err != nil {
			t.Fatalf("%s: %v", c.Path, err)
		}
		write(t, c.Path, string(text))
		if err := os.Chmod(c.Path, c.Mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			now, err := os.ReadFile(c.Path)
			if err != nil {
				t.Fatal(err)
			}
			left, err := edit.Undo(c.Format, now, record)
			if err != nil || string(left) != string(old) {
				t.Errorf("%s: undone: %v\n%s", c.Path, err, left)
			}
		})
	}
}

// TestAttachedContainers pulls with the tools that read registries.conf.d of the user, and
// asks podman which runtime it would take.
func TestAttachedContainers(t *testing.T) {
	need(t, "skopeo", "buildah", "podman")
	r := newRegistry(t, nil, freeAddr(t), "", "")
	r.push("team/app", "1", 1)
	d := start(t, mirrors(map[string]string{"one.example": r.addr})...)
	s := site(t, d)
	written(t, tools.Containers(s))
	write(t, d.dir+"/policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`)
	got := d.run(t.TempDir(), nil, "skopeo", "--insecure-policy", "copy", "docker://one.example/team/app:1", "dir:image")
	if got.code != 0 || metric(t, d, `sutler_responses_total{ecosystem="oci",outcome="miss"`) == 0 {
		t.Errorf("skopeo: exit %d\n%s%s", got.code, got.out, got.err)
	}
	for _, name := range []string{"buildah", "podman"} {
		dir := t.TempDir()
		before := metric(t, d, `sutler_responses_total{ecosystem="oci"`)
		got := d.run(dir, nil, name, "--root", dir+"/root", "--runroot", dir+"/run", "--storage-driver", "vfs", "pull", "--signature-policy", d.dir+"/policy.json", "one.example/team/app:1")
		if got.code != 0 || metric(t, d, `sutler_responses_total{ecosystem="oci"`) == before {
			t.Errorf("%s: exit %d\n%s%s", name, got.code, got.out, got.err)
		}
	}
	d.stop()
	got = d.run(t.TempDir(), nil, "skopeo", "--insecure-policy", "copy", "docker://one.example/team/app:1", "dir:image")
	if !strings.Contains(got.err, "(Mirrors also failed: ") || !strings.Contains(got.err, "https://one.example/v2/") {
		t.Errorf("without sutler the registry itself was not asked:\n%s", got.err)
	}
	s.InFront = d.dir // containers.conf of users is not read as root
	runtimes := []string{s.InFront + "/runc", s.InFront + "/crun"}
	for _, at := range runtimes {
		write(t, at, "#!/bin/sh\nexec ${0##*/} \"$@\"\n")
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := tools.Containers(s)[1].Show()
	if err != nil {
		t.Fatal(err)
	}
	write(t, d.dir+"/containers.conf", lines)
	dir := t.TempDir()
	got = d.run(dir, []string{"CONTAINERS_CONF=" + d.dir + "/containers.conf"}, "podman", "--root", dir+"/root", "--runroot", dir+"/run", "--storage-driver", "vfs",
		"info", "--format", "{{.Host.OCIRuntime.Path}}")
	if !slices.Contains(runtimes, strings.TrimSpace(got.out)) {
		t.Errorf("podman's runtime is %q %s", got.out, got.err)
	}
}

// TestAttachedContainerd pulls with containerd's client from a registry with a file of its
// own, from one that only the default file covers and, with sutler down, without it.
func TestAttachedContainerd(t *testing.T) {
	need(t, "containerd", "ctr")
	if os.Getuid() != 0 {
		lacks(t, "containerd needs root")
	}
	r := newRegistry(t, nil, freeAddr(t), "", "")
	r.push("team/app", "1", 6)
	d := start(t, mirrors(map[string]string{"one.example": r.addr, "three.example": r.addr})...)
	s := site(t, d)
	config := "version = 2\nroot = \"" + d.dir + "/c/root\"\nstate = \"" + d.dir + "/c/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"" + d.dir + "/c.sock\"\n"
	write(t, s.Etc+"/containerd/config.toml", config)
	written(t, tools.Containerd(s, []byte(config)))
	cmd := exec.Command("containerd", "-c", s.Etc+"/containerd/config.toml")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it holds nothing that is needed
		_ = cmd.Wait()         // its status is the signal
	}()
	ctr := func(args ...string) result {
		return d.run(d.dir, nil, "ctr", append([]string{"-a", d.dir + "/c.sock"}, args...)...)
	}
	for end := time.Now().Add(10 * time.Second); ctr("version").code != 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("containerd does not answer")
		}
	}
	for _, name := range []string{"one.example", "three.example"} {
		before := metric(t, d, `sutler_responses_total{ecosystem="oci"`)
		got := ctr("content", "fetch", "--hosts-dir", s.Etc+"/containerd/certs.d", "--all-platforms", name+"/team/app:1")
		if got.code != 0 || metric(t, d, `sutler_responses_total{ecosystem="oci"`) == before {
			t.Errorf("%s: exit %d\n%s%s", name, got.code, got.out, got.err)
		}
	}
	d.stop()
	if got := ctr("content", "fetch", "--hosts-dir", s.Etc+"/containerd/certs.d", "--all-platforms", r.addr+"/team/app:1"); got.code != 0 {
		t.Errorf("without sutler: exit %d\n%s%s", got.code, got.out, got.err)
	}
}

// TestAttachedApt updates from this machine's own archive: through sutler while it is up,
// and without it when it is down; and without it fetches over HTTPS, too, after the folder of
// the bundle was emptied, as a restart of the machine does.
func TestAttachedApt(t *testing.T) {
	need(t, "apt-get", "perl", "systemd-tmpfiles")
	uri, suite := archive(t)
	d := start(t)
	s := site(t, d)
	root := newAptRoot(t, "deb [signed-by="+debianKeyring+"] "+uri+" "+suite+" main\n")
	s.Etc = root.dir + "/etc"
	written(t, tools.Apt(s))
	write(t, d.dir+"/apt.conf", "Dir::Etc::parts \""+s.Etc+"/apt/apt.conf.d\";\n")
	env := []string{"APT_CONFIG=" + d.dir + "/apt.conf"}
	update := func() result {
		args := root.args("update")
		return d.run(root.dir, env, args[0], args[1:]...)
	}
	if got := update(); got.code != 0 || metric(t, d, `sutler_responses_total{ecosystem="apt"`) < 2 {
		t.Errorf("with sutler: exit %d, %d answers\n%s%s", got.code, metric(t, d, `sutler_responses_total{ecosystem="apt"`), got.out, got.err)
	}
	d.stop()
	if err := os.RemoveAll(root.dir + "/var/lib/apt/lists"); err != nil {
		t.Fatal(err)
	}
	if got := update(); got.code != 0 || strings.Contains(got.out+got.err, d.addr) {
		t.Errorf("without sutler: exit %d\n%s%s", got.code, got.out, got.err)
	}
	if err := os.Remove(s.Bundle); err != nil {
		t.Fatal(err)
	}
	page := "https://" + npm.New(npm.Options{}).Profile().Hosts[0] + "/left-pad"
	fetch := func() result {
		return d.run(root.dir, env, "/usr/lib/apt/apt-helper", "-o", "Dir="+root.dir, "-o", "APT::Sandbox::User=root", "download-file", page, root.dir+"/page")
	}
	if got := fetch(); got.code == 0 {
		t.Errorf("with no bundle: exit %d, the next check tells nothing\n%s%s", got.code, got.out, got.err)
	}
	d.must(d.dir, nil, "systemd-tmpfiles", "--create", s.Etc+"/tmpfiles.d/sutler-apt.conf")
	if got := fetch(); got.code != 0 {
		t.Errorf("after the machine has started: exit %d\n%s%s", got.code, got.out, got.err)
	}
}

// TestAttachedPip downloads by the settings of a pip.conf alone.
func TestAttachedPip(t *testing.T) {
	x := newPythonIndex(t)
	x.wheel("attached", "1.0", "")
	d := start(t, x.settings(t)...)
	pip := systemPip()
	need(t, pip[0])
	changes := tools.Pip(site(t, d))
	written(t, changes)
	// This machine's own variables would go before the file.
	command := append([]string{"-u", "PIP_CERT", "-u", "PIP_PROXY", "-u", "REQUESTS_CA_BUNDLE", "-u", "CURL_CA_BUNDLE"}, append(pip, "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "attached")...)
	got := d.run(t.TempDir(), []string{"PIP_CONFIG_FILE=" + changes[0].Path}, "env", command...)
	if got.code != 0 || metric(t, d, `sutler_responses_total{ecosystem="pypi"`) == 0 {
		t.Errorf("pip: exit %d\n%s%s", got.code, got.out, got.err)
	}
}

// TestAttachedNpm downloads by the settings of an .npmrc that had others before.
func TestAttachedNpm(t *testing.T) {
	need(t, "npm", "node")
	d := start(t)
	s := site(t, d)
	write(t, s.Home+"/.npmrc", "; mine\nproxy=http://proxy.example:1\nfund=false")
	changes := tools.Npm(s)
	written(t, changes)
	dir := t.TempDir()
	got := d.run(dir, nil, "npm", "--userconfig", changes[0].Path, "--cache", filepath.Join(dir, "cache"), "pack", "left-pad@1.3.0")
	if got.code != 0 || metric(t, d, `sutler_responses_total{ecosystem="npm"`) < 2 {
		t.Errorf("npm: exit %d\n%s%s", got.code, got.out, got.err)
	}
}

// TestAttachedShell logs in with a profile: the variables are there while sutler is up.
func TestAttachedShell(t *testing.T) {
	need(t, "bash")
	d := start(t)
	s := site(t, d)
	s.Env = []tools.Variable{{Name: "http_proxy", Value: s.URL}, {Name: "SUTLER_TEST", Value: "it's $HOME"}}
	write(t, s.Home+"/.profile", "MINE=1")
	written(t, tools.Shell(s))
	login := func() string {
		return d.must(d.dir, nil, "sh", "-c", `. "$HOME/.profile"; echo "$MINE $http_proxy $SUTLER_TEST"`).out
	}
	if got, want := login(), "1 "+s.URL+" it's $HOME\n"; got != want {
		t.Errorf("up: %q, want %q", got, want)
	}
	d.stop()
	if got := strings.TrimSpace(login()); got != "1" {
		t.Errorf("down: %q", got)
	}
}

// TestAttachedBuildKit builds with a buildkitd that has the file of attach: the base image
// comes through sutler and, when that is down, from the registry itself.
func TestAttachedBuildKit(t *testing.T) {
	engine(t, "buildkitd") // for its programs: this one is another, with a configuration and folders of its own
	programs := func(name string) string {
		found, err := filepath.Glob(cacheDir(t) + "/bin/" + name + "-v*")
		if err != nil || len(found) == 0 {
			lacks(t, "no "+name)
		}
		return found[len(found)-1]
	}
	r := newRegistry(t, nil, freeAddr(t), "", "")
	r.push("team/app", "1", 7)
	r.push("team/app", "2", 8)
	d := start(t, "UPSTREAM_ALLOW_LOOPBACK="+r.addr)
	s := site(t, d)
	s.User, s.Hosts = false, []string{r.addr}
	changes := tools.BuildKit(s)
	write(t, changes[0].Path, "# mine\n[worker.oci]\nsnapshotter = \"native\"\nnetworkMode = \"host\"\n")
	written(t, changes)
	cmd := exec.Command(programs("buildkitd"), "--config", changes[0].Path, "--addr", "unix://"+d.dir+"/b.sock", "--root", d.dir+"/buildkit", "--containerd-worker=false")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
		_ = cmd.Wait()                       // its status is the signal
	}()
	buildctl := func(args ...string) result {
		return d.run(d.dir, nil, programs("buildctl"), append([]string{"--addr", "unix://" + d.dir + "/b.sock"}, args...)...)
	}
	for end := time.Now().Add(20 * time.Second); buildctl("debug", "workers").code != 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("buildkitd does not answer")
		}
	}
	build := func(tag string) result {
		write(t, d.dir+"/app/Dockerfile", "FROM "+r.addr+"/team/app:"+tag+"\nLABEL a=b\n")
		return buildctl("build", "--progress=plain", "--frontend=dockerfile.v0", "--local=context="+d.dir+"/app", "--local=dockerfile="+d.dir+"/app", "--output=type=oci,dest="+d.dir+"/image.tar")
	}
	if got := build("1"); got.code != 0 || metric(t, d, `sutler_responses_total{ecosystem="oci",outcome="miss"`) < 3 {
		t.Errorf("exit %d\n%s%s", got.code, got.out, got.err)
	}
	d.stop()
	if got := build("2"); got.code != 0 {
		t.Errorf("without sutler: exit %d\n%s%s", got.code, got.out, got.err)
	}
}
