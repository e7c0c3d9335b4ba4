package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sutler/internal/ecosystem/apk"
	"sutler/internal/ecosystem/apktest"
)

// apkPath is where the repository lies at its origin.
const apkPath = "/alpine/v3.22/main"

// An apkRepo is a small signed repository on loopback. It stands in for Alpine's own, which
// clients ask for by its public name.
type apkRepo struct {
	t    *testing.T
	key  apktest.Key
	keys string // folder of the key
	srv  *httptest.Server
	hits atomic.Int64

	mu    sync.Mutex
	files map[string][]byte // by path below apkPath
}

func newAPKRepo(t *testing.T) *apkRepo {
	t.Helper()
	r := &apkRepo{t: t, key: apktest.NewKey(t, "test.rsa.pub"), keys: t.TempDir(), files: map[string][]byte{}}
	write(t, r.keys+"/test.rsa.pub", string(r.key.Public(t)))
	r.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.hits.Add(1)
		r.mu.Lock()
		b, ok := r.files[strings.TrimPrefix(q.URL.Path, apkPath)]
		r.mu.Unlock()
		if !ok {
			http.NotFound(w, q)
			return
		}
		http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(b))
	}))
	t.Cleanup(r.srv.Close)
	return r
}

// put sets what the origin answers for a path; nil: nothing.
func (r *apkRepo) put(path string, b []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.files[path]
	if r.files[path] = b; b == nil {
		delete(r.files, path)
	}
	return was
}

// publish makes the index of a version of the repository: one package for the architecture,
// and one for all of them, which apk asks for in another folder.
func (r *apkRepo) publish(version string, made time.Time) {
	r.t.Helper()
	var entries []string
	for _, p := range []apktest.Package{
		{Name: "tool", Version: version, Arch: "x86_64", Files: map[string]string{"usr/bin/tool": strings.Repeat("tool "+version+"\n", 100), "usr/share/tool/data": noise(version)}},
		{Name: "tool-doc", Version: version, Arch: "noarch", Files: map[string]string{"usr/share/doc/tool": "read this\n"}},
	} {
		file, entry := p.Build(r.t, r.key)
		r.put("/"+p.Arch+"/"+p.File(), file)
		entries = append(entries, entry)
	}
	index := apktest.Index(r.t, made, entries...)
	r.put("/x86_64/APKINDEX.tar.gz", append(r.key.Sign(r.t, "RSA", index), index...))
}

// noise returns 300 KB that do not compress well, so that the package is longer than what
// is held back from clients.
func noise(seed string) string {
	var b strings.Builder
	x := uint64(len(seed)) + uint64(seed[0])
	for b.Len() < 300_000 {
		x = x*6364136223846793005 + 1442695040888963407
		b.WriteByte(byte(x >> 56))
	}
	return b.String()
}

// settings make the repository answer for the public one.
func (r *apkRepo) settings() []string {
	return []string{"UPSTREAM_ALLOW_LOOPBACK=" + strings.TrimPrefix(r.srv.URL, "http://"), "APK_KEYS=" + r.keys,
		"UPSTREAM_MIRRORS=" + apkHost() + "/alpine/=" + r.srv.URL + "/alpine/", "UPSTREAM_MIRRORS_ONLY=true", "FRESHNESS_GRACE=24h"}
}

// apkHost returns the public address of Alpine's repositories.
func apkHost() string { return "https://" + apk.New(apk.Options{}).Profile().Hosts[0] }

// add does what `apk add --no-cache` does: it asks for the index, then for packages, with
// nothing but its name in the header.
func (r *apkRepo) add(base, version string) []string {
	fetch := []string{"curl", "-fsS", "-H", "Accept:", "-A", "libfetch/2.0", "--remote-name-all"}
	for _, path := range []string{"/x86_64/APKINDEX.tar.gz", "/noarch/tool-doc-" + version + ".apk", "/x86_64/tool-" + version + ".apk"} {
		fetch = append(fetch, base+apkPath+strings.ReplaceAll(path, "~", "%7e"))
	}
	return fetch
}

// TestAPK makes the requests of apk: cold, warm, at the native endpoint and with the origin gone.
func TestAPK(t *testing.T) {
	need(t, "curl")
	const version = "1.0_git~1-r0"
	r := newAPKRepo(t)
	r.publish(version, time.Now())
	d := start(t, append(r.settings(), "POLICY_STRICT=true")...)
	cold := t.TempDir()
	_, s := d.through(cold, r.add(apkHost(), version)...)
	if s.Files != 3 || s.Verified != 3 {
		t.Errorf("cold: %+v", s.Lines)
	}
	for _, l := range s.Lines {
		if l.Ecosystem != apk.Name || l.Trust != "signed" || !strings.HasSuffix(l.Signer, r.key.Name) {
			t.Errorf("cold: %+v", l)
		}
	}
	got, err := os.ReadFile(cold + "/tool-" + strings.ReplaceAll(version, "~", "%7e") + ".apk")
	if want := r.put("/x86_64/tool-"+version+".apk", nil); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the package is not what the origin has: %v", err)
	}
	before := r.hits.Load()
	_, s = d.through(t.TempDir(), r.add(apkHost(), version)...)
	s.allFromStore(t, 1)
	if n := r.hits.Load() - before; n > 0 {
		t.Errorf("warm: %d requests to the origin", n)
	}

	d.stop()
	r.srv.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	_, s = d.through(t.TempDir(), r.add(apkHost(), version)...)
	s.allFromStore(t, 1)
	if s.Files != 3 || s.Verified != 3 {
		t.Errorf("offline: %+v", s.Lines)
	}
}

// TestAPKNative asks the native endpoint for an address that no list knows.
func TestAPKNative(t *testing.T) {
	need(t, "curl")
	r := newAPKRepo(t)
	r.publish("1.0-r0", time.Now())
	d := start(t, append(r.settings(), "POLICY_STRICT=true")...)
	for range 2 {
		dir := t.TempDir()
		d.must(dir, nil, "curl", r.add("http://"+d.addr+"/apk/"+strings.TrimPrefix(r.srv.URL, "http://"), "1.0-r0")[1:]...)
		got, err := os.ReadFile(dir + "/tool-1.0-r0.apk")
		if err != nil || !bytes.Equal(got, r.files["/x86_64/tool-1.0-r0.apk"]) {
			t.Errorf("the package is not what the origin has: %v", err)
		}
	}
	if n := r.hits.Load(); n != 4 {
		t.Errorf("%d requests to the origin, want one for each file and one for an index in noarch/", n)
	}
}

// TestAPKUpgraded publishes a new version: its packages make sutler look for the new index,
// packages of the old index stay, and the old index does not come back.
func TestAPKUpgraded(t *testing.T) {
	need(t, "curl")
	r := newAPKRepo(t)
	r.publish("1.0-r0", time.Now().Add(-time.Hour))
	d := start(t, append(r.settings(), "POLICY_STRICT=true")...)
	d.through(t.TempDir(), r.add(apkHost(), "1.0-r0")...)
	r.put("/x86_64/tool-1.0-r0.apk", nil)
	r.put("/noarch/tool-doc-1.0-r0.apk", nil)
	old := r.put("/x86_64/APKINDEX.tar.gz", nil)
	r.publish("2.0-r0", time.Now())
	_, s := d.through(t.TempDir(), "curl", "-fsS", "-o", "tool.apk", apkHost()+apkPath+"/x86_64/tool-2.0-r0.apk")
	if s.Verified != 1 {
		t.Errorf("a package of the new index: %+v", s.Lines)
	}
	dir := t.TempDir()
	_, s = d.through(dir, r.add(apkHost(), "1.0-r0")...)
	if s.Files != 3 || s.Verified != 3 || s.FromStore != s.Bytes {
		t.Errorf("packages of the old index: %+v", s.Lines)
	}
	latest := r.put("/x86_64/APKINDEX.tar.gz", old)
	r.put("/x86_64/tool-3.0-r0.apk", []byte("no index knows this"))
	got := d.run(d.dir, nil, binary, "exec", "--", "curl", "-fsS", "-o", "tool.apk", apkHost()+apkPath+"/x86_64/tool-3.0-r0.apk")
	if got.code == 0 {
		t.Error("a package that no index lists was served under strict policy")
	}
	d.through(dir, "curl", "-fsS", "-o", "index", apkHost()+apkPath+"/x86_64/APKINDEX.tar.gz")
	if b, err := os.ReadFile(dir + "/index"); err != nil || !bytes.Equal(b, latest) {
		t.Errorf("an older index came back (%v)", err)
	}
}

// TestAPKHostile checks that no client completes what the index does not name.
func TestAPKHostile(t *testing.T) {
	need(t, "curl")
	const path = "/x86_64/tool-1.0-r0.apk"
	for _, tt := range []struct {
		name string
		path string
		lie  func(r *apkRepo, right []byte) []byte // what the origin answers instead
	}{
		{"other data", path, func(r *apkRepo, _ []byte) []byte {
			evil := apktest.Package{Name: "tool", Version: "1.0-r0", Arch: "x86_64", Files: map[string]string{"usr/bin/tool": "evil"}}
			file, _ := evil.Build(r.t, r.key) // signed by the right key, but not what the index names
			return file
		}},
		{"control of the right package", path, func(_ *apkRepo, right []byte) []byte {
			// of the right length, with the right control member and the signature
			b := bytes.Clone(right)
			b[len(b)-100] ^= 1
			return b
		}},
		{"something appended", path, func(_ *apkRepo, right []byte) []byte { return append(bytes.Clone(right), right...) }},
		{"truncated", path, func(_ *apkRepo, right []byte) []byte { return right[:len(right)/2] }},
		{"login page", path, func(*apkRepo, []byte) []byte { return []byte("<html>please log in</html>") }},
		{"index of somebody else", "/x86_64/APKINDEX.tar.gz", func(r *apkRepo, _ []byte) []byte {
			stranger := apktest.NewKey(r.t, r.key.Name)
			index := apktest.Index(r.t, time.Now())
			return append(stranger.Sign(r.t, "RSA", index), index...)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newAPKRepo(t)
			r.publish("1.0-r0", time.Now())
			d := start(t, r.settings()...)
			right := r.files[tt.path]
			r.put(tt.path, tt.lie(r, right))
			dir := t.TempDir()
			got := d.run(dir, nil, binary, append([]string{"exec", "--"}, r.add(apkHost(), "1.0-r0")...)...)
			if got.code == 0 {
				t.Errorf("curl succeeded\n%s", got.out)
			}
			if s := d.last(); s.Failed == 0 {
				t.Errorf("no failed line in %+v", s.Lines)
			}
			r.put(tt.path, right) // the origin recovers, and so does everybody
			dir = t.TempDir()
			d.through(dir, r.add(apkHost(), "1.0-r0")...)
			if b, err := os.ReadFile(filepath.Join(dir, filepath.Base(tt.path))); err != nil || !bytes.Equal(b, right) {
				t.Errorf("after the origin recovered: %v", err)
			}
		})
	}
}

// TestAPKClient installs with apk itself, where there is one: Alpine has it, Debian has not.
func TestAPKClient(t *testing.T) {
	needAPK(t)
	r := newAPKRepo(t)
	r.publish("1.0_git~1-r0", time.Now())
	r.install(apkHost() + apkPath)
}

// TestAPKClient3 does so from a repository of version 3 of the format, which apk 3 makes.
func TestAPKClient3(t *testing.T) {
	needAPK(t)
	r := newAPKRepo(t)
	dir := t.TempDir()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for file, encode := range map[string]func() ([]byte, error){
		dir + "/test.key":     func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(private) },
		r.keys + "/curve.pub": func() ([]byte, error) { return x509.MarshalPKIXPublicKey(&private.PublicKey) },
	} {
		der, err := encode()
		if err != nil {
			t.Fatal(err)
		}
		kind := map[string]string{".key": "PRIVATE KEY", ".pub": "PUBLIC KEY"}[filepath.Ext(file)]
		write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	write(t, dir+"/tool/usr/bin/tool", noise("tool"))
	write(t, dir+"/tool-doc/usr/share/doc/tool", "read this\n")
	for name, arch := range map[string]string{"tool": "x86_64", "tool-doc": "noarch"} {
		file := name + "-1.0-r0.apk"
		make3 := exec.Command("apk", "mkpkg", "-F", name, "-I", "name:"+name, "-I", "version:1.0-r0", "-I", "arch:"+arch, "-o", file, "--sign-key", "test.key")
		make3.Dir = dir
		if out, err := make3.CombinedOutput(); err != nil {
			t.Skipf("this apk makes no packages: %v\n%s", err, out)
		}
		r.putFile("/"+arch+"/"+file, dir+"/"+file)
	}
	index := exec.Command("apk", "--allow-untrusted", "mkndx", "-o", "Packages.adb", "--sign-key", "test.key", "tool-1.0-r0.apk", "tool-doc-1.0-r0.apk")
	index.Dir = dir
	if out, err := index.CombinedOutput(); err != nil {
		t.Fatalf("apk mkndx: %v\n%s", err, out)
	}
	r.putFile("/x86_64/Packages.adb", dir+"/Packages.adb")
	write(t, dir+"/repositories", "v3 "+apkHost()+apkPath+"\n")
	r.install("", "--repositories-file", dir+"/repositories")
}

// needAPK skips the test where apk is not installed: the other tests make its requests.
func needAPK(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("apk"); err != nil {
		t.Skip("apk is not installed; the other tests make its requests with curl")
	}
}

// putFile puts a file into the repository.
func (r *apkRepo) putFile(path, file string) {
	r.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	r.put(path, b)
}

// install installs with apk: cold, from the store, and with the origin gone.
func (r *apkRepo) install(repository string, options ...string) {
	t := r.t
	t.Helper()
	if repository != "" {
		options = append(options, "--repository", repository)
	}
	d := start(t, append(r.settings(), "POLICY_STRICT=true")...)
	add := func() summary {
		root := t.TempDir()
		keys, err := filepath.Glob(r.keys + "/*.pub")
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			b, err := os.ReadFile(k)
			if err != nil {
				t.Fatal(err)
			}
			write(t, root+"/etc/apk/keys/"+filepath.Base(k), string(b))
		}
		command := append([]string{"apk", "--root", root, "--initdb", "--arch", "x86_64", "--no-cache"}, options...)
		_, s := d.through(d.dir, append(command, "add", "tool", "tool-doc")...)
		if _, err := os.Stat(root + "/usr/bin/tool"); err != nil {
			t.Error(err)
		}
		return s
	}
	if s := add(); s.Files != 3 || s.Verified != 3 || s.Tunnelled > 0 {
		t.Errorf("cold: %+v", s)
	}
	asked := r.hits.Load()
	add().allFromStore(t, 1)
	if n := r.hits.Load() - asked; n > 0 {
		t.Errorf("warm: %d requests to the origin", n)
	}
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	add().allFromStore(t, 1)
}
