package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// An aptRoot is a folder in which apt-get works as in a system of its own: the lists,
// archives and sources of this machine are not touched.
type aptRoot struct{ dir string }

func newAptRoot(t *testing.T, sources string) aptRoot {
	t.Helper()
	r := aptRoot{t.TempDir()}
	for _, d := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg", "var/log/apt"} {
		if err := os.MkdirAll(filepath.Join(r.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, r.dir+"/etc/apt/sources.list", sources)
	write(t, r.dir+"/var/lib/dpkg/status", "")
	return r
}

// args returns an apt-get command line that works in the folder.
func (r aptRoot) args(words ...string) []string {
	return append([]string{"apt-get", "-q", "-y", "-o", "Dir=" + r.dir, "-o", "Dir::Etc::trustedparts=" + r.dir + "/etc/apt/trusted.gpg.d",
		"-o", "Dir::State::status=" + r.dir + "/var/lib/dpkg/status", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none",
		"-o", "Acquire::Retries=0", "-o", "Debug::NoLocking=1"}, words...)
}

// archive returns this machine's own Debian archive, suite and keyring.
func archive(t *testing.T) (uri, suite string) {
	t.Helper()
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages").Output()
	if err != nil {
		lacks(t, "apt-get indextargets: "+err.Error())
	}
	m := regexp.MustCompile(`(?m)^(\S+/debian/?) (\w+)$`).FindStringSubmatch(string(out))
	if m == nil {
		lacks(t, "no Debian archive in this machine's apt sources")
	}
	return m[1], m[2]
}

const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// TestApt installs from this machine's own archive: cold, warm, and with the origin gone.
func TestApt(t *testing.T) {
	need(t, "apt-get")
	uri, suite := archive(t)
	sources := "deb [signed-by=" + debianKeyring + "] " + uri + " " + suite + " main\ndeb-src [signed-by=" + debianKeyring + "] " + uri + " " + suite + " main\n"
	d := start(t)
	cold := newAptRoot(t, sources)
	_, s := d.through(cold.dir, cold.args("update")...)
	signed := 0
	for _, l := range s.Lines {
		if l.Trust == "signed" && l.Signer != "" {
			signed++
		}
	}
	if signed < 3 || s.Unvouched > 0 || s.Failed > 0 {
		t.Errorf("update: %d signed of %+v", signed, s.Lines)
	}
	install := []string{"install", "--download-only", "--no-install-recommends", "hello", "curl", "g++"}
	_, s = d.through(cold.dir, cold.args(install...)...)
	if s.Verified < 10 || s.Verified != s.Files {
		t.Errorf("install: %d of %d files verified: %+v", s.Verified, s.Files, s.Lines)
	}
	_, s = d.through(cold.dir, cold.args("source", "--download-only", "hello")...)
	if s.Verified < 3 || s.Verified != s.Files {
		t.Errorf("source: %d of %d files verified", s.Verified, s.Files)
	}

	warm := newAptRoot(t, sources)
	_, s = d.through(warm.dir, warm.args("update")...)
	s.allFromStore(t, 0.99)
	_, s = d.through(warm.dir, warm.args(install...)...)
	s.allFromStore(t, 1)

	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	offline := newAptRoot(t, sources)
	d.through(offline.dir, offline.args("update")...)
	_, s = d.through(offline.dir, offline.args(install...)...)
	s.allFromStore(t, 1)
	r := d.run(offline.dir, nil, binary, append([]string{"exec", "--"}, offline.args("install", "--download-only", "--no-install-recommends", "sl")...)...)
	if r.code == 0 || !strings.Contains(r.out+r.err, "504") {
		t.Errorf("a package that is not stored, offline: exit %d\n%s%s", r.code, r.out, r.err)
	}
}

// TestDebootstrap makes a system through the forward proxy, as live-build does.
func TestDebootstrap(t *testing.T) {
	need(t, "debootstrap")
	if os.Geteuid() != 0 {
		lacks(t, "debootstrap needs root")
	}
	uri, suite := archive(t)
	d := start(t)
	for i := range 2 {
		_, s := d.through(d.dir, "debootstrap", "--download-only", "--variant=minbase", "--keyring="+debianKeyring, suite, filepath.Join(t.TempDir(), "root"), uri)
		if s.Failed > 0 || s.Files < 50 {
			t.Errorf("debootstrap: %d files, %d failed", s.Files, s.Failed)
		}
		if i == 1 {
			s.allFromStore(t, 0.99)
		}
	}
}

// A repo is a small signed archive made with Debian's own tools, served on loopback.
type repo struct {
	t    *testing.T
	dir  string
	home string
	srv  *httptest.Server
	lie  atomic.Value // func(http.ResponseWriter, *http.Request) bool: answers instead, if true
	hits atomic.Int64
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	need(t, "apt-ftparchive", "dpkg-deb", "gpg")
	r := &repo{t: t, dir: t.TempDir(), home: t.TempDir()}
	if err := os.Chmod(r.home, 0o700); err != nil {
		t.Fatal(err)
	}
	r.gpg("--quick-generate-key", "Test Archive <archive@test.example>", "rsa2048", "sign", "never")
	r.gpg("--yes", "-o", r.home+"/key.gpg", "--export")
	files := http.FileServer(http.Dir(r.dir))
	r.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.hits.Add(1)
		if lie, ok := r.lie.Load().(func(http.ResponseWriter, *http.Request) bool); ok && lie != nil && lie(w, q) {
			return
		}
		files.ServeHTTP(w, q)
	}))
	t.Cleanup(r.srv.Close)
	return r
}

func (r *repo) gpg(args ...string) {
	r.t.Helper()
	r.sh("gpg", append([]string{"--homedir", r.home, "--batch", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
}

func (r *repo) sh(name string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = r.dir
	out, err := cmd.Output()
	if err != nil {
		stderr := ""
		if x, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it unwrapped
			stderr = string(x.Stderr)
		}
		r.t.Fatalf("%s %v: %v\n%s", name, args, err, stderr)
	}
	return string(out)
}

// publish makes one package of that version and signs the suite "stable".
func (r *repo) publish(version string) {
	r.t.Helper()
	pkg := filepath.Join(r.t.TempDir(), "pkg")
	write(r.t, pkg+"/DEBIAN/control", "Package: tool\nVersion: "+version+"\nArchitecture: all\nMaintainer: T <t@test.example>\nDescription: test\n")
	write(r.t, pkg+"/usr/share/tool/data", strings.Repeat("data of "+version+"\n", 20_000))
	if err := os.MkdirAll(r.dir+"/pool", 0o755); err != nil {
		r.t.Fatal(err)
	}
	r.sh("dpkg-deb", "-Znone", "--root-owner-group", "-b", pkg, "pool/tool_"+version+"_all.deb")
	bin := "dists/stable/main/binary-amd64"
	write(r.t, r.dir+"/"+bin+"/Packages", r.sh("apt-ftparchive", "packages", "pool"))
	r.sh("sh", "-c", "gzip -nkf "+bin+"/Packages")
	release := r.sh("apt-ftparchive", "-o", "APT::FTPArchive::Release::Suite=stable", "-o", "APT::FTPArchive::Release::Codename=stable",
		"-o", "APT::FTPArchive::Release::Architectures=amd64 all", "-o", "APT::FTPArchive::Release::Components=main", "release", "dists/stable")
	write(r.t, r.home+"/Release", release)
	r.gpg("--yes", "--clearsign", "-o", r.dir+"/dists/stable/InRelease", r.home+"/Release")
}

// source returns the line for sources.list.
func (r *repo) source() string {
	return "deb [signed-by=" + r.home + "/key.gpg] " + r.srv.URL + " stable main\n"
}

// settings allow the repository's address and make its key known.
func (r *repo) settings() []string {
	host := strings.TrimPrefix(r.srv.URL, "http://")
	return []string{"UPSTREAM_ALLOW_LOOPBACK=" + host, "APT_KEYRINGS=" + r.home, "FRESHNESS_GRACE=24h"}
}

// TestAptUpgradedArchive publishes a new version between update and install.
func TestAptUpgradedArchive(t *testing.T) {
	r := newRepo(t)
	r.publish("1.0")
	d := start(t, r.settings()...)
	a := newAptRoot(t, r.source())
	d.through(a.dir, a.args("update")...)
	r.publish("2.0") // the old file is still in the pool, as on real archives
	_, s := d.through(a.dir, a.args("install", "--download-only", "tool")...)
	if s.Failed > 0 || s.Verified != s.Files || s.Files == 0 {
		t.Errorf("install by the old index: %+v", s)
	}
	b := newAptRoot(t, r.source())
	d.stop()
	d.serve()
	d.through(b.dir, b.args("update")...)
	d.through(b.dir, b.args("install", "--download-only", "tool")...)
}

// TestAptHostile checks that no client completes what the index does not name.
func TestAptHostile(t *testing.T) {
	for _, tt := range []struct {
		name string
		lie  func(w http.ResponseWriter, q *http.Request) bool
		cmd  []string
	}{
		{"wrong bytes", deb(func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat("evil", 100_000))) }), nil},
		{"truncated", deb(func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "400000")
			_, _ = w.Write(make([]byte, 1000))
		}), nil},
		{"login page", deb(func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>please log in</html>"))
		}), nil},
		{"redirect to a private address", deb(func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://169.254.169.254/latest/meta-data/")
			w.WriteHeader(http.StatusFound)
		}), nil},
		{"tampered InRelease", func(w http.ResponseWriter, q *http.Request) bool {
			if !strings.HasSuffix(q.URL.Path, "/InRelease") {
				return false
			}
			_, _ = w.Write([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: evil\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n"))
			return true
		}, []string{"update", "-o", "APT::Update::Error-Mode=any"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRepo(t)
			r.publish("1.0")
			d := start(t, r.settings()...)
			a := newAptRoot(t, r.source())
			cmd := tt.cmd
			if cmd == nil {
				d.through(a.dir, a.args("update")...)
				cmd = []string{"install", "--download-only", "tool"}
			}
			r.lie.Store(tt.lie)
			got := d.run(a.dir, nil, binary, append([]string{"exec", "--"}, a.args(cmd...)...)...)
			if got.code == 0 {
				t.Errorf("apt-get %v succeeded\n%s", cmd, got.out)
			}
			if s := d.last(); s.Failed == 0 {
				t.Errorf("no failed line in %+v", s.Lines)
			}
			if debs, _ := filepath.Glob(a.dir + "/var/cache/apt/archives/*.deb"); len(debs) > 0 {
				t.Errorf("apt completed %v", debs)
			}
			if tt.cmd == nil { // the origin recovers, and so does everybody
				r.lie.Store(func(http.ResponseWriter, *http.Request) bool { return false })
				// apt would go on with what it has of the wrong file if both are of the same second.
				if err := os.RemoveAll(a.dir + "/var/cache/apt/archives/partial"); err != nil {
					t.Fatal(err)
				}
				d.through(a.dir, a.args(cmd...)...)
			}
		})
	}
}

// deb answers requests for packages.
func deb(answer func(http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, q *http.Request) bool {
		if !strings.HasSuffix(q.URL.Path, ".deb") {
			return false
		}
		answer(w)
		return true
	}
}
