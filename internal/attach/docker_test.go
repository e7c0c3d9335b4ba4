package attach

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// place makes a machine with files and variables ("NAME=value"); files end with "/" if
// they are folders.
func place(t *testing.T, system bool, variables []string, files ...string) Machine {
	t.Helper()
	m := Machine{Root: t.TempDir(), Home: "/home/me", System: system, Getenv: func(name string) string {
		for _, v := range variables {
			if text, ok := strings.CutPrefix(v, name+"="); ok {
				return text
			}
		}
		return ""
	}}
	for _, f := range files {
		dir := filepath.Join(m.Root, f)
		if !strings.HasSuffix(f, "/") {
			dir = filepath.Dir(dir)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "/") {
			continue
		}
		if err := os.WriteFile(filepath.Join(m.Root, f), []byte("{}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestDockerKinds finds each kind of docker by its files, and none where it is not.
func TestDockerKinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		m      Machine
		want   string // tool
		path   string
		mirror string
	}{
		{"system", place(t, true, nil, "/usr/sbin/dockerd", "/etc/docker/"), "docker", "/etc/docker/daemon.json", "http://127.0.0.1:7885"},
		{"rootless", place(t, false, nil, "/home/me/.config/docker/daemon.json"), "docker-rootless", "/home/me/.config/docker/daemon.json", "http://10.0.2.2:7885"},
		{"rootless elsewhere", place(t, false, []string{"XDG_CONFIG_HOME=/conf"}, "/conf/docker/daemon.json"), "docker-rootless", "/conf/docker/daemon.json", "http://10.0.2.2:7885"},
		{"desktop", place(t, false, nil, "/home/me/.docker/desktop/", "/home/me/.docker/daemon.json"), "docker-desktop", "/home/me/.docker/daemon.json", "http://host.docker.internal:7885"},
		{"boot2docker", place(t, true, nil, "/var/lib/boot2docker/", "/usr/local/bin/dockerd"), "docker-boot2docker", "/var/lib/boot2docker/profile", "http://10.0.2.2:7885"},
		{"engine elsewhere", place(t, true, []string{"DOCKER_HOST=tcp://engine.example:2376"}, "/usr/bin/dockerd"), "", "", ""},
		{"none", place(t, true, nil), "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := ""
			for _, tool := range Tools(c.m, Settings{}) {
				p, err := tool.Plan(t.Context(), Wish{Mirror: true, Port: "7885"})
				if errors.Is(err, ErrAbsent) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				found += tool.Name()
				if p.Files[0].Path != c.path || !strings.Contains(string(Show(p)), c.mirror) {
					t.Errorf("%s: plan %+v", tool.Name(), p)
				}
				roundTrip(t, c.m, tool, c.path, c.mirror)
			}
			if found != c.want {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

// roundTrip attaches a tool that does not run and detaches it again.
func roundTrip(t *testing.T, m Machine, tool Tool, path, mirror string) {
	t.Helper()
	at := &Attacher{Machine: m, Dir: t.TempDir(), Consent: func(string) bool { return true }}
	before, err := m.read(path)
	if err != nil {
		t.Fatal(err)
	}
	o, err := at.Attach(t.Context(), tool, Wish{Mirror: true, Port: "7885", Registries: []string{"r.example"}, Root: []byte("root\n")})
	if err != nil {
		t.Fatal(err)
	}
	now, err := m.read(path)
	if err != nil || !strings.Contains(string(now.data()), mirror) {
		t.Errorf("%s: %s %v", path, now.data(), err)
	}
	if !strings.Contains(strings.Join(o.Notes, "\n"), "not running") && tool.Name() != "docker-desktop" {
		t.Errorf("notes %q", o.Notes)
	}
	if tool.Name() != "docker-boot2docker" && !m.exists(filepath.Dir(path)+"/certs.d/r.example/ca.crt") {
		t.Error("no certificate for the registry")
	}
	if _, err := at.Detach(t.Context(), tool); err != nil {
		t.Fatal(err)
	}
	after, err := m.read(path)
	if err != nil || digestOf(after.data()) != digestOf(before.data()) {
		t.Errorf("%s: %q %v, want %q", path, after.data(), err, before.data())
	}
	if m.exists(filepath.Dir(path) + "/certs.d") {
		t.Error("certs.d is left")
	}
}

func TestRuntimeWrapper(t *testing.T) {
	m := place(t, true, nil, "/usr/bin/dockerd", "/etc/docker/")
	p, err := Tools(m, Settings{})[0].Plan(t.Context(), Wish{Runtime: "/opt/sutler-runtime"})
	if err != nil || !strings.Contains(p.Files[0].Snippet, "/opt/sutler-runtime") || !strings.Contains(p.Files[0].Snippet, `"default-runtime"`) {
		t.Errorf("%+v %v", p, err)
	}
}

func TestBetween(t *testing.T) {
	d := &Docker{kind: system}
	for _, c := range []struct{ before, after, want string }{
		{`{"registry-mirrors": ["a"]}`, `{"debug": true}`, `"registry-mirrors"`},
		{`{"registry-mirrors": ["a"]}`, ``, `"registry-mirrors"`},
		{`{"registry-mirrors": ["a", "b"]}`, `{"registry-mirrors": ["b"]}`, ``},
		{`{"default-runtime": "sutler"}`, `{}`, `"runc"`},
		{`{"dns": ["192.0.2.1"]}`, `{}`, ``},
		{`broken`, `{}`, ``},
	} {
		var after []byte
		if c.after != "" {
			after = []byte(c.after)
		}
		got := string(d.Between("/etc/docker/daemon.json", []byte(c.before), after))
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("from %s to %s: %q, want %q", c.before, c.after, got, c.want)
		}
	}
}

func TestFlags(t *testing.T) {
	p := process{args: []string{"dockerd", "-H", "fd://", "--registry-mirror=http://m.example", "--config-file", "/x.json", "--debug"}}
	for name, want := range map[string]string{"--registry-mirror": "http://m.example", "--config-file": "/x.json", "--debug": ""} {
		if got, ok := p.flag(name); !ok || got != want {
			t.Errorf("%s: %q %t", name, got, ok)
		}
	}
	if v, ok := p.flag("--dns"); ok {
		t.Errorf("--dns: %q", v)
	}
}
