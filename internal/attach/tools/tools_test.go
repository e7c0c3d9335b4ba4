package tools

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"sutler/internal/edit"
)

var update = flag.Bool("update", false, "rewrite the expected files")

// site is the machine of the examples, in the documentation too.
func site() Site {
	return Site{
		URL: "http://172.17.0.1:7885", DNS: "172.17.0.1", Root: []byte("-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n"),
		Bundle: "/var/lib/sutler/ca.pem", Runtime: "/usr/lib/sutler/runc", InFront: "/usr/local/sbin",
		Hosts: []string{"registry-1.hub.example", "one.example", "*.one.example"},
		Env:   []Variable{{"http_proxy", "http://172.17.0.1:7885"}, {"https_proxy", "http://172.17.0.1:7885"}, {"SSL_CERT_FILE", "/it's/ca.pem"}},
		Etc:   "/etc", Home: "/home/u",
	}
}

// user is site for one user.
func user() Site {
	s := site()
	s.User = true
	return s
}

// cases are the tools; read returns a file that exists.
func cases(read func(string) []byte) map[string][]Change {
	bare := user()
	bare.InFront = ""
	return map[string][]Change{
		"docker":          Docker(site(), System),
		"docker-rootless": Docker(site(), Rootless),
		"docker-desktop":  Docker(site(), Desktop),
		"docker-client":   DockerClient(site()),
		"dns":             DNS(site(), System),
		"boot2docker":     Boot2docker(site()),
		"buildkit":        BuildKit(site()),
		"buildkit-proxy":  BuildKitProxy(site()),
		"buildx":          Buildx(site()),
		"containerd":      Containerd(site(), read("/etc/containerd/config.toml")),
		"containers":      Containers(site(), read("/etc/containers/registries.conf")),
		"containers-user": Containers(bare, read("/home/u/.config/containers/registries.conf")),
		"apt":             Apt(site()),
		"pip":             Pip(site()),
		"pip-user":        Pip(user()),
		"npm":             Npm(site()),
		"shell":           Shell(site()),
		"shell-user":      Shell(user(), "/home/u/.profile", "/home/u/.zprofile"),
	}
}

// TestGolden applies the changes of each tool to files that are not there and to files that
// have been customised: TOOL.txtar holds the customised ones below old/, and what becomes
// of them below new/; what is made where nothing was is below fresh/. All is undone, in the
// opposite order, byte for byte.
func TestGolden(t *testing.T) {
	for name := range cases(func(string) []byte { return nil }) {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", name+".txtar")
			archive, err := txtar.ParseFile(golden)
			if err != nil && !*update {
				t.Fatal(err)
			}
			if archive == nil {
				archive = &txtar.Archive{}
			}
			old := map[string][]byte{}
			out := &txtar.Archive{Comment: archive.Comment}
			for _, f := range archive.Files {
				if p, ok := strings.CutPrefix(f.Name, "old"); ok {
					old[p] = f.Data
					out.Files = append(out.Files, f)
				}
			}
			for _, run := range []struct {
				folder string
				files  map[string][]byte
			}{{"new", old}, {"fresh", nil}} {
				changes := cases(func(p string) []byte { return run.files[p] })[name]
				out.Files = append(out.Files, applied(t, run.folder, changes, run.files)...)
			}
			got := txtar.Format(out)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// applied returns the files after changes, and undoes them.
func applied(t *testing.T, folder string, changes []Change, old map[string][]byte) []txtar.File {
	t.Helper()
	now := map[string][]byte{}
	for p, text := range old {
		now[p] = text
	}
	records := make([][]byte, len(changes))
	var out []txtar.File
	for i, c := range changes {
		text, record, err := c.Edit.Apply(now[c.Path])
		if err != nil {
			t.Fatalf("%s: %v", c.Path, err)
		}
		if again, _, err := c.Edit.Apply(text); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%s: applied twice: %v\n%s", c.Path, err, again)
		}
		now[c.Path], records[i] = text, record
		about := ""
		if c.Reload != "" {
			about = " (" + string(c.Reload) + ")"
		}
		if c.Mode != 0o644 {
			about += " " + fs.FileMode.String(c.Mode)
		}
		out = append(out, txtar.File{Name: folder + c.Path + about, Data: text})
	}
	for i := len(changes) - 1; i >= 0; i-- {
		c := changes[i]
		text, err := edit.Undo(c.Format, now[c.Path], records[i])
		if err != nil {
			t.Fatalf("%s: %v", c.Path, err)
		}
		now[c.Path] = text
	}
	for p, text := range now {
		if was, had := old[p]; !bytes.Equal(text, was) || had != (text != nil) {
			t.Errorf("%s: undone it is %q, was %q", p, text, was)
		}
	}
	return out
}

// TestDocumentation checks that the documentation shows the very lines of each tool.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/attach-tools.md")
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(string(text)), " ")
	for name, changes := range cases(func(string) []byte { return nil }) {
		for _, c := range changes {
			if !strings.Contains(flat, c.Path) && !strings.HasSuffix(c.Path, "ca.crt") {
				t.Errorf("%s: %s is not in docs/attach-tools.md", name, c.Path)
			}
			lines, err := c.Show()
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Join(strings.Fields(lines), " "); !strings.Contains(flat, want) {
				t.Errorf("%s: docs/attach-tools.md does not show, for %s:\n%s", name, c.Path, lines)
			}
		}
	}
}

// TestEmptySite checks that what a machine lacks is left out.
func TestEmptySite(t *testing.T) {
	s := Site{URL: "http://127.0.0.1:7885", Etc: "/etc", Home: "/h"}
	for name, want := range map[string]int{"docker": 1, "dns": 0, "containers": 1, "shell": 1} {
		got := map[string][]Change{"docker": Docker(s, System), "dns": DNS(s, System), "containers": Containers(s), "shell": Shell(s)}[name]
		if len(got) != want {
			t.Errorf("%s: %d changes, want %d: %+v", name, len(got), want, got)
		}
	}
}

// TestHostsFolder reads containerd's configuration of both kinds.
func TestHostsFolder(t *testing.T) {
	for config, want := range map[string]string{
		"": "", "version = 2\n": "", "broken": "",
		"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/a:/b\"\n": "/a",
		"version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/c'\n":      "/c",
		"version = 3\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/a\"\n":    "",
	} {
		if got, _ := hostsFolder([]byte(config)); got != want {
			t.Errorf("%q: %q, want %q", config, got, want)
		}
	}
}
