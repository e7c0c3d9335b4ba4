package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// plainBase is the name of the base image of plain builds, in the default registry.
const plainBase = "plainbase:1"

// plainBaseDockerfile makes it, with a layer that no image of the engines has.
const plainBaseDockerfile = "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl && rm -r /var/lib/apt/lists\nRUN head -c 12000000 /dev/urandom >/var/plain\n"

// pushBase puts an image with apt in it into a registry.
func pushBase(t *testing.T, r *registry) {
	t.Helper()
	need(t, "skopeo")
	layout := filepath.Join(cacheDir(t), "plainbase-"+sha256Of([]byte(plainBaseDockerfile))[:8])
	if _, err := os.Stat(layout + "/index.json"); err != nil {
		engine(t, "docker28")
		archive, dir := t.TempDir()+"/base.tar", t.TempDir()
		write(t, dir+"/Dockerfile", plainBaseDockerfile)
		output(t, "docker", "build", "-q", "-t", plainBase, dir)
		output(t, "docker", "save", "-o", archive, plainBase)
		output(t, "docker", "rmi", plainBase)
		output(t, "docker", "builder", "prune", "-af")
		output(t, "skopeo", "--insecure-policy", "copy", "docker-archive:"+archive, "oci:"+layout+".part:1")
		if err := os.Rename(layout+".part", layout); err != nil {
			t.Fatal(err)
		}
	}
	output(t, "skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "oci:"+layout+":1", "docker://"+r.addr+"/library/"+plainBase)
}

// plainContext writes a project that needs a base image, packages and a file.
func plainContext(t *testing.T, base string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/Dockerfile", "FROM "+base+"\nRUN apt-get update && apt-get install -y --no-install-recommends hello\nUSER nobody\nRUN [\"/usr/bin/curl\", \"-fsS\", \"-o\", \"/dev/null\", \""+registryFile(t)+"\"]\n")
	write(t, dir+"/docker-compose.yml", "version: \"3\"\nservices:\n  app:\n    build: .\n    image: plain-compose\n")
	return dir
}

// A traffic is what clients got and what origins gave, bytes.
type traffic struct{ served, origin, images int64 }

func (d *daemon) traffic() traffic {
	d.t.Helper()
	text := d.must(d.dir, nil, "curl", "-sS", "http://"+d.addr+"/metrics").out
	return traffic{
		sampleSum(d.t, text, `sutler_response_bytes_total{`), sampleSum(d.t, text, `sutler_origin_bytes_total{`),
		sampleSum(d.t, text, `sutler_response_bytes_total{ecosystem="oci"`),
	}
}

// A plain is one way to build a folder without a word of sutler. fresh forgets what the
// builder has of earlier builds.
type plain struct {
	name  string
	build func(dir string) result
	fresh func()
}

// allPlain builds by each, twice by the first: from then on all comes from the store, the
// base image and what the steps ask for.
func allPlain(t *testing.T, d *daemon, dir string, builders []plain) {
	t.Helper()
	for i, b := range append(builders[:1:1], builders...) {
		b.fresh()
		before, start := d.traffic(), time.Now()
		if r := b.build(dir); r.code != 0 {
			t.Errorf("%s: exit %d\n%s%s", b.name, r.code, r.out, r.err)
			continue
		}
		now := d.traffic()
		served, origin, images := now.served-before.served, now.origin-before.origin, now.images-before.images
		t.Logf("%s: %s, served %d bytes, %d of them base images, from origins %d", b.name, time.Since(start).Round(time.Second), served, images, origin)
		if images < 10_000_000 || served-images < 1_000_000 {
			t.Errorf("%s: %d bytes of base images and %d others came through sutler", b.name, images, served-images)
		}
		if i > 0 && origin > served/100 {
			t.Errorf("%s: %d of %d bytes came from origins", b.name, origin, served)
		}
	}
}

// A machine is what an attach may change, as text by name.
type machineState map[string]string

// state describes a machine whose files are below root, by commands that run in it.
func (d *daemon) state(root string, commands ...[]string) machineState {
	d.t.Helper()
	s := machineState{}
	for _, dir := range []string{"/etc", "/usr/local", "/root"} {
		err := filepath.WalkDir(root+dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			i, err := e.Info()
			if err != nil {
				return err
			}
			text := i.Mode().String()
			if i.Mode().IsRegular() {
				text += " " + contents(d.t, path)
			}
			s[strings.TrimPrefix(path, root)] = text
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.t.Fatal(err)
		}
	}
	for _, c := range commands {
		s[strings.Join(c, " ")] = d.must(d.dir, nil, c[0], c[1:]...).out
	}
	return s
}

// same fails if anything differs.
func (s machineState) same(t *testing.T, before machineState) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if was, ok := before[name]; !ok || was != s[name] {
			t.Errorf("left: %s was there: %v, before and now:\n%s", name, ok, cmp.Diff(strings.Split(was, "\n"), strings.Split(s[name], "\n")))
		}
	}
	for name := range before {
		if _, ok := s[name]; !ok {
			t.Errorf("gone: %s", name)
		}
	}
}

// rules prints what the packet filter has, but for counters and the order, which an engine
// changes by itself.
const rules = `nft list ruleset | sed -E 's/counter packets [0-9]+ bytes [0-9]+//' | sort`

// TestAttachPlain builds by plain commands after `up`, on each engine and by each
// builder; after `down` the machine is as it was.
func TestAttachPlain(t *testing.T) {
	need(t, "docker-compose")
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			a := toAttach(t, name)
			a.setConf(odd)
			pushBase(t, a.registry)
			dir := plainContext(t, plainBase)
			commands := [][]string{{"sh", "-c", rules}, {"sh", "-c", "docker images -q | sort -u"}, {"docker", "network", "ls", "--format", "{{.Name}}"}, {"docker", "info", "--format", "{{json .Runtimes}} {{.DefaultRuntime}} {{json .RegistryConfig.Mirrors}}"}}
			made := []string{"plain-classic", "plain-buildkit", "plain-compose", plainBase}
			fresh := func() {
				a.run(a.dir, nil, "docker", append([]string{"rmi", "-f"}, made...)...)
				a.docker("image", "prune", "-f")
				a.docker("builder", "prune", "-af")
			}
			fresh()
			a.docker("run", "--rm", "debian:bookworm-slim", "true") // with its first container Docker 28 makes a table that stays
			before := a.state(a.root, commands...)
			r := a.sutler("up", "-y")
			for _, tool := range []string{"docker", "runtime"} {
				if !strings.Contains(r.err, "✔ "+tool) {
					t.Errorf("%s is not attached: %s", tool, r.err)
				}
			}
			allPlain(t, a.daemon, dir, []plain{
				{"docker build, classic", func(dir string) result {
					return a.run(dir, []string{"DOCKER_BUILDKIT=0"}, "docker", "build", "--no-cache", "-t", "plain-classic", ".")
				}, fresh},
				{"docker build, BuildKit", func(dir string) result {
					return a.run(dir, []string{"DOCKER_BUILDKIT=1"}, "docker", "build", "--no-cache", "-t", "plain-buildkit", ".")
				}, fresh},
				{"docker-compose build", func(dir string) result {
					return a.run(dir, []string{"DOCKER_BUILDKIT=1", "COMPOSE_DOCKER_CLI_BUILD=1"}, "docker-compose", "build", "--no-cache")
				}, fresh},
			})
			fresh()
			a.sutler("down", "-y")
			a.state(a.root, commands...).same(t, before)
		})
	}
}

// TestAttachPlainBuildKit is the same for a buildkitd of its own, by buildctl and by buildx.
func TestAttachPlainBuildKit(t *testing.T) {
	engine(t, "buildkitd")
	root := strings.TrimSpace(output(t, "./engines.sh", "root", "buildkitd"))
	r := newRegistry(t, nil, hostIn(t)+":"+portOf(freeAddr(t)), "", "")
	in := []string{"nsenter", "--net=/run/netns/" + os.Getenv("SUTLER_E2E_NETNS")}
	d := startIn(t, in, "127.0.0.1:7885", append(mirrors(map[string]string{hub(): r.addr}), "UPSTREAM_ALLOW_PRIVATE_HOSTS="+r.addr,
		"STEPS="+root+"/run/sutler-steps", "ATTACH_ROOT="+root, "ATTACH_BUILDKIT_RESTART="+mustAbs(t, "engines.sh")+" restart buildkitd")...)
	t.Cleanup(func() { _ = os.RemoveAll(root + "/run/sutler-steps") }) // of this test only
	pushBase(t, r)
	engine(t, "buildkitd") // pushBase may have asked for another
	dir := plainContext(t, plainBase)
	before := d.state(root, []string{"sh", "-c", rules})
	d.set("ATTACH_TOOLS=runtime,buildkit")
	if up := d.sutler("up", "-y"); !strings.Contains(up.err, "✔ buildkit") || !strings.Contains(up.err, "✔ runtime") {
		t.Errorf("up: %s", up.err)
	}
	fresh := func() { output(t, "buildctl", "prune", "--all") }
	allPlain(t, d, dir, []plain{
		{"buildctl build", func(dir string) result {
			return d.run(dir, nil, "buildctl", "build", "--no-cache", "--frontend=dockerfile.v0", "--local=context=.", "--local=dockerfile=.")
		}, fresh},
		{"docker buildx build", func(dir string) result {
			return d.run(dir, nil, "docker", "buildx", "build", "--no-cache", ".")
		}, fresh},
	})
	fresh()
	d.sutler("down", "-y")
	d.state(root, []string{"sh", "-c", rules}).same(t, before)
}

// ownMounts makes a mount namespace in which folders of this machine are copies, and
// returns the command that enters it.
func ownMounts(t *testing.T, folders ...string) []string {
	t.Helper()
	own := t.TempDir()
	var script strings.Builder
	for i, dir := range folders {
		at := fmt.Sprintf("%s/%d", own, i)
		fmt.Fprintf(&script, "mkdir -p %s && cp -a %s/. %s && mount --bind %s %s && ", at, dir, at, at, dir)
	}
	script.WriteString("echo ready && exec sleep infinity")
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it sleeps
		_ = cmd.Wait()         // its status is the signal
	})
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatalf("the folders could not be mounted: %v", err)
	}
	return []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", cmd.Process.Pid), "--"}
}

// TestAttachPlainPodman is the same for podman and buildah of this machine, with runc; of crun,
// podman's own choice, it sees that podman finds the program in front of it. What is attached
// is in a mount namespace of the test's own.
func TestAttachPlainPodman(t *testing.T) {
	if os.Getuid() != 0 {
		lacks(t, "a store of its own needs root")
	}
	need(t, "buildah", "podman", "runc", "crun", "unshare")
	r := newRegistry(t, nil, freeAddr(t), "", "")
	pushBase(t, r)
	in := ownMounts(t, "/etc", "/usr/local/sbin")
	d := startIn(t, in, freeAddr(t), append(mirrors(map[string]string{hub(): r.addr}), "ATTACH_ROOT=/", "ATTACH_TOOLS=runtime,podman")...)
	dir := plainContext(t, strings.TrimPrefix(hub(), "registry-1.")+"/library/"+plainBase)
	listing := []string{"sh", "-c", "cd / && find etc/containers usr/local/sbin -type f -exec sha256sum {} + | sort"}
	before := d.must(d.dir, nil, listing[0], listing[1:]...).out
	if up := d.sutler("up"); !strings.Contains(up.err, "✔ podman") || !strings.Contains(up.err, "✔ runtime") {
		t.Errorf("up: %s", up.err)
	}
	write(t, d.dir+"/policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`)
	store := t.TempDir()
	global := []string{"--root", store + "/root", "--runroot", store + "/run", "--storage-driver", "vfs"}
	fresh := func() { d.must(d.dir, nil, "buildah", append(global, "rmi", "--all", "--force")...) }
	build := func(env []string, tool string, flags ...string) func(string) result {
		return func(dir string) result {
			args := slices.Concat(global, flags, []string{"build", "--no-cache", "--network=host", "--signature-policy", d.dir + "/policy.json", "-t", "localhost/plain", dir})
			return d.run(dir, env, tool, args...)
		}
	}
	// The runtime by its name: crun, the one by default, does not run everywhere.
	allPlain(t, d, dir, []plain{{"buildah build", build([]string{"BUILDAH_RUNTIME=runc"}, "buildah"), fresh}, {"podman build", build(nil, "podman", "--runtime=runc"), fresh}})
	if at := d.must(d.dir, nil, "podman", append(global, "info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}")...).out; at != "crun /usr/local/sbin/crun\n" {
		t.Errorf("podman's own runtime is %q", at)
	}
	d.sutler("down", "--keep-running")
	if after := d.must(d.dir, nil, listing[0], listing[1:]...).out; after != before {
		t.Errorf("left:\n%s\nbefore:\n%s", after, before)
	}
}

// TestAttachUpgrade replaces a sutler that serves builds by one of another version.
func TestAttachUpgrade(t *testing.T) {
	a := toAttach(t, "docker28")
	before := a.state(a.root)
	a.set("ATTACH_TOOLS=runtime,docker")
	a.sutler("up")
	newer := t.TempDir() + "/sutler"
	output(t, "go", "build", "-o", newer, "-ldflags", "-X main.version=999.0.0", "sutler/cmd/sutler")
	if up := a.must(a.dir, nil, newer, "up"); !strings.Contains(up.err, "starting anew") {
		t.Errorf("up: %s", up.err)
	}
	t.Cleanup(func() { a.run(a.dir, nil, newer, "down") }) // if the test ended before that
	if out := a.sutler("status", "--json").out; !strings.Contains(out, `"version": "999.0.0"`) {
		t.Errorf("status: %s", out)
	}
	dir := wrapperContext(t, plainDockerfile, "FROM debian:bookworm-slim", "")
	if r := a.run(dir, nil, "docker", "build", "--progress=plain", "--no-cache", "."); r.code != 0 || !strings.Contains(r.err, "@172.17.0.1:7885]") {
		t.Errorf("a step is not served: exit %d\n%s", r.code, r.err)
	}
	a.must(a.dir, nil, newer, "down")
	a.state(a.root).same(t, before)
}

// TestAttachNoRoot runs up as a user who may not change the machine: sutler runs, what it
// could not attach is named, and nothing else has changed.
func TestAttachNoRoot(t *testing.T) {
	if os.Getuid() != 0 {
		lacks(t, "another user can be had by root only")
	}
	root := t.TempDir()
	write(t, root+"/etc/docker/daemon.json", odd)
	write(t, root+"/usr/sbin/runc", "")
	d := start(t, "ATTACH_ROOT="+root)
	before := d.state(root)
	d.stop()
	output(t, "chown", "-R", "nobody", d.dir)
	for _, dir := range []string{filepath.Dir(d.dir), filepath.Dir(root), root, filepath.Dir(binary)} {
		output(t, "chmod", "a+rx", dir)
	}
	as := []string{"setpriv", "--reuid=nobody", "--clear-groups", "--", binary}
	up := d.run(d.dir, nil, as[0], append(as[1:], "up")...)
	defer d.must(d.dir, nil, as[0], append(as[1:], "down")...)
	if up.code != 0 || !strings.Contains(up.err, "! docker") || !strings.Contains(up.err, "sudo sutler up") || !strings.Contains(up.err, "! runtime") {
		t.Errorf("up: exit %d\n%s", up.code, up.err)
	}
	d.state(root).same(t, before)
}

// TestAttachProxyNetwork builds on a buildkitd that sends all steps through its own proxy,
// which the variables that attach gives its unit lead on to sutler.
func TestAttachProxyNetwork(t *testing.T) {
	engine(t, "buildkitd")
	root := strings.TrimSpace(output(t, "./engines.sh", "root", "buildkitd"))
	d := startIn(t, []string{"nsenter", "--net=/run/netns/" + os.Getenv("SUTLER_E2E_NETNS")}, "127.0.0.1:7885", "STEPS="+root+"/run/sutler-steps")
	t.Cleanup(func() {
		for _, name := range []string{"/run/sutler-steps", "/var/lib/chained", "/run/chained.sock", "/run/chained.pid"} {
			if err := os.RemoveAll(root + name); err != nil {
				t.Error(err)
			}
		}
	})
	programs, err := filepath.Glob(cacheDir(t) + "/bin/buildkitd-*")
	if err != nil || len(programs) == 0 {
		t.Fatalf("no buildkitd: %v", err)
	}
	cmd := exec.Command("./engines.sh", "chroot", "buildkitd", "env", "HTTP_PROXY=http://127.0.0.1:7885", "HTTPS_PROXY=http://127.0.0.1:7885", "SSL_CERT_FILE=/run/sutler-steps/files/ca.pem",
		"sh", "-c", "echo $$ >/run/chained.pid; exec /opt/"+filepath.Base(programs[len(programs)-1])+" --addr unix:///run/chained.sock --root /var/lib/chained --oci-worker-net=host --proxy-network")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		output(t, "./engines.sh", "chroot", "buildkitd", "sh", "-c", "kill $(cat /run/chained.pid)")
		_ = cmd.Wait() // its status is the signal
	})
	env := []string{"BUILDKIT_HOST=unix://" + root + "/run/chained.sock"}
	for end := time.Now().Add(20 * time.Second); d.run(d.dir, env, "buildctl", "debug", "workers").code != 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("buildkitd does not answer")
		}
	}
	dir := scratchContext(t, wrapperDockerfile, registryFile(t))
	for i := range 2 {
		before := d.traffic()
		r := d.run(dir, env, "buildctl", "build", "--progress=plain", "--no-cache", "--frontend=dockerfile.v0", "--local=context=.", "--local=dockerfile=.")
		now := d.traffic()
		if r.code != 0 || !strings.Contains(r.err, "proxy network requests:") || now.served-before.served < 1_000_000 {
			t.Fatalf("exit %d, %d bytes from sutler\n%s", r.code, now.served-before.served, r.err)
		}
		if origin := now.origin - before.origin; i > 0 && origin > 0 {
			t.Errorf("the second time origins gave %d bytes", origin)
		}
	}
}

// TestAttachPrivate builds from a server with a private address, as in a company's network:
// what a plain build had without sutler, it has with sutler; other containers do not get
// there by sutler.
func TestAttachPrivate(t *testing.T) {
	a := toAttach(t, "docker28")
	a.sutler("attach", "runtime")
	defer a.sutler("detach", "runtime")
	inside := besides(t, hostIn(t)) // the first one is allowed, for the registry's sake
	var asked atomic.Int64
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); _, _ = io.WriteString(w, "inside\n") })
	serve := func(secure bool) string {
		l, err := net.Listen("tcp", inside+":0")
		if err != nil {
			t.Fatal(err)
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: hello}}
		if secure {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s.URL
	}
	const get = "/usr/lib/apt/apt-helper -o Acquire::https::Verify-Peer=false download-file "
	plain, secure := serve(false), serve(true)
	nameless := "http_proxy=http://172.17.0.1:7885 " + get + plain + "/nameless /tmp/f"
	dir := t.TempDir()
	write(t, dir+"/Dockerfile", "FROM debian:bookworm-slim\nRUN echo \"proxy $http_proxy\" && "+get+plain+"/file /tmp/a && "+get+plain+"/debian/dists/inside/InRelease /tmp/b && "+
		get+secure+"/file /tmp/c && "+nameless+" && cat /tmp/a /tmp/b /tmp/c /tmp/f\n")
	for _, buildkit := range []string{"0", "1"} {
		before := asked.Load()
		r := a.run(dir, []string{"DOCKER_BUILDKIT=" + buildkit, "BUILDKIT_PROGRESS=plain"}, "docker", "build", "--no-cache", ".")
		if text := r.out + r.err; r.code != 0 || strings.Count(text, "inside\n") < 4 || !strings.Contains(text, "@172.17.0.1:7885") || asked.Load()-before != 4 {
			t.Errorf("DOCKER_BUILDKIT=%s: exit %d, %d requests\n%s", buildkit, r.code, asked.Load()-before, text)
		}
	}
	before := asked.Load()
	if r := a.run(dir, nil, "docker", "run", "--rm", "debian:bookworm-slim", "sh", "-c", nameless); r.code == 0 || asked.Load() > before {
		t.Errorf("a container got there by sutler: exit %d\n%s%s", r.code, r.out, r.err)
	}
}

// TestAttachSilentStep has a step be silent for longer than sutler looks away, and then ask for
// something: it is still the step's. When it is over its receipt says so, also where the engine
// does not report that.
func TestAttachSilentStep(t *testing.T) {
	a := toAttach(t, "docker20")
	a.sutler("attach", "runtime")
	defer a.sutler("detach", "runtime")
	dir := t.TempDir()
	write(t, dir+"/Dockerfile", "FROM debian:bookworm-slim\nRUN sleep 15 && /usr/lib/apt/apt-helper download-file "+registryFile(t)+" /tmp/f\n")
	for _, buildkit := range []string{"0", "1"} {
		if r := a.run(dir, []string{"DOCKER_BUILDKIT=" + buildkit}, "docker", "build", "--no-cache", "."); r.code != 0 {
			t.Fatalf("DOCKER_BUILDKIT=%s: exit %d\n%s%s", buildkit, r.code, r.out, r.err)
		}
		var s struct {
			summary
			Command string
			Ended   time.Time
		}
		over := time.Now()
		for s.Ended.IsZero() {
			if time.Since(over) > 20*time.Second {
				t.Fatalf("DOCKER_BUILDKIT=%s: the step still runs: %+v", buildkit, s)
			}
			if err := json.Unmarshal([]byte(a.sutler("receipt", "show", "last", "--json").out), &s); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.Contains(s.Command, "sleep 15") || len(s.Lines) != 1 || s.Lines[0].URL != registryFile(t) {
			t.Errorf("DOCKER_BUILDKIT=%s: the receipt of the step: %+v", buildkit, s)
		}
	}
}

// besides gives this machine one more address of a host's network for the time of a test.
func besides(t *testing.T, host string) string {
	t.Helper()
	ip := net.ParseIP(host).To4()
	ip[3] += 100
	output(t, "ip", "address", "add", ip.String()+"/32", "dev", "lo")
	t.Cleanup(func() { output(t, "ip", "address", "delete", ip.String()+"/32", "dev", "lo") })
	return ip.String()
}
