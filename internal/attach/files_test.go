package attach

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		"/usr/bin/podman":                 "", "/usr/bin/buildah": "", "/usr/bin/containerd": "", "/usr/bin/apt-get": "", "/usr/bin/pip3": "", "/usr/bin/npm": "",
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
	m := Machine{Root: root, Home: "/root", System: true, Getenv: func(string) string { return "" }}
	at := &Attacher{Machine: m, Dir: t.TempDir()}
	w := Wish{Port: "7885", Bundle: "/run/steps/ca.pem", Images: []string{"one.example", "*.two.example"}}
	for _, tool := range FileTools(m) {
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
		if !strings.Contains(text, "127.0.0.1:7885") {
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
	for _, tool := range FileTools(m) {
		if _, err := tool.Plan(t.Context(), Wish{Port: "7885"}); !errors.Is(err, ErrAbsent) {
			t.Errorf("%s: %v", tool.Name(), err)
		}
	}
}
