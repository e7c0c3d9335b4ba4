package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"sutler/internal/ociruntime"
)

// composeFile is what this test reads of deploy/compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		NetworkMode string   `yaml:"network_mode"`
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Tmpfs       []string
		Volumes     []string
	}
	Volumes map[string]any
}

// composeFlags returns the flags by which docker run does what the compose file says.
// prefix goes before the names of volumes, and before the folder of the control socket.
func composeFlags(t *testing.T, prefix string) []string {
	t.Helper()
	var c composeFile
	if err := yaml.Unmarshal([]byte(contents(t, "../deploy/compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	s := c.Services["sutler"]
	flags := []string{"--network", s.NetworkMode}
	if s.ReadOnly {
		flags = append(flags, "--read-only")
	}
	for flag, values := range map[string][]string{"--cap-drop": s.CapDrop, "--security-opt": s.SecurityOpt, "--tmpfs": s.Tmpfs} {
		for _, v := range values {
			flags = append(flags, flag, v)
		}
	}
	for _, v := range s.Volumes {
		from, to, _ := strings.Cut(v, ":")
		switch {
		case from == "/run/sutler":
			from = "/run/" + prefix
		case !strings.HasPrefix(from, "/"):
			from = prefix + "-" + from
		}
		flags = append(flags, "-v", from+":"+to)
	}
	return append(flags, s.Image)
}

// TestImageSelf runs sutler in a container of its own image, as the compose file does, and
// builds through it from outside.
func TestImageSelf(t *testing.T) {
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			engine(t, name)
			dir := t.TempDir()
			d := &daemon{t: t, dir: dir, in: []string{"nsenter", "--net=/run/netns/" + os.Getenv("SUTLER_E2E_NETNS")}}
			const container = "sutler-e2e-self"
			socket := filepath.Join(cacheDir(t), name, "run", container, "sutler.sock")
			d.env = append(os.Environ(), "SUTLER_SOCKET="+socket, "SUTLER_STORE_STATE="+dir+"/state", "HOME="+dir, "XDG_CONFIG_HOME="+dir)
			d.sutler("image", "self", "--engine", "docker", "--tag", "sutler:local")
			if r := d.sutler("image", "self", "--engine", "docker", "--tag", "sutler:local"); !strings.Contains(r.err, "has sutler:local already") {
				t.Errorf("loaded twice: %s", r.err)
			}
			d.sutler("image", "self", "-o", dir+"/one.tar")
			d.sutler("image", "self", "-o", dir+"/two.tar")
			if contents(t, dir+"/one.tar") != contents(t, dir+"/two.tar") {
				t.Error("the same program makes two images")
			}
			d.run(dir, nil, "docker", "rm", "-fv", container) // of a run that was killed
			d.must(dir, nil, "docker", append([]string{"run", "-d", "--name", container, "--health-interval", "1s"}, composeFlags(t, container)...)...)
			defer func() {
				if t.Failed() {
					t.Log(d.run(dir, nil, "docker", "logs", container).err)
				}
				d.must(dir, nil, "docker", "rm", "-fv", container)
				d.must(dir, nil, "docker", "volume", "rm", container+"-cache", container+"-state")
				d.must(dir, nil, "docker", "image", "rm", "sutler:local")
			}()
			healthy := func() bool {
				return strings.TrimSpace(d.must(dir, nil, "docker", "inspect", "--format", "{{.State.Health.Status}}", container).out) == "healthy"
			}
			for end := time.Now().Add(40 * time.Second); !healthy(); time.Sleep(100 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the container does not turn healthy")
				}
			}
			d.must(dir, nil, "docker", "exec", container, "sutler", "healthcheck")
			write(t, dir+"/app/Dockerfile", "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends hello\n")
			d.sutler("build", "--strict", "--no-cache", dir+"/app")
			if s := d.last(); s.Verified < 2 || s.Failed > 0 {
				t.Errorf("%d of %d verified, %d failed", s.Verified, s.Files, s.Failed)
			}
		})
	}
}

// A finding is what the tests read of `doctor --json`.
type finding struct{ ID, Severity, What, Where, Command string }

// doctor examines and returns what was found, and the exit code.
func (d *daemon) doctor(args ...string) ([]finding, int) {
	d.t.Helper()
	r := d.run(d.dir, nil, binary, append([]string{"doctor", "--json"}, args...)...)
	var v struct{ Findings []finding }
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		d.t.Fatalf("doctor: %v\n%s\n%s", err, r.out, r.err)
	}
	return v.Findings, r.code
}

// TestDoctor looks from containers on two networks while all is well, while a firewall
// keeps one from sutler, and while names do not resolve.
func TestDoctor(t *testing.T) {
	need(t, "iptables", "nft")
	ownContainers(t, "runc")
	d := inEngine(t, "docker28")
	const other = "sutler-e2e-doctor"
	d.run(d.dir, nil, "docker", "network", "rm", other) // of a run that was killed
	d.must(d.dir, nil, "docker", "network", "create", other)
	defer d.must(d.dir, nil, "docker", "network", "rm", other)
	d.stop()
	d.set("BRIDGES=true")
	d.serve()

	on := func(all []finding, network string) []finding {
		return slices.DeleteFunc(slices.Clone(all), func(f finding) bool { return f.ID != "network" || f.Where != "docker network "+network })
	}
	images := sorted(d.must(d.dir, nil, "docker", "image", "ls", "-aq").out)
	before, code := d.doctor("--bundle", d.dir+"/bundle.tar.gz")
	for _, network := range []string{"bridge", other} {
		if f := on(before, network); len(f) == 0 || f[0].Severity != "ok" || !strings.Contains(f[0].What, "TLS is trusted") {
			t.Errorf("%s: %+v", network, before)
		}
	}
	if code != 0 {
		t.Errorf("exit %d while all is well: %+v", code, before)
	}
	output(t, "tar", "-C", d.dir, "-xzf", d.dir+"/bundle.tar.gz")
	for _, name := range []string{"doctor.json", "config.txt", "status.json", "metrics.txt"} {
		if text := contents(t, d.dir+"/sutler-doctor/"+name); text == "" || strings.Contains(text, d.dir) {
			t.Errorf("%s names the home folder, or is empty: %s", name, text)
		}
	}
	if left := sorted(d.must(d.dir, nil, "docker", "image", "ls", "-aq").out); left != images {
		t.Errorf("the image stays in the engine: %s", left)
	}

	d.must(d.dir, nil, "iptables", "-I", "INPUT", "-i", "docker0", "-p", "tcp", "--dport", "7885", "-j", "DROP")
	defer d.must(d.dir, nil, "iptables", "-D", "INPUT", "-i", "docker0", "-p", "tcp", "--dport", "7885", "-j", "DROP")
	all, code := d.doctor()
	f := on(all, "bridge")
	if code != 1 || len(f) == 0 || f[0].Severity != "broken" || !strings.Contains(f[0].What, "firewall") {
		t.Fatalf("exit %d, %+v", code, f)
	}
	if f := on(all, other); len(f) == 0 || f[0].Severity != "ok" {
		t.Errorf("the other network: %+v", f)
	}
	allow := f[0].Command
	d.must(d.dir, nil, "sh", "-c", allow)
	defer d.must(d.dir, nil, "sh", "-c", strings.Replace(allow, " -I ", " -D ", 1))
	if all, code := d.doctor(); code != 0 || on(all, "bridge")[0].Severity != "ok" {
		t.Errorf("after %q: exit %d, %+v", allow, code, all)
	}

	if slices.ContainsFunc(before, func(f finding) bool { return strings.Contains(f.What, "resolves neither") }) {
		lacks(t, "this machine resolves no public name")
	}
	d.must(d.dir, nil, "nft", `table inet sutler_e2e_names {
		chain forward { type filter hook forward priority -5; meta l4proto { tcp, udp } th dport 53 drop; }
		chain input { type filter hook input priority -5; iifname "docker0" meta l4proto { tcp, udp } th dport 53 drop; }
	}`)
	defer d.must(d.dir, nil, "nft", "delete", "table", "inet", "sutler_e2e_names")
	all, code = d.doctor()
	f = on(all, "bridge")
	if code != 1 || len(f) < 2 || f[0].Severity != "ok" || f[1].Severity != "broken" || !strings.Contains(f[1].What, "DNS fails in containers (timeout") {
		t.Errorf("without names: exit %d, %+v", code, f)
	}
}

// ownContainers gives buildah and podman a store of their own, a runtime, and the network of
// this machine, until the test ends. It returns the command that lists what is in the store.
func ownContainers(t *testing.T, runtime string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/storage.conf", "[storage]\ndriver = \"vfs\"\ngraphroot = \""+dir+"/root\"\nrunroot = \""+dir+"/run\"\n")
	write(t, dir+"/containers.conf", "[containers]\nnetns = \"host\"\n[engine]\nruntime = \"own\"\n[engine.runtimes]\nown = [\""+runtime+"\", \"/usr/sbin/runc\", \"/usr/bin/runc\"]\n")
	t.Setenv("CONTAINERS_STORAGE_CONF", dir+"/storage.conf")
	t.Setenv("CONTAINERS_CONF", dir+"/containers.conf")
	t.Setenv("BUILDAH_RUNTIME", runtime)
}

// whatSteps returns what doctor says of the steps of a builder, and fails unless they reach
// sutler and trust its authority.
func (d *daemon) whatSteps(all []finding, builder string) string {
	d.t.Helper()
	of := slices.DeleteFunc(slices.Clone(all), func(f finding) bool { return f.ID != "builders" || f.Where != builder })
	if len(of) < 2 || of[0].Severity != "ok" || !strings.Contains(of[1].What, "steps reach sutler at ") || !strings.Contains(of[1].What, "TLS is trusted") {
		d.t.Errorf("%s: %+v", builder, of)
		return ""
	}
	return of[0].What
}

// TestDoctorBuilders looks from the steps of each builder, without and with the program in
// place of runc, and at what that leaves.
func TestDoctorBuilders(t *testing.T) {
	const served, not = "served by sutler", "not served"
	program := wrapper(t)
	for _, tt := range []struct {
		engine   string
		builders []string // the first ones are those that the program serves
		wrapped  int
		left     [][]string // commands that list what is there
	}{
		{"docker20", []string{"docker build, BuildKit", "docker build, classic"}, 1, [][]string{{"docker", "image", "ls", "-a"}, {"docker", "ps", "-aq"}, {"docker", "volume", "ls"}, {"docker", "system", "df", "-v", "--format", "{{len .BuildCache}}"}}},
		{"docker28", []string{"docker build, BuildKit", "docker build, classic"}, 2, [][]string{{"docker", "image", "ls", "-a"}, {"docker", "ps", "-aq"}, {"docker", "volume", "ls"}, {"docker", "buildx", "du"}}},
		{"buildkitd", []string{"buildctl", "buildx builder sutler-e2e"}, 2, [][]string{{"buildctl", "du"}}},
	} {
		t.Run(tt.engine, func(t *testing.T) {
			ownContainers(t, "runc")
			engine(t, tt.engine)
			tree := strings.TrimSpace(output(t, "./engines.sh", "root", tt.engine))
			d := wrapped(t, tree)
			things := func() string {
				var all string
				for _, c := range tt.left {
					all += sorted(ages.ReplaceAllString(d.must(d.dir, nil, c[0], c[1:]...).out, ""))
				}
				return all
			}
			before := things()
			all, code := d.doctor()
			for _, b := range tt.builders {
				if what := d.whatSteps(all, b); !strings.Contains(what, not) || code != 0 {
					t.Errorf("%s without the wrapper: exit %d, %s", b, code, what)
				}
			}
			place(t, program, tree+"/usr/local/sbin/runc", ociruntime.Place{})
			all, _ = d.doctor()
			for _, b := range tt.builders[:tt.wrapped] {
				if what := d.whatSteps(all, b); !strings.Contains(what, served) {
					t.Errorf("%s with the wrapper: %s", b, what)
				}
			}
			if after := things(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// sorted returns the lines of a list that has no order of its own, without their blanks.
func sorted(list string) string {
	lines := strings.Split(list, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// ages are what changes in lists of images by itself.
var ages = regexp.MustCompile(`(?i)(less than )?(an?|about an?|[0-9]+) (second|minute|hour)s? ago|[0-9]+[smh] ago`)

// TestDoctorBuildah looks from the steps of buildah and podman.
func TestDoctorBuildah(t *testing.T) {
	if os.Getuid() != 0 {
		lacks(t, "a store of its own needs root")
	}
	need(t, "buildah", "podman", "runc")
	t.Setenv("DOCKER_HOST", "unix:///nowhere")
	at := filepath.Join(t.TempDir(), "runc")
	ownContainers(t, at)
	dir := t.TempDir()
	place(t, wrapper(t), at, ociruntime.Place{Steps: dir})
	d := start(t, "STEPS="+dir)
	things := func() (all string) {
		for _, c := range [][]string{{"buildah", "images", "-a"}, {"buildah", "containers"}, {"podman", "images", "-a"}, {"podman", "ps", "-a", "--external"}} {
			all += d.must(d.dir, nil, c[0], c[1:]...).out
		}
		return all
	}
	before := things()
	for _, want := range []string{"served by sutler", "not served"} {
		all, _ := d.doctor()
		for _, b := range []string{"buildah", "podman"} {
			if what := d.whatSteps(all, b); !strings.Contains(what, want) {
				t.Errorf("%s: %q, want %s", b, what, want)
			}
		}
		d.stop()
		d.set("STEPS=" + d.dir + "/elsewhere")
		d.serve()
	}
	if after := things(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
