package e2e

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"sutler/internal/ecosystem/rpm"
)

// An rpmRepo is a small signed repository made with the ecosystem's own tools, served on
// loopback in the place of public hosts.
type rpmRepo struct {
	t    *testing.T
	dir  string
	home string
	srv  *httptest.Server
	lie  atomic.Value // func(http.ResponseWriter, *http.Request) bool: answers instead, if true
}

// rpmHost is in the place of a repository that nobody knows.
const rpmHost = "rpm.test.example"

// rpmPublic is a public host of the ecosystem, whose connections are opened.
func rpmPublic() string { return rpm.New(rpm.Options{}).Profile().Hosts[1] }

func newRPMRepo(t *testing.T) *rpmRepo {
	t.Helper()
	need(t, "dnf", "createrepo_c", "rpmbuild", "gpg", "curl")
	r := &rpmRepo{t: t, dir: t.TempDir(), home: t.TempDir()}
	if err := os.Chmod(r.home, 0o700); err != nil {
		t.Fatal(err)
	}
	r.gpg("--quick-generate-key", "Test Repository <repository@test.example>", "rsa2048", "sign", "never")
	r.gpg("--yes", "--armor", "-o", r.home+"/RPM-GPG-KEY-test", "--export")
	files := http.FileServer(http.Dir(r.dir))
	r.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if lie, ok := r.lie.Load().(func(http.ResponseWriter, *http.Request) bool); ok && lie(w, q) {
			return
		}
		files.ServeHTTP(w, q)
	}))
	t.Cleanup(r.srv.Close)
	return r
}

func (r *rpmRepo) gpg(args ...string) {
	r.t.Helper()
	r.sh("gpg", append([]string{"--homedir", r.home, "--batch", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
}

func (r *rpmRepo) sh(name string, args ...string) {
	r.t.Helper()
	(&daemon{t: r.t, env: os.Environ()}).must(r.dir, nil, name, args...)
}

// publish makes a package of that version and a generation that lists all so far.
func (r *rpmRepo) publish(version string, options ...string) {
	r.t.Helper()
	top := r.t.TempDir()
	write(r.t, top+"/data", strings.Repeat("data of "+version+"\n", 20_000))
	write(r.t, top+"/tool.spec", "Name: tool+x\nVersion: "+version+"\nRelease: 1\nSummary: test\nLicense: MIT\nBuildArch: noarch\n%description\ntest\n"+
		"%install\ninstall -D "+top+"/data %{buildroot}/usr/share/tool/data\n%files\n/usr/share/tool/data\n")
	r.sh("rpmbuild", "-bb", "--quiet", "--define", "_topdir "+top, "--define", "_binary_payload w0.gzdio", "--define", "_dbpath "+top+"/db", top+"/tool.spec")
	r.sh("mkdir", "-p", r.dir+"/os/Packages/t")
	r.sh("cp", top+"/RPMS/noarch/tool+x-"+version+"-1.noarch.rpm", r.dir+"/os/Packages/t/")
	r.sh("createrepo_c", append([]string{"--quiet", "--no-database"}, append(options, r.dir+"/os")...)...)
	r.gpg("--yes", "--armor", "--detach-sign", r.dir+"/os/repodata/repomd.xml")
}

// settings put the repository in the place of its hosts and make its key known.
func (r *rpmRepo) settings() []string {
	return []string{"UPSTREAM_ALLOW_LOOPBACK=" + strings.TrimPrefix(r.srv.URL, "http://"), "RPM_KEYRINGS=" + r.home, "FRESHNESS_GRACE=24h",
		"UPSTREAM_MIRRORS=http://" + rpmHost + "/=" + r.srv.URL + "/,https://" + rpmPublic() + "/=" + r.srv.URL + "/"}
}

// A dnfRoot is a folder in which dnf works as in a system of its own.
type dnfRoot struct{ dir string }

// newDNFRoot returns one with a single repository, of which where says the place. Without
// proxy_auth_method dnf does not say which build it belongs to.
func newDNFRoot(t *testing.T, where ...string) dnfRoot {
	t.Helper()
	r := dnfRoot{t.TempDir()}
	write(t, r.dir+"/dnf.conf", "[main]\ncachedir="+r.dir+"/cache\nlogdir="+r.dir+"/log\npersistdir="+r.dir+"/persist\nreposdir="+r.dir+"/repos\n"+
		"varsdir="+r.dir+"/vars\npluginpath="+r.dir+"/plugins\ngpgcheck=0\nproxy_auth_method=basic\n[test]\nname=test\n"+strings.Join(where, "\n")+"\n")
	return r
}

// args returns a dnf command line that works in the folder. dnf reads no variable for its
// authorities.
func (r dnfRoot) args(words ...string) []string {
	return append([]string{"sh", "-c", `exec "$@" --setopt=sslcacert="$SSL_CERT_FILE"`, "sh", "dnf", "-q", "-y", "-c", r.dir + "/dnf.conf", "--installroot=" + r.dir + "/root", "--releasever=9"}, words...)
}

// fetch downloads the package and what it needs.
func (r dnfRoot) fetch() []string { return r.args("install", "--downloadonly", "tool+x") }

// packages returns what dnf has completed.
func (r dnfRoot) packages() []string {
	found, _ := filepath.Glob(r.dir + "/root" + r.dir + "/cache/*/packages/*.rpm")
	return found
}

// TestRPM downloads a package: cold, warm, and with the origin gone.
func TestRPM(t *testing.T) {
	r := newRPMRepo(t)
	r.publish("1.0")
	d := start(t, r.settings()...)
	for _, tt := range []struct {
		name string
		env  string
		conf []string
	}{
		{"plain", "", []string{"baseurl=http://" + rpmHost + "/os/"}},
		{"repo_gpgcheck", "", []string{"baseurl=http://" + rpmHost + "/os/", "repo_gpgcheck=1", "gpgkey=file://" + r.home + "/RPM-GPG-KEY-test"}},
		{"intercepted", "", []string{"baseurl=https://" + rpmPublic() + "/os/"}},
		{"native", "", []string{"baseurl=http://" + d.addr + "/rpm/" + rpmPublic() + "/os/"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cold := newDNFRoot(t, tt.conf...)
			_, s := d.through(cold.dir, cold.fetch()...)
			if len(cold.packages()) != 1 {
				t.Errorf("dnf has %v", cold.packages())
			}
			if tt.name == "native" {
				return // its requests are of no build
			}
			if s.Failed > 0 || s.Unvouched > 0 || s.Files < 4 {
				t.Errorf("cold: %+v", s)
			}
			for _, l := range s.Lines {
				if (l.Trust != "signed" || l.Signer == "") && !strings.HasSuffix(l.URL, ".asc") {
					t.Errorf("%s is %q by %q, want signed", l.URL, l.Trust, l.Signer)
				}
			}
			warm := newDNFRoot(t, tt.conf...)
			_, s = d.through(warm.dir, warm.fetch()...)
			s.allFromStore(t, 1)
		})
	}
	index, _ := filepath.Glob(r.dir + "/os/repodata/*-primary.xml.gz")
	if len(index) != 1 {
		t.Fatalf("createrepo_c made %v", index)
	}
	parts := d.must(d.dir, nil, binary, "exec", "--", "curl", "-sSf", "-r", "0-1,10-19", "http://"+rpmHost+"/os/repodata/"+filepath.Base(index[0])).out
	if n := strings.Count(parts, "Content-Range: bytes "); n != 2 {
		t.Errorf("of two ranges %d were sent", n)
	}
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	offline := newDNFRoot(t, "baseurl=http://"+rpmHost+"/os/")
	_, s := d.through(offline.dir, offline.fetch()...)
	s.allFromStore(t, 1)
}

// TestRPMMirrors asks by lists of mirrors, of which clients get those that the cache sees.
func TestRPMMirrors(t *testing.T) {
	r := newRPMRepo(t)
	r.publish("1.0")
	repomd, err := os.ReadFile(r.dir + "/os/repodata/repomd.xml")
	if err != nil {
		t.Fatal(err)
	}
	r.lie.Store(func(w http.ResponseWriter, q *http.Request) bool {
		switch q.URL.Path {
		case "/mirrorlist":
			fmt.Fprintf(w, "https://mirror.test.example/os/\nhttps://%s/os/\n", rpmPublic())
		case "/metalink":
			fmt.Fprintf(w, `<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="repomd.xml"><size>%d</size><verification>`+
				`<hash type="sha256">%x</hash></verification><resources maxconnections="1">`+
				`<url protocol="https" type="https" location="DE" preference="100">https://mirror.test.example/os/repodata/repomd.xml</url>`+
				`<url protocol="https" type="https" location="US" preference="90">https://%s/os/repodata/repomd.xml</url>`+
				`</resources></file></files></metalink>`, len(repomd), sha256.Sum256(repomd), rpmPublic())
		default:
			return false
		}
		return true
	})
	d := start(t, r.settings()...)
	for _, kind := range []string{"metalink", "mirrorlist"} {
		for name, base := range map[string]string{"proxy": "http://" + rpmHost, "native": "http://" + d.addr + "/rpm/" + rpmPublic()} {
			t.Run(kind+" "+name, func(t *testing.T) {
				a := newDNFRoot(t, kind+"="+base+"/"+kind+"?repo=test-9&arch=x86_64")
				_, s := d.through(a.dir, a.fetch()...)
				if len(a.packages()) != 1 || s.Failed > 0 || s.Tunnelled > 0 {
					t.Errorf("dnf has %v: %+v", a.packages(), s)
				}
			})
		}
	}
	hosts := rpm.New(rpm.Options{}).Profile().Hosts
	gone := hosts[slices.IndexFunc(hosts, func(h string) bool { return strings.HasPrefix(h, "mirrorlist.") })]
	out := d.must(d.dir, nil, binary, "exec", "--", "curl", "-s", "http://"+gone+"/?release=7&arch=x86_64&repo=os&infra=stock").out
	if !strings.HasSuffix(out, "/7.9.2009/os/x86_64/\n") {
		t.Errorf("the list that is gone: %q", out)
	}
}

// TestRPMGenerations publishes new generations, one of which is not complete.
func TestRPMGenerations(t *testing.T) {
	r := newRPMRepo(t)
	r.publish("1.0", "--simple-md-filenames")
	d := start(t, r.settings()...)
	base := "baseurl=http://" + rpmHost + "/os/"
	old := newDNFRoot(t, base)
	d.through(old.dir, old.args("makecache")...)
	r.publish("2.0")
	d.through(old.dir, old.fetch()...) // by the old index, of a package that is still there
	if p := old.packages(); len(p) != 1 || !strings.Contains(p[0], "-1.0-") {
		t.Errorf("by the old index dnf has %v", p)
	}
	ask := func(version string) { // of a package that is not known yet, so the index may have changed
		d.through(d.dir, "curl", "-sSfo", d.dir+"/x.rpm", "http://"+rpmHost+"/os/Packages/t/tool+x-"+version+"-1.noarch.rpm")
	}
	ask("2.0")
	if s := d.last(); s.Verified != 1 {
		t.Errorf("a new package, asked for by its name: %+v", s)
	}
	a := newDNFRoot(t, base)
	d.through(a.dir, a.fetch()...)
	if p := a.packages(); len(p) != 1 || !strings.Contains(p[0], "-2.0-") {
		t.Errorf("by the new index dnf has %v", p)
	}
	r.publish("3.0")
	r.lie.Store(func(w http.ResponseWriter, q *http.Request) bool {
		gone := strings.Contains(q.URL.Path, "-primary.xml")
		if gone {
			http.NotFound(w, q)
		}
		return gone
	})
	ask("3.0")
	b := newDNFRoot(t, base)
	d.through(b.dir, b.fetch()...)
	if p := b.packages(); len(p) != 1 || !strings.Contains(p[0], "-2.0-") {
		t.Errorf("while the new index is not there dnf has %v", p)
	}
}

// TestRPMHostile checks that no client completes what the index does not name.
func TestRPMHostile(t *testing.T) {
	answer := func(part string, f func(http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, q *http.Request) bool {
			if !strings.Contains(q.URL.Path, part) {
				return false
			}
			f(w)
			return true
		}
	}
	exactly := func(end string, f func(http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		lie := answer(end, f)
		return func(w http.ResponseWriter, q *http.Request) bool {
			return strings.HasSuffix(q.URL.Path, end) && lie(w, q)
		}
	}
	wrong := func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat("evil", 100_000))) }
	for _, tt := range []struct {
		name string
		lie  func(http.ResponseWriter, *http.Request) bool
		cold bool // before the client has the indexes
	}{
		{"wrong package", answer(".rpm", wrong), false},
		{"truncated package", answer(".rpm", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "400000")
			_, _ = w.Write(make([]byte, 1000))
		}), false},
		{"wrong index", answer("-primary.xml", wrong), true},
		{"tampered repomd.xml", exactly("/repomd.xml", func(w http.ResponseWriter) { _, _ = w.Write([]byte("<repomd><revision>1</revision></repomd>")) }), true},
		{"login page", exactly("/repomd.xml", func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>login</html>")) }), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRPMRepo(t)
			r.publish("1.0")
			d := start(t, r.settings()...)
			a := newDNFRoot(t, "baseurl=http://"+rpmHost+"/os/")
			if !tt.cold {
				d.through(a.dir, a.args("makecache")...)
			}
			r.lie.Store(tt.lie)
			got := d.run(a.dir, nil, binary, append([]string{"exec", "--"}, a.fetch()...)...)
			if s := d.last(); got.code == 0 || s.Failed == 0 || len(a.packages()) > 0 {
				t.Errorf("dnf: exit %d, has %v: %+v\n%s", got.code, a.packages(), s, got.err)
			}
			r.lie.Store(func(http.ResponseWriter, *http.Request) bool { return false })
			d.through(a.dir, a.fetch()...)
			if len(a.packages()) != 1 {
				t.Errorf("after the origin recovered dnf has %v", a.packages())
			}
		})
	}
}
