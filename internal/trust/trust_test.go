package trust

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// root makes a root of its own.
func root(t *testing.T, id string) Root {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name := "sutler local CA " + id
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return Root{Name: name, PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// A machine is a host below a folder.
type machine struct {
	*Host
	t    *testing.T
	dir  string
	env  map[string]string
	said []string
	ran  []string
}

// newMachine makes one with these files, which say what is installed.
func newMachine(t *testing.T, files ...string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), env: map[string]string{}}
	for _, f := range files {
		m.write(f, "theirs")
	}
	m.Host = &Host{State: filepath.Join(t.TempDir(), "state"), Prefix: m.dir, GOOS: "linux",
		Registries: []string{"ghcr.example", "quay.example"},
		Getenv:     func(name string) string { return m.env[name] },
		Say:        func(format string, a ...any) { m.said = append(m.said, fmt.Sprintf(format, a...)) },
		LookPath: func(name string) (string, error) {
			if strings.HasPrefix(name, "update-") {
				return "/sbin/" + name, nil
			}
			return exec.LookPath(name)
		},
		Run: func(c *exec.Cmd) ([]byte, error) {
			if strings.HasPrefix(filepath.Base(c.Path), "update-") {
				m.ran = append(m.ran, strings.Join(append([]string{filepath.Base(c.Path)}, c.Args[1:]...), " "))
				return nil, nil
			}
			return c.CombinedOutput()
		}}
	return m
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	full := m.dir + path
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

// files returns all files and folders with what is in them.
func (m *machine) files() map[string]string {
	m.t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(m.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			out[strings.TrimPrefix(p, m.dir)] = "folder"
			return err
		}
		text, err := os.ReadFile(p)
		out[strings.TrimPrefix(p, m.dir)] = info.Mode().String() + " " + string(text)
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// must fails the test on an error.
func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// changed returns the paths that are new or other than before.
func (m *machine) changed(before map[string]string) []string {
	m.t.Helper()
	var out []string
	for p, text := range m.files() {
		if before[p] != text {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func TestSystem(t *testing.T) {
	for _, tt := range []struct {
		name, installed, file, update, undo string
	}{
		{"Debian", "/usr/share/ca-certificates/mozilla/x.crt", "/usr/local/share/ca-certificates/sutler-local-CA-1.crt", "update-ca-certificates", "update-ca-certificates --fresh"},
		{"Fedora", "/etc/pki/ca-trust/source/README", "/etc/pki/ca-trust/source/anchors/sutler-local-CA-1.pem", "update-ca-trust", "update-ca-trust"},
		{"openSUSE", "/etc/pki/trust/README", "/etc/pki/trust/anchors/sutler-local-CA-1.pem", "update-ca-certificates", "update-ca-certificates --fresh"},
		{"Arch", "/etc/ca-certificates/trust-source/README", "/etc/ca-certificates/trust-source/anchors/sutler-local-CA-1.crt", "update-ca-trust", "update-ca-trust"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, tt.installed)
			before := m.files()
			one, two := root(t, "1"), root(t, "2")
			m.DryRun = true
			m.must(m.Trust(t.Context(), []Root{one}, System))
			if c := m.changed(before); len(c) > 0 || len(m.ran) > 0 || !strings.Contains(strings.Join(m.said, "\n"), tt.file) || !strings.Contains(strings.Join(m.said, "\n"), tt.update) {
				t.Errorf("a dry run changed %v, ran %v, said %v", c, m.ran, m.said)
			}
			m.DryRun = false
			m.must(m.Trust(t.Context(), []Root{one}, System))
			m.must(m.Trust(t.Context(), []Root{one}, System)) // again: nothing to do
			if text, _ := os.ReadFile(m.dir + tt.file); string(text) != string(one.PEM) || !slices.Equal(m.ran, []string{tt.update}) {
				t.Errorf("%q, ran %v", text, m.ran)
			}
			m.must(m.Trust(t.Context(), []Root{one, two}, System)) // in a rotation
			m.must(m.Trust(t.Context(), []Root{two}, System))      // after it
			if _, err := os.Stat(m.dir + tt.file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the old root is still there: %v", err)
			}
			m.ran = nil
			m.must(m.Untrust(t.Context()))
			if after := m.files(); !maps.Equal(before, after) || !slices.Equal(m.ran, []string{tt.undo}) {
				t.Errorf("%v is left, ran %v", m.changed(before), m.ran)
			}
			if entries, err := m.Entries(); err != nil || len(entries) > 0 {
				t.Errorf("manifest %v, %v", entries, err)
			}
		})
	}
}

func TestSystemThatIsNotKnown(t *testing.T) {
	m := newMachine(t, "/etc/passwd")
	if err := m.Trust(t.Context(), []Root{root(t, "1")}, System); err == nil || !strings.Contains(err.Error(), "ca-certificates") {
		t.Errorf("Trust = %v", err)
	}
	if err := m.Trust(t.Context(), nil, "nowhere"); err == nil || !strings.Contains(err.Error(), System) {
		t.Errorf("Trust = %v", err)
	}
	m.GOOS = "darwin"
	m.must(m.Trust(t.Context(), []Root{root(t, "1")}, System))
	if s := strings.Join(m.said, "\n"); !strings.Contains(s, "security add-trusted-cert") {
		t.Errorf("said %q", s)
	}
}

func TestRegistries(t *testing.T) {
	m := newMachine(t, "/etc/docker/certs.d/quay.example/ca.crt", "/etc/containerd/certs.d/quay.example/hosts.toml")
	before := m.files()
	one, two := root(t, "1"), root(t, "2")
	m.must(m.Trust(t.Context(), []Root{one}, Docker, Containerd))
	m.must(m.Trust(t.Context(), []Root{one, two}, Docker, Containerd))
	want := []string{"/etc/containerd/certs.d/ghcr.example", "/etc/containerd/certs.d/ghcr.example/ca.crt", "/etc/containerd/certs.d/quay.example/ca.crt",
		"/etc/docker/certs.d/ghcr.example", "/etc/docker/certs.d/ghcr.example/ca.crt", "/etc/docker/certs.d/quay.example/sutler-ca.crt"}
	if c := m.changed(before); !slices.Equal(c, want) {
		t.Errorf("changed %q, want %q", c, want)
	}
	if got := m.files()["/etc/docker/certs.d/ghcr.example/ca.crt"]; got != "-rw-r--r-- "+string(one.PEM)+string(two.PEM) {
		t.Errorf("ca.crt: %s", got)
	}
	if !strings.Contains(strings.Join(m.said, "\n"), "hosts.toml") {
		t.Errorf("nothing is said of hosts.toml: %v", m.said)
	}
	m.must(m.Untrust(t.Context(), Docker))
	if c := m.changed(before); !slices.Equal(c, want[:3]) {
		t.Errorf("after docker: %q", c)
	}
	m.must(m.Untrust(t.Context()))
	if after := m.files(); !maps.Equal(before, after) {
		t.Errorf("%v is left", m.changed(before))
	}
}

// TestUndoLeavesOthersWorkAlone checks files that somebody changed, removed or added.
func TestUndoLeavesOthersWorkAlone(t *testing.T) {
	m := newMachine(t)
	m.must(m.Trust(t.Context(), []Root{root(t, "1")}, Docker))
	m.write("/etc/docker/certs.d/ghcr.example/ca.crt", "edited")
	m.must(os.Remove(m.dir + "/etc/docker/certs.d/quay.example/ca.crt"))
	m.write("/etc/docker/certs.d/quay.example/other.crt", "added")
	if err := m.Untrust(t.Context()); !errors.Is(err, ErrEdited) {
		t.Errorf("Untrust = %v, want ErrEdited", err)
	}
	f := m.files()
	if f["/etc/docker/certs.d/ghcr.example/ca.crt"] == "" || f["/etc/docker/certs.d/quay.example/other.crt"] == "" {
		t.Errorf("files %v", f)
	}
	if entries, _ := m.Entries(); len(entries) != 1 {
		t.Errorf("manifest %v, want what could not be undone", entries)
	}
	if err := m.Trust(t.Context(), []Root{root(t, "2")}, Docker); !errors.Is(err, ErrEdited) {
		t.Errorf("Trust = %v, want ErrEdited", err)
	}
}

// TestUndoAfterCrash goes back to each state that a killed Trust can leave.
func TestUndoAfterCrash(t *testing.T) {
	m := newMachine(t, "/etc/docker/daemon.json")
	before := m.files()
	m.must(m.Trust(t.Context(), []Root{root(t, "1")}, Docker))
	m.must(os.Remove(m.dir + "/etc/docker/certs.d/ghcr.example/ca.crt")) // noted, not yet written
	m.must(os.Remove(m.dir + "/etc/docker/certs.d/ghcr.example"))
	m.must(m.Untrust(t.Context()))
	if after := m.files(); !maps.Equal(before, after) {
		t.Errorf("%v is left", m.changed(before))
	}
}

// need returns the path of a program.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

func TestJava(t *testing.T) {
	keytool := need(t, "keytool")
	m := newMachine(t)
	m.env["JAVA_HOME"] = filepath.Join(m.dir, "java")
	store := m.env["JAVA_HOME"] + "/lib/security/cacerts"
	m.must(os.MkdirAll(filepath.Dir(store), 0o755))
	run := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), keytool, append(args, "-keystore", store, "-storepass", storePassword)...).CombinedOutput()
		if err != nil {
			t.Fatalf("keytool %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	theirs := filepath.Join(t.TempDir(), "theirs.pem")
	m.must(os.WriteFile(theirs, root(t, "theirs").PEM, 0o600))
	run("-importcert", "-noprompt", "-alias", "theirs", "-file", theirs)
	m.must(os.Chmod(store, 0o640))
	before := m.files()
	one, two := root(t, "1"), root(t, "2")
	m.must(m.Trust(t.Context(), []Root{one}, Java))
	m.must(m.Trust(t.Context(), []Root{one}, Java))
	if out := run("-list"); !strings.Contains(out, "sutler-local-ca-1") || !strings.Contains(out, "theirs") {
		t.Errorf("keytool -list: %s", out)
	}
	m.must(m.Trust(t.Context(), []Root{one, two}, Java))
	m.must(m.Untrust(t.Context()))
	if after := m.files(); !maps.Equal(before, after) {
		t.Error("the key store is not what it was")
	}
	m.must(m.Trust(t.Context(), []Root{two}, Java))
	m.must(os.WriteFile(theirs, root(t, "more").PEM, 0o600))
	run("-importcert", "-noprompt", "-alias", "more", "-file", theirs) // by somebody else, meanwhile
	m.must(m.Untrust(t.Context(), Java))
	if out := run("-list"); strings.Contains(out, "sutler") || !strings.Contains(out, "more") || !strings.Contains(out, "theirs") {
		t.Errorf("keytool -list: %s", out)
	}
	if entries, err := os.ReadDir(m.State); err != nil || len(entries) > 0 {
		t.Errorf("left in the state: %v, %v", entries, err)
	}
}

func TestNSS(t *testing.T) {
	certutil := need(t, "certutil")
	m := newMachine(t)
	m.env["HOME"] = m.dir
	if err := m.Trust(t.Context(), []Root{root(t, "1")}, NSS); err == nil || !strings.Contains(err.Error(), "no database") {
		t.Errorf("without a database: %v", err)
	}
	dir := m.dir + "/.pki/nssdb"
	m.must(os.MkdirAll(dir, 0o700))
	list := func() string {
		out, err := exec.CommandContext(context.WithoutCancel(t.Context()), certutil, "-d", "sql:"+dir, "-L").CombinedOutput()
		if err != nil {
			t.Fatalf("certutil: %v\n%s", err, out)
		}
		return string(out)
	}
	if out, err := exec.CommandContext(t.Context(), certutil, "-d", "sql:"+dir, "-N", "--empty-password").CombinedOutput(); err != nil {
		t.Fatalf("certutil -N: %v\n%s", err, out)
	}
	before := list()
	one, two := root(t, "1"), root(t, "2")
	m.must(m.Trust(t.Context(), []Root{one}, NSS))
	m.must(m.Trust(t.Context(), []Root{one, two}, NSS))
	if out := list(); !strings.Contains(out, "sutler-local-CA-1") || !strings.Contains(out, "C,,") {
		t.Errorf("certutil -L: %s", out)
	}
	m.must(m.Untrust(t.Context()))
	if after := list(); after != before {
		t.Errorf("certutil -L: %s", after)
	}
}
