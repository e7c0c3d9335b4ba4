package attach

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sutler/internal/attach/tools"
)

// tree returns the files below a folder, with their modes.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		info, statErr := d.Info()
		out[strings.TrimPrefix(path, root)] = info.Mode().String() + " " + string(b)
		return errors.Join(err, statErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// byFiles returns the tools that are attached by writing files.
func byFiles(m Machine) []Tool {
	return append(clients(m), &Wrapper{Machine: m}, newPodman(m), newBuildKit(m, ""))
}

// TestFileTools attaches each tool twice and detaches it: the second time changes nothing,
// and afterwards every file is as it was.
func TestFileTools(t *testing.T) {
	originals := map[string]string{
		"/etc/containers/registries.conf": "unqualified-search-registries = [\"one.example\"]\n",
		"/etc/containerd/config.toml":     "version = 2\n# mine\n[plugins]\n",
		"/etc/buildkit/buildkitd.toml":    "debug = true # mine\n",
		"/etc/pip.conf":                   "[global]\ntimeout = 60\n",
		"/root/.npmrc":                    "fund=false\n",
		"/etc/apt/apt.conf.d/99mine":      "APT::Install-Recommends \"0\";\n",
		"/etc/containers/containers.conf": "[engine]\n",
		"/usr/bin/podman":                 "", "/usr/bin/buildah": "", "/usr/bin/containerd": "", "/usr/bin/apt-get": "", "/usr/bin/pip3": "", "/usr/bin/npm": "", "/bin/sh": "",
		"/usr/bin/docker": "", "/usr/libexec/docker/cli-plugins/docker-buildx": "", "/usr/sbin/runc": "", "/usr/bin/crun": "",
	}
	root := t.TempDir()
	for name, text := range originals {
		if err := os.MkdirAll(filepath.Dir(root+name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+name, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, root)
	m := Machine{Root: root, Home: "/root", System: true, Getenv: func(string) string { return "" }, Bridge: "172.17.0.1"}
	at := &Attacher{Machine: m, Dir: t.TempDir()}
	program := []byte("\x7fELF 127.0.0.1:7885 " + wrapperMark)
	w := Wish{Port: "7885", Bundle: "/run/steps/ca.pem", Images: []string{"one.example", "*.two.example"}, Wrapper: program, Steps: "/run/steps",
		Env: []tools.Variable{{Name: "http_proxy", Value: "http://127.0.0.1:7885"}}}
	for _, tool := range byFiles(m) {
		out, err := at.Attach(t.Context(), tool, w)
		if err != nil || out.State != Attached || len(out.Files) == 0 {
			t.Errorf("%s: %+v, %v", tool.Name(), out, err)
			continue
		}
		attached := tree(t, root)
		text := ""
		for _, f := range out.Files {
			text += attached[f]
		}
		if !strings.Contains(text, ".1:7885") {
			t.Errorf("%s: its files do not name sutler: %q", tool.Name(), text)
		}
		if out, err = at.Attach(t.Context(), tool, w); err != nil || out.State != Unchanged {
			t.Errorf("%s again: %+v, %v", tool.Name(), out, err)
		}
		if out, err = at.Detach(t.Context(), tool); err != nil || out.State != Detached {
			t.Errorf("%s detached: %+v, %v", tool.Name(), out, err)
		}
		if after := tree(t, root); !maps.Equal(before, after) {
			t.Errorf("%s left the machine changed: %v", tool.Name(), after)
		}
	}
	if got := root + "/etc/apt/sutler-proxy"; m.exists("/etc/apt/sutler-proxy") {
		t.Errorf("%s is still there", got)
	}
}

// TestFileToolsAbsent finds nothing on an empty machine, and no apt without root.
func TestFileToolsAbsent(t *testing.T) {
	m := Machine{Root: t.TempDir(), Home: "/home/u", Getenv: func(string) string { return "" }}
	for _, tool := range byFiles(m) {
		if _, err := tool.Plan(t.Context(), Wish{Port: "7885"}); !errors.Is(err, ErrAbsent) {
			t.Errorf("%s: %v", tool.Name(), err)
		}
	}
}

// TestWrapper puts the program in front of the runtimes, replaces it by another version,
// and leaves alone what is not sutler's or what an engine needs.
func TestWrapper(t *testing.T) {
	root := t.TempDir()
	m := Machine{Root: root, System: true, Getenv: func(string) string { return "" }}
	put := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(root+name), 0o755), os.WriteFile(root+name, []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	at, w := &Attacher{Machine: m, Dir: t.TempDir()}, Wish{Wrapper: []byte("1 " + wrapperMark)}
	tool := &Wrapper{Machine: m}
	if _, err := at.Attach(t.Context(), tool, w); !errors.Is(err, ErrAbsent) {
		t.Errorf("without a runtime: %v", err)
	}
	put("/usr/bin/crun", "")
	for _, w.Wrapper = range [][]byte{w.Wrapper, []byte("2 " + wrapperMark)} {
		if _, err := at.Attach(t.Context(), tool, w); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(root + "/usr/local/sbin/crun")
		if err != nil || info.Mode() != 0o755 || info.Size() != int64(len(w.Wrapper)) {
			t.Errorf("%v %v", info, err)
		}
	}
	for file, text := range map[string]string{
		"/etc/buildkit/buildkitd.toml": "[worker.oci]\nbinary = \"/usr/local/sbin/crun\"\n",
		"/etc/containerd/config.toml":  "BinaryName = '/usr/local/sbin/crun'\n",
		"/etc/containerd/conf.d/a":     "BinaryName = '/usr/local/sbin/crun'\n",
		"/etc/crio/crio.conf.d/10-a":   "runtime_path = \"/usr/local/sbin/crun\"\n",
	} {
		put(file, text)
		if _, err := at.Detach(t.Context(), tool); err == nil || !m.exists("/usr/local/sbin/crun") {
			t.Fatalf("removed although %s names it: %v", file, err)
		}
		put(file, "")
	}
	if _, err := at.Detach(t.Context(), tool); err != nil || m.exists("/usr/local") {
		t.Errorf("detach: %v", err)
	}
	if _, err := at.Attach(t.Context(), tool, w); err != nil {
		t.Fatal(err)
	}
	put("/usr/local/sbin/crun", "theirs")
	if out, err := at.Detach(t.Context(), tool); err != nil || out.State != Detached {
		t.Errorf("another program was installed over it, and detach = %v", err)
	}
	if text, err := os.ReadFile(root + "/usr/local/sbin/crun"); err != nil || string(text) != "theirs" {
		t.Errorf("their program: %v %s", err, text)
	}
	if _, err := at.Attach(t.Context(), tool, w); !errors.Is(err, ErrUnable) || !strings.Contains(err.Error(), "/usr/local/sbin/crun") {
		t.Errorf("in place of another program: %v", err)
	}
	if _, err := at.Attach(t.Context(), tool, Wish{}); !errors.Is(err, ErrUnable) {
		t.Errorf("without a program: %v", err)
	}
	put("/usr/bin/crio", "")
	if err := os.Remove(root + "/usr/local/sbin/crun"); err != nil {
		t.Fatal(err)
	}
	if _, err := tool.Plan(t.Context(), w); !errors.Is(err, ErrUnable) || !strings.Contains(err.Error(), "CRI-O") {
		t.Errorf("beside CRI-O: %v", err)
	}
	m.System = false
	if _, err := (&Wrapper{Machine: m}).Plan(t.Context(), w); !errors.Is(err, ErrUnable) {
		t.Errorf("by a user: %v", err)
	}
}

// TestBuildKitProxy leads BuildKit's own proxy on to sutler where it is switched on, by the
// unit's variables if there is a unit.
func TestBuildKitProxy(t *testing.T) {
	m := Machine{Root: t.TempDir(), System: true, Getenv: func(string) string { return "" }, Bridge: "172.17.0.1"}
	w := Wish{Port: "7885", Bundle: "/run/steps/ca.pem"}
	put := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(m.Root+name), 0o755), os.WriteFile(m.Root+name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	plan := func() Plan {
		t.Helper()
		p, err := newBuildKit(m, "").Plan(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	put("/etc/buildkit/buildkitd.toml", "")
	if p := plan(); len(p.Files) != 1 || !strings.Contains(p.Files[0].Snippet, "127.0.0.1:7885") {
		t.Errorf("without a proxy network: %+v", p)
	}
	put("/etc/buildkit/buildkitd.toml", "proxyNetwork = true\n")
	if p := plan(); len(p.Files) != 1 || !strings.Contains(strings.Join(p.Notes, " "), "SSL_CERT_FILE") {
		t.Errorf("without a unit: %+v", p)
	}
	put("/lib/systemd/system/buildkit.service", "")
	if p := plan(); len(p.Files) != 2 || !strings.Contains(p.Files[1].Snippet, "HTTPS_PROXY=http://172.17.0.1:7885") {
		t.Errorf("with a unit: %+v", p)
	}
}
