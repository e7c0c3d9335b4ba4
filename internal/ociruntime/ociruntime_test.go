package ociruntime

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// standIn makes this test program the program under test: only a process can be replaced.
const standIn = "SUTLER_TEST_STAND_IN"

func TestMain(m *testing.M) {
	if os.Getenv(standIn) != "" {
		os.Exit(Main(os.Args, os.Environ(), os.Stderr))
	}
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		args string
		want command
	}{
		{"create --bundle /b id", command{"create", "/b", "id", false}},
		{"--root /r --log /l.json --log-format json create --bundle=/b --pid-file /p id", command{"create", "/b", "id", false}},
		{"--log=/l --systemd-cgroup run -b /b --keep id", command{"run", "/b", "id", false}},
		{"run id", command{"run", "", "id", false}},
		{"-root /r run -bundle /b id", command{"run", "/b", "id", false}},
		{"create -f /other.json id", command{"create", "", "id", true}},
		{"--log /l delete --force id", command{"delete", "", "id", false}},
		{"--new-option create create id", command{"create", "", "id", false}},
		{"--version", command{}},
		{"--bundle", command{}},
		{"create --bundle", command{verb: "create"}},
		{"", command{}},
	} {
		if got := parse(strings.Fields(tt.args)); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.args, got, tt.want)
		}
	}
}

// A rig is a daemon's folder with a bundle.
type rig struct {
	t             *testing.T
	steps, bundle string
	id            string
	socket        *net.UnixConn
}

// newRig makes the folders, the bundle as BuildKit would.
func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, steps: dir + "/steps", id: "y1qygci5w23lmu40gu8nnqhqt"}
	r.bundle = dir + "/executor/" + r.id
	for _, d := range []string{r.steps + "/files", r.bundle} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.config(config)
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Skip(err)
	}
	s := Settings{Network: network, Listen: []Listener{{"127.0.0.1:1", ""}, {"192.0.2.1:1", "podman0"}, {"192.0.2.2:1", "docker0"}},
		Env: []Variable{{"http_proxy", ProxyMark}, {"SSL_CERT_FILE", Dir + "/ca.pem"}, {"OWN", "theirs"}}}
	if err := s.Write(r.steps); err != nil {
		t.Fatal(err)
	}
	if r.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: r.steps + "/" + SocketName}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.socket.Close() })
	return r
}

const config = `{"ociVersion":"1.0.2","process":{"args":["/bin/sh","-c","make"],"env":["PATH=/bin","OWN=1"],"rlimits":[{"hard":18446744073709551615}]},
"mounts":[{"destination":"/dev","type":"tmpfs","source":"tmpfs"}],"root":{"path":"rootfs"},
"linux":{"cgroupsPath":"/docker/buildkit/x","namespaces":[{"type":"network"}],"resources":{"memory":{"limit":9223372036854771712}}},"unknown":{"a":1}}`

func (r *rig) config(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.bundle+"/config.json", []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// after runs the wrapper and returns the configuration that the runtime would see.
func (r *rig) after(args ...string) string {
	r.t.Helper()
	_ = serve(args, r.steps) // what counts is what the runtime sees
	data, err := os.ReadFile(r.bundle + "/config.json")
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

func (r *rig) run() string { return r.after("--log", "/l", "run", "--bundle", r.bundle, r.id) }

// TestOwnProxy serves a step to which docker's client gave sutler itself as its proxy, as it
// does if it is attached; that of somebody else stays.
func TestOwnProxy(t *testing.T) {
	for given, want := range map[string]bool{
		`"HTTP_PROXY=http://192.0.2.2:1","http_proxy=http://192.0.2.2:1/","NO_PROXY=theirs"`: true,
		`"HTTP_PROXY=http://192.0.2.2:12","NO_PROXY=theirs"`:                                 false,
		`"http_proxy=http://192.0.2.2:1","https_proxy=http://192.0.2.9:1","NO_PROXY=theirs"`: false,
	} {
		r := newRig(t)
		r.config(strings.Replace(config, `"OWN=1"`, given, 1))
		got := r.run()
		if served := strings.Contains(got, `:x@192.0.2.2:1"`); served != want || strings.Contains(got, "NO_PROXY=theirs") == want || want && strings.Contains(got, `=http://192.0.2.2:1`) {
			t.Errorf("%s: served %t, want %t: %s", given, served, want, got)
		}
	}
}

func TestPatch(t *testing.T) {
	r := newRig(t)
	got := r.run()
	for _, want := range []string{`"destination":"/dev/sutler"`, `"source":"` + r.steps + `/files"`, `"OWN=1"`, `"SSL_CERT_FILE=/dev/sutler/ca.pem"`,
		`@192.0.2.2:1"`, `"hard":18446744073709551615`, `"limit":9223372036854771712`, `"unknown":{"a":1}`, `"ociVersion":"1.0.2"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "theirs") {
		t.Error("a variable of the step was replaced")
	}
	buf := make([]byte, MaxReport)
	n, err := r.socket.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	var p Report
	if err := json.Unmarshal(buf[:n], &p); err != nil {
		t.Fatal(err)
	}
	if p.Builder != BuildKit || p.Container != r.id || p.Cgroup != "/docker/buildkit/x" || p.Rootfs != "rootfs" || !slices.Equal(p.Args, []string{"/bin/sh", "-c", "make"}) ||
		!strings.Contains(got, "http://"+p.ID+":x@") {
		t.Errorf("report: %s", buf[:n])
	}
	if info, err := os.Stat(r.bundle + "/config.json"); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode: %v, %v", info.Mode(), err)
	}
	if again := r.run(); again != got {
		t.Errorf("a second time it is changed again: %s", again)
	}
	if left, err := filepath.Glob(r.bundle + "/.sutler*"); err != nil || left != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestUntouched lists what makes a container be left alone.
func TestUntouched(t *testing.T) {
	for name, spoil := range map[string]func(r *rig){
		"not a step": func(r *rig) { r.id = "other" },
		"own proxy":  func(r *rig) { r.config(strings.Replace(config, "OWN=1", "HTTPS_PROXY=http://p.example", 1)) },
		"served already": func(r *rig) {
			r.config(strings.Replace(config, `"destination":"/dev"`, `"destination":"/dev/sutler/ca.pem"`, 1))
		},
		"dev of the host": func(r *rig) { r.config(strings.Replace(config, `"tmpfs"`, `"bind"`, 1)) },
		"no /dev":         func(r *rig) { r.config(strings.Replace(config, `"/dev"`, `"/d"`, 1)) },
		"labelled": func(r *rig) {
			r.config(strings.Replace(config, `"args"`, `"selinuxLabel":"system_u:system_r:container_t:s0:c1,c2","args"`, 1))
		},
		"broken":             func(r *rig) { r.config(config[:len(config)/2]) },
		"strange":            func(r *rig) { r.config(`{"process":[],"mounts":{}}`) },
		"null":               func(r *rig) { r.config("null") },
		"dead":               func(r *rig) { _ = r.socket.Close() },
		"no settings":        func(r *rig) { _ = os.Remove(r.steps + "/" + SettingsName) },
		"broken settings":    func(r *rig) { _ = os.WriteFile(r.steps+"/"+SettingsName, []byte("{"), 0o644) },
		"settings of others": func(r *rig) { _ = os.Chmod(r.steps, 0o777) },
		"stopped": func(r *rig) {
			then := time.Now().Add(-2 * aliveWithin)
			_ = os.Chtimes(r.steps+"/"+SettingsName, then, then)
		},
		"no files":      func(r *rig) { _ = os.Remove(r.steps + "/files") },
		"other network": func(r *rig) { _ = Settings{Network: "net:[1]"}.Write(r.steps) },
		"no bridge": func(r *rig) {
			n, _ := os.Readlink("/proc/self/ns/net")
			_ = Settings{Network: n, Listen: []Listener{{"127.0.0.1:1", ""}}}.Write(r.steps)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			spoil(r)
			before, err := os.ReadFile(r.bundle + "/config.json")
			if err != nil {
				t.Fatal(err)
			}
			if got := r.run(); got != string(before) {
				t.Errorf("was changed: %s", got)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	r := newRig(t)
	s, err := read(r.steps)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		step step
		want string
	}{
		{step{bridge: "docker"}, "192.0.2.2:1"}, {step{bridge: "podman"}, "192.0.2.1:1"}, {step{bridge: "buildkit"}, "192.0.2.1:1"},
		{step{bridge: "docker", hostNetwork: true}, "127.0.0.1:1"},
	} {
		if got, err := s.address(tt.step); got != tt.want || err != nil {
			t.Errorf("%+v: %s, %v", tt.step, got, err)
		}
	}
}

// TestClassic tells steps of dockerd's classic builder from docker run by dockerd's records.
func TestClassic(t *testing.T) {
	const id = "2e2584e19d7dd8a5f75a1b8e9300472d0fbc3d9827773187df49dd75f760704f"
	build := [2]string{`{"LogConfig":{"Type":"none","Config":{}},"PortBindings":null,"AutoRemove":false}`,
		`{"Config":{"Image":"sha256:90547","OpenStdin":false,"Healthcheck":{"Test":["NONE"]}}}`}
	run := [2]string{`{"LogConfig":{"Type":"json-file"},"PortBindings":{},"AutoRemove":true}`, `{"Config":{"Image":"debian:bookworm-slim"}}`}
	byID := [2]string{`{"LogConfig":{"Type":"none"},"PortBindings":{},"AutoRemove":false}`, `{"Config":{"Image":"sha256:90547"}}`}
	for name, tt := range map[string]struct {
		records [2]string
		want    bool
	}{"build": {build, true}, "run": {run, false}, "run by id": {byID, false}, "none": {[2]string{"", ""}, false}} {
		dir := filepath.Join(t.TempDir(), id)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for i, file := range []string{"hostconfig.json", "config.v2.json"} {
			if err := os.WriteFile(dir+"/"+file, []byte(tt.records[i]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var s spec
		if err := json.Unmarshal([]byte(`{"mounts":[{"destination":"/etc/hostname","source":"`+dir+`/hostname"}]}`), &s); err != nil {
			t.Fatal(err)
		}
		st, got := recognise(command{verb: "create", id: id}, "/run/docker/io.containerd.runtime.v2.task/moby/"+id, s)
		if got != tt.want || got && st.builder != Classic {
			t.Errorf("%s: %v %+v", name, got, st)
		}
	}
}

func TestRecognise(t *testing.T) {
	for _, tt := range []struct{ bundle, id, want string }{
		{"/var/lib/docker/buildkit/executor/abc", "abc", BuildKit},
		{"/var/lib/buildkit/runc-overlayfs/executor/abc", "abc", BuildKit},
		{"/run/containerd/io.containerd.runtime.v2.task/buildkit/abc", "abc", BuildKit},
		{"/run/containerd/io.containerd.runtime.v2.task/k8s.io/abc", "abc", ""},
		{"/run/containerd/io.containerd.runtime.v2.task/moby/abc", "abc", ""},
		{"/var/tmp/buildah2126591675", "buildah-buildah2126591675", Buildah},
		{"/var/lib/containers/storage/overlay-containers/abc/userdata", "abc", ""},
		{"/var/tmp/buildah1", "abc", ""},
		{"/executor/abc", "", ""},
	} {
		st, ok := recognise(command{id: tt.id}, tt.bundle, spec{})
		if ok != (tt.want != "") || ok && st.builder != tt.want {
			t.Errorf("%s: %v %q, want %q", tt.bundle, ok, st.builder, tt.want)
		}
	}
}

// TestMainBecomes runs the whole program: arguments and exit code are the runtime's, an
// own place is read, and two stand-ins that name each other find the runtime behind both.
func TestMainBecomes(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"a", "b"} {
		write(n, string(data))
	}
	write("real", "#!/bin/sh\necho \"$@\"\nexit 3\n")
	if err := os.Mkdir(dir+"/path", 0o755); err != nil {
		t.Fatal(err)
	}
	write("path/runc", "#!/bin/sh\necho found \"$@\"\n")
	run := func() (string, int) {
		cmd := exec.Command(dir+"/a", "--root", "/r", "run", "-b", dir+"/none", "id")
		cmd.Env = []string{standIn + "=1", "PATH=" + dir + "/path"}
		out, err := cmd.CombinedOutput()
		var e *exec.ExitError
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
	}
	args := "--root /r run -b " + dir + "/none id"
	if out, code := run(); out != "found "+args || code != 0 {
		t.Errorf("on PATH: %q, %d", out, code)
	}
	write("a.json", `{"runtime":"`+dir+`/real"}`)
	if out, code := run(); out != args || code != 3 {
		t.Errorf("named: %q, %d", out, code)
	}
	write("a.json", `{"runtime":"`+dir+`/b"}`)
	write("b.json", `{"runtime":"`+dir+`/a"}`)
	if out, code := run(); out != "found "+args || code != 0 {
		t.Errorf("in a circle: %q, %d", out, code)
	}
}

// BenchmarkServe is what a step pays before the runtime starts, besides the start of the
// process; BenchmarkOther is what every other container pays.
func BenchmarkServe(b *testing.B) {
	benchmark(b, func(r *bench) { r.reset() }, "run")
}

// BenchmarkOther measures a container that is no step.
func BenchmarkOther(b *testing.B) { benchmark(b, func(*bench) {}, "other") }

type bench struct{ path, steps, bundle string }

func (r *bench) reset() { _ = os.WriteFile(r.path, []byte(config), 0o600) }

func benchmark(b *testing.B, before func(*bench), kind string) {
	dir := b.TempDir()
	r := &bench{steps: dir + "/steps", bundle: dir + "/executor/abc"}
	if kind == "other" {
		r.bundle = dir + "/other/abc"
	}
	r.path = r.bundle + "/config.json"
	for _, d := range []string{r.steps + "/files", r.bundle} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	r.reset()
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		b.Skip(err)
	}
	if err := (Settings{Network: network, Listen: []Listener{{"192.0.2.2:1", "docker0"}}, Env: []Variable{{"http_proxy", ProxyMark}}}).Write(r.steps); err != nil {
		b.Fatal(err)
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: r.steps + "/" + SocketName})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		buf := make([]byte, MaxReport)
		for {
			if _, err := l.Read(buf); err != nil {
				return
			}
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		before(r)
		if err := serve([]string{"run", "--bundle", r.bundle, "abc"}, r.steps); err != nil {
			b.Fatal(err)
		}
	}
}
