package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sutler/internal/ecosystem/pypi"
)

// A pythonIndex is a package index over TLS: the public one at /public/ with its files at
// /files/, and a private one at /private/ with relative links to files beside it.
type pythonIndex struct {
	server *httptest.Server

	mu     sync.Mutex
	files  map[string][]byte // by name
	html   map[string]bool   // projects whose page is HTML only
	wrong  map[string]bool   // files that are served with other bytes
	yanked map[string]bool
	asked  int
}

// filesHost is the host of the public index's files.
func filesHost() string { return pypi.New(pypi.Options{}).Profile().Hosts[1] }

// newPythonIndex serves an index with a few projects until the test ends.
func newPythonIndex(t *testing.T) *pythonIndex {
	t.Helper()
	x := &pythonIndex{files: map[string][]byte{}, html: map[string]bool{"oldkit": true}, wrong: map[string]bool{}, yanked: map[string]bool{"appkit-2.1-py3-none-any.whl": true}}
	for _, v := range []string{"1.0", "2.0", "2.1"} {
		x.wheel("appkit", v, "Requires-Dist: Lib.Kit>=1\nRequires-Dist: oldkit\n")
	}
	x.wheel("lib_kit", "1.0", "")
	x.wheel("oldkit", "0.9", "")
	x.files["sourcekit-1.0.tar.gz"] = sourceArchive(t)
	setuptools, err := filepath.Glob("/usr/share/python-wheels/setuptools-*.whl")
	if err != nil || len(setuptools) == 0 {
		lacks(t, "python3-setuptools-whl is not installed")
	}
	b, err := os.ReadFile(setuptools[0])
	if err != nil {
		t.Fatal(err)
	}
	x.files[filepath.Base(setuptools[0])] = b
	x.server = httptest.NewTLSServer(x)
	t.Cleanup(x.server.Close)
	return x
}

// settings make a daemon ask x in place of the public index, and know the private one.
func (x *pythonIndex) settings(t *testing.T) []string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "index.pem")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.server.Certificate().Raw})))
	hosts := pypi.New(pypi.Options{}).Profile().Hosts
	mirrors := []string{"https://" + hosts[0] + "/=" + x.server.URL + "/public/", "https://" + hosts[1] + "/=" + x.server.URL + "/files/",
		"https://private.example/=" + x.server.URL + "/private/"}
	return []string{"UPSTREAM_CA_FILE=" + ca, "UPSTREAM_ALLOW_LOOPBACK=" + strings.TrimPrefix(x.server.URL, "https://"),
		"UPSTREAM_MIRRORS=" + strings.Join(mirrors, ","), "UPSTREAM_MIRRORS_ONLY=true", "HOSTS=pypi=private.example/simple"}
}

// wheel publishes a wheel with one module that says its version.
func (x *pythonIndex) wheel(project, version, requires string) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	info := project + "-" + version + ".dist-info/"
	for _, f := range [][2]string{{project + ".py", "version = '" + version + "'\n"}, {info + "METADATA", metadataOf(project, version, requires)},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}, {info + "RECORD", ""}} {
		w, err := z.Create(f[0])
		if err == nil {
			_, err = w.Write([]byte(f[1]))
		}
		if err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
	}
	if err := z.Close(); err != nil {
		panic(err) // as above
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	name := project + "-" + version + "-py3-none-any.whl"
	x.files[name], x.files[name+".metadata"] = b.Bytes(), []byte(metadataOf(project, version, requires))
}

func metadataOf(project, version, requires string) string {
	return "Metadata-Version: 2.1\nName: " + project + "\nVersion: " + version + "\n" + requires
}

// sourceArchive returns an archive that brings its own build backend, which needs setuptools.
func sourceArchive(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for name, text := range map[string]string{
		"PKG-INFO":       metadataOf("sourcekit", "1.0", ""),
		"pyproject.toml": "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
		"backend.py": `import os, setuptools, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = 'sourcekit-1.0-py3-none-any.whl'
    with zipfile.ZipFile(os.path.join(directory, name), 'w') as z:
        z.writestr('sourcekit.py', 'version = "1.0"\n')
        z.writestr('sourcekit-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\nName: sourcekit\nVersion: 1.0\n')
        z.writestr('sourcekit-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        z.writestr('sourcekit-1.0.dist-info/RECORD', '')
    return name
`,
	} {
		err := w.WriteHeader(&tar.Header{Name: "sourcekit-1.0/" + name, Mode: 0o644, Size: int64(len(text))})
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// set changes the index while it serves.
func (x *pythonIndex) set(change func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	change()
}

// requests returns how many requests there were so far.
func (x *pythonIndex) requests() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.asked
}

// ServeHTTP answers for pages and files.
func (x *pythonIndex) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.asked++
	dir, name := filepath.Split(r.URL.Path)
	if name == "" && strings.HasPrefix(filepath.Dir(filepath.Clean(dir)), "/") && strings.Contains(dir, "/simple/") {
		x.page(w, r, filepath.Base(dir))
		return
	}
	if name == "json" {
		x.describe(w, r)
		return
	}
	b, ok := x.files[name]
	if !ok || !strings.HasPrefix(dir, "/files/packages/") && !strings.HasPrefix(dir, "/private/packages/") {
		http.NotFound(w, r)
		return
	}
	if x.wrong[name] {
		b = append(slices.Clone(b[:len(b)-1]), b[len(b)-1]^1)
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
}

// page writes the page of a project.
func (x *pythonIndex) page(w http.ResponseWriter, r *http.Request, project string) {
	type object = map[string]any
	files := []object{}
	var html strings.Builder
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range x.files {
			if strings.HasPrefix(strings.ReplaceAll(strings.ToLower(n), "_", "-"), project+"-") && !strings.HasSuffix(n, ".metadata") && !yield(n) {
				return
			}
		}
	}) {
		sum := fmt.Sprintf("%x", sha256.Sum256(x.files[name]))
		url := "../../packages/" + sum[:2] + "/" + sum[2:4] + "/" + sum[4:] + "/" + name
		if strings.HasPrefix(r.URL.Path, "/public/") {
			url = "https://" + filesHost() + "/" + strings.TrimPrefix(url, "../../")
		}
		f := object{"filename": name, "url": url, "hashes": object{"sha256": sum}, "size": len(x.files[name]), "upload-time": "2024-01-02T03:04:05.678901Z", "yanked": x.yanked[name]}
		fmt.Fprintf(&html, `<a href="%s#sha256=%s" data-requires-python="&gt;=3.1"`, url, sum)
		if m, ok := x.files[name+".metadata"]; ok {
			f["core-metadata"] = object{"sha256": fmt.Sprintf("%x", sha256.Sum256(m))}
			fmt.Fprintf(&html, ` data-dist-info-metadata="sha256=%x"`, sha256.Sum256(m))
		}
		fmt.Fprintf(&html, ">%s</a><br/>\n", name)
		files = append(files, f)
	}
	switch {
	case len(files) == 0:
		http.NotFound(w, r)
	case x.html[project] || !strings.Contains(r.Header.Get("Accept"), "+json"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!DOCTYPE html><html><body>\n%s</body></html>\n", html.String())
	default:
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		_ = json.NewEncoder(w).Encode(object{"meta": object{"api-version": "1.1"}, "name": project, "files": files}) // whoever is gone does not read it
	}
}

// pipInstall returns a command that installs into an empty folder with an empty cache.
func pipInstall(t *testing.T, pip []string, args ...string) (command []string, into string) {
	t.Helper()
	into = t.TempDir()
	command = append(slices.Clone(pip), "install", "--disable-pip-version-check", "--no-input", "--retries", "0", "--cache-dir", t.TempDir(), "--target", into)
	return append(command, args...), into
}

// installed fails unless a module says that version.
func installed(t *testing.T, d *daemon, into, module, version string) {
	t.Helper()
	r := d.must(d.dir, []string{"PYTHONPATH=" + into}, "python3", "-c", "import "+module+"; print("+module+".version)")
	if got := strings.TrimSpace(r.out); got != version {
		t.Errorf("%s is %q, want %s", module, got, version)
	}
}

// newerPip returns a release of pip that obeys what indexes say about freshness: that of the
// next suite of the distribution.
func newerPip(t *testing.T) []string {
	t.Helper()
	need(t, "apt-get", "dpkg-deb")
	sources, err := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	if err != nil {
		t.Fatal(err)
	}
	var archive string
	for _, f := range append(sources, "/etc/apt/sources.list") {
		b, _ := os.ReadFile(f) // one of them is there
		if m := regexp.MustCompile(`(?m)^(?:URIs:|deb(?: \[.*\])?) +(\S+/debian)/?(?: |$)`).FindSubmatch(b); m != nil && archive == "" {
			archive = string(m[1])
		}
	}
	if archive == "" {
		lacks(t, "no Debian archive in the sources of apt")
	}
	root := t.TempDir()
	for _, dir := range []string{"/lists/partial", "/archives/partial", "/parts"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, root+"/status", "")
	write(t, root+"/sources.list", "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "+archive+" trixie main\n")
	write(t, root+"/apt.conf", fmt.Sprintf(`Dir::Etc::sourcelist "%[1]s/sources.list"; Dir::Etc::sourceparts "%[1]s/parts"; Dir::State::lists "%[1]s/lists";
Dir::State::status "%[1]s/status"; Dir::Cache "%[1]s"; APT::Sandbox::User "root"; Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false"; APT::Update::Post-Invoke-Success ""; #clear APT::Update::Post-Invoke;
`, root))
	d := &daemon{t: t, env: append(os.Environ(), "APT_CONFIG="+root+"/apt.conf")}
	for _, args := range [][]string{{"apt-get", "-q", "update"}, {"apt-get", "-q", "download", "python3-pip-whl"}} {
		if r := d.run(root, nil, args[0], args[1:]...); r.code != 0 {
			lacks(t, strings.Join(args, " ")+": "+r.err)
		}
	}
	packages, err := filepath.Glob(root + "/python3-pip-whl_*.deb")
	if err != nil || len(packages) != 1 {
		t.Fatalf("apt-get download left %q, %v", packages, err)
	}
	d.must(root, nil, "dpkg-deb", "-x", packages[0], root+"/x")
	wheels, err := filepath.Glob(root + "/x/usr/share/python-wheels/pip-*.whl")
	if err != nil || len(wheels) != 1 {
		t.Fatalf("the package has %q, %v", wheels, err)
	}
	t.Logf("newer pip: %s", filepath.Base(wheels[0]))
	return []string{"python3", wheels[0] + "/pip"}
}

// systemPip is the client that the machine has.
func systemPip() []string { return []string{"python3", "-m", "pip"} }

// TestPip installs through interception with the client's default index: cold, warm, and
// with the index gone.
func TestPip(t *testing.T) {
	need(t, "python3", "pip3")
	x := newPythonIndex(t)
	d := start(t, x.settings(t)...)
	install := func(args ...string) summary {
		command, into := pipInstall(t, systemPip(), append([]string{"appkit"}, args...)...)
		_, s := d.through(d.dir, command...)
		installed(t, d, into, "appkit", "2.0") // 2.1 is yanked
		return s
	}
	s := install("sourcekit")
	// appkit, lib-kit, oldkit, sourcekit, setuptools; pip since 23.1 asks for metadata, too.
	if s.Unvouched > 0 || s.Failed > 0 || s.Tunnelled > 0 || s.Verified < 5 {
		t.Errorf("cold: %d of %d verified, %d unvouched, %d failed, %d tunnelled\n%+v", s.Verified, s.Files, s.Unvouched, s.Failed, s.Tunnelled, s.Lines)
	}
	before := x.requests()
	install().allFromStore(t, 1)
	s = install("setuptools", "--use-feature=fast-deps") // parts of what states no metadata, then the whole
	s.allFromStore(t, 1)
	parts := slices.DeleteFunc(s.Lines, func(l line) bool { return !strings.HasPrefix(filepath.Base(l.URL), "setuptools-") })
	if len(parts) < 3 {
		t.Errorf("the wheel was not read in parts: %+v", parts)
	}
	if after := x.requests(); after != before {
		t.Errorf("warm installs asked the index %d times", after-before)
	}
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	install("sourcekit").allFromStore(t, 1)
	command, _ := pipInstall(t, systemPip(), "nobody-stored-this")
	if r := d.run(d.dir, nil, binary, append([]string{"exec", "--"}, command...)...); r.code == 0 {
		t.Error("pip install of something not stored succeeded offline")
	}
}

// TestPipNewer installs with releases of pip that keep pages themselves, and locks.
func TestPipNewer(t *testing.T) {
	need(t, "python3")
	for name, pip := range map[string]func(*testing.T) []string{
		"next":   newerPip,
		"newest": func(t *testing.T) []string { return inSid(t, "python3", "-m", "pip") },
	} {
		t.Run(name, func(t *testing.T) { installsAndLocks(t, pip(t)) })
	}
}

// installsAndLocks fails unless a release of pip refuses a wrong file, installs cold and warm,
// and writes a lock file that does not know sutler.
func installsAndLocks(t *testing.T, pip []string) {
	x := newPythonIndex(t)
	d := start(t, x.settings(t)...)
	x.refuses(t, d, pip, "appkit-2.0-py3-none-any.whl.metadata")
	for _, warm := range []bool{false, true} {
		command, into := pipInstall(t, pip, "appkit")
		_, s := d.through(d.dir, command...)
		installed(t, d, into, "appkit", "2.0")
		if s.Unvouched > 0 || s.Failed > 0 || s.Tunnelled > 0 {
			t.Errorf("warm %t: %+v", warm, s)
		}
		if warm {
			s.allFromStore(t, 1)
		}
	}
	lock := filepath.Join(t.TempDir(), "pylock.toml")
	d.through(d.dir, append(slices.Clone(pip), "lock", "-q", "--cache-dir", t.TempDir(), "-o", lock, "appkit")...)
	text, err := os.ReadFile(lock)
	if err != nil || !strings.Contains(string(text), "https://"+filesHost()+"/packages/") || strings.Contains(string(text), d.addr) {
		t.Errorf("the lock file is %s, %v; want the URLs of the index in it", text, err)
	}
}

// TestPipNative installs from the native endpoint, without any proxy: from the public index,
// and from one that nobody configured.
func TestPipNative(t *testing.T) {
	need(t, "python3", "pip3")
	x := newPythonIndex(t)
	d := start(t, x.settings(t)...)
	for _, path := range []string{"/pypi/simple/", "/pypi/host/" + strings.TrimPrefix(x.server.URL, "https://") + "/private/simple/"} {
		before := 0
		for _, warm := range []bool{false, true} {
			command, into := pipInstall(t, systemPip(), "--index-url", "http://"+d.addr+path, "appkit")
			d.must(d.dir, nil, command[0], command[1:]...)
			installed(t, d, into, "appkit", "2.0")
			if warm && x.requests() != before {
				t.Errorf("%s: a warm install asked the index %d times", path, x.requests()-before)
			}
			before = x.requests()
		}
	}
	for _, tt := range []struct{ accept, project, want, mediaType string }{
		{"application/vnd.pypi.simple.v1+json", "oldkit", `"url":"http://` + d.addr + `/pypi/files/packages/`, "application/vnd.pypi.simple.v1+json"},
		{"text/html", "appkit", `href="http://` + d.addr + `/pypi/files/packages/`, "text/html; charset=utf-8"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+d.addr+"/pypi/simple/"+tt.project+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", tt.accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.Header.Get("Content-Type") != tt.mediaType || resp.Header.Get("Cache-Control") != "max-age=60" || !strings.Contains(b.String(), tt.want) {
			t.Errorf("%s as %s: %v\n%s", tt.project, tt.accept, resp.Header, b.String())
		}
	}
}

// TestPipPrivate installs from a configured index whose links are relative.
func TestPipPrivate(t *testing.T) {
	need(t, "python3", "pip3")
	x := newPythonIndex(t)
	d := start(t, x.settings(t)...)
	command, into := pipInstall(t, systemPip(), "--index-url", "https://private.example/simple/", "appkit")
	_, s := d.through(d.dir, command...)
	installed(t, d, into, "appkit", "2.0")
	if s.Unvouched > 0 || s.Failed > 0 || s.Tunnelled > 0 || s.Verified < 3 {
		t.Errorf("%+v", s)
	}
}

// refuses fails unless an install fails while a file has other bytes than the page states.
func (x *pythonIndex) refuses(t *testing.T, d *daemon, pip []string, file string) {
	t.Helper()
	x.set(func() { x.wrong[file] = true })
	defer x.set(func() { x.wrong[file] = false })
	command, _ := pipInstall(t, pip, "appkit")
	if r := d.run(d.dir, nil, binary, append([]string{"exec", "--"}, command...)...); r.code == 0 {
		t.Errorf("pip installed although %s is wrong", file)
	}
	lines := d.last().Lines
	if !slices.ContainsFunc(lines, func(l line) bool { return l.Outcome == "bad" && strings.HasSuffix(l.URL, file) }) {
		t.Errorf("the receipt does not say that %s is bad: %+v", file, lines)
	}
}

// TestPipHostile installs while files have other bytes than the page states, and again when
// they are right; and a version that the stored page does not know.
func TestPipHostile(t *testing.T) {
	need(t, "python3", "pip3")
	x := newPythonIndex(t)
	d := start(t, x.settings(t)...)
	x.refuses(t, d, systemPip(), "lib_kit-1.0-py3-none-any.whl")
	command, into := pipInstall(t, systemPip(), "appkit")
	_, s := d.through(d.dir, command...)
	installed(t, d, into, "appkit", "2.0")
	if s.Failed > 0 || s.Unvouched > 0 {
		t.Errorf("after all was right again: %+v", s)
	}
	x.wheel("lib_kit", "1.1", "")
	var sum [32]byte
	x.set(func() { sum = sha256.Sum256(x.files["lib_kit-1.1-py3-none-any.whl"]) })
	command, into = pipInstall(t, systemPip(), fmt.Sprintf("https://%s/packages/%x/%x/%x/lib_kit-1.1-py3-none-any.whl", filesHost(), sum[:1], sum[1:2], sum[2:]))
	_, s = d.through(d.dir, command...)
	installed(t, d, into, "lib_kit", "1.1")
	if s.Verified < 1 || s.Unvouched > 0 {
		t.Errorf("a file that is newer than the stored page: %+v", s)
	}
}
