package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"

	"sutler/internal/ecosystem/gomod"
)

// oldGo is the go command of Debian 12.
const oldGo = "/usr/lib/go-1.19/bin/go"

// graph is a module that needs more than fifty others, in the language of oldGo.
const graph = `module example.com/app

go 1.19

require (
	github.com/prometheus/client_golang v1.14.0
	github.com/spf13/viper v1.15.0
	go.etcd.io/bbolt v1.3.7
)
`

// program imports what graph requires.
const program = `package main

import (
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/spf13/viper"
	_ "go.etcd.io/bbolt"
)

func main() {}
`

// goClient returns a command that runs a go command with empty caches.
func goClient(t *testing.T, settings []string, program string, args ...string) []string {
	t.Helper()
	caches := t.TempDir()
	command := append([]string{"env", "GOPATH=" + caches, "GOMODCACHE=" + caches + "/mod", "GOCACHE=" + caches + "/build", "GOTOOLCHAIN=local",
		"GOFLAGS=-mod=mod -modcacherw", "GOPRIVATE=", "GONOPROXY=", "GONOSUMDB=", "GOINSECURE=", "GONOSUMCHECK="}, settings...)
	return append(append(command, program), args...)
}

// goProject makes a folder with files, given by name and text in turn.
func goProject(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		write(t, dir+"/"+files[i], files[i+1])
	}
	return dir
}

// goUpstream returns the settings by which the daemon reaches the public proxy from here,
// and the proxy's URL. GOPROXY says where its modules are to be had.
func goUpstream(t *testing.T) (settings []string, public string) {
	t.Helper()
	public = gomod.New(gomod.Options{}).Profile().Mounts[0].Origin
	out, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		lacks(t, "go env GOPROXY: "+err.Error())
	}
	here, _, _ := strings.Cut(strings.TrimSpace(string(out)), ",")
	if !strings.Contains(here, "://") {
		lacks(t, "GOPROXY is "+here)
	}
	if here = strings.TrimSuffix(here, "/") + "/"; here != public {
		settings = append(settings, "UPSTREAM_MIRRORS="+public+"="+here)
	}
	return settings, strings.TrimSuffix(public, "/")
}

// ownGraph returns the go.mod of sutler without the modules that make up two thirds of the
// bytes and would only take time.
func ownGraph(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	large := regexp.MustCompile(`(?m)^\t(github.com/cloudflare/circl|github.com/klauspost/compress|modernc.org/sqlite|modernc.org/libc) .*\n`)
	return large.ReplaceAllString(string(text), "")
}

// TestGo downloads the module graph of sutler itself, and builds with the go command of
// Debian: cold, and with empty caches while the proxy is gone.
func TestGo(t *testing.T) {
	need(t, "go", oldGo)
	settings, public := goUpstream(t)
	own := ownGraph(t)
	d := start(t, settings...)
	download := func() (string, summary) {
		dir := goProject(t, "go.mod", own)
		_, s := d.through(dir, goClient(t, []string{"GOPROXY=" + public}, "go", "mod", "download")...)
		sums, err := os.ReadFile(dir + "/go.sum")
		if err != nil {
			t.Fatal(err)
		}
		return string(sums), s
	}
	list := func(proxy string) (string, summary) {
		dir := goProject(t, "go.mod", graph, "main.go", program)
		r, s := d.through(dir, goClient(t, []string{"GOPROXY=" + proxy}, oldGo, "list", "-deps", ".")...)
		return r.out, s
	}
	sums, s := download()
	if n := trusted(s, "signed", ".zip"); n < 50 || s.Unvouched > 0 || s.Failed > 0 || s.Tunnelled > 0 {
		t.Errorf("%d zips are signed, %d unvouched, %d failed, %d tunnelled", n, s.Unvouched, s.Failed, s.Tunnelled)
	}
	packages, s := list(public)
	if !strings.Contains(packages, "github.com/spf13/viper") || s.Unvouched > 0 || s.Failed > 0 || s.Tunnelled > 0 {
		t.Errorf("%d unvouched, %d failed, %d tunnelled\n%s", s.Unvouched, s.Failed, s.Tunnelled, packages)
	}
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	again, s := download()
	s.allFromStore(t, 1)
	if again != sums {
		t.Error("go.sum differs the second time")
	}
	native := "http://" + d.addr + "/go"
	if again, _ := list(native); again != packages {
		t.Errorf("the native endpoint, offline, has other packages:\n%s", again)
	}
	dir := goProject(t, "go.mod", graph)
	r := d.run(dir, nil, "env", goClient(t, []string{"GOPROXY=" + native + ",direct"}, "go", "list", "-m", "example.com/never/stored@v1.0.0")[1:]...)
	if r.code == 0 || !strings.Contains(r.err, "offline") || strings.Contains(r.err, "git") {
		t.Errorf("a module that is not stored: exit %d, want the reason and no way around\n%s", r.code, r.err)
	}
}

// A goOrigin is a module proxy with a checksum database, and ways to break it.
type goOrigin struct {
	*httptest.Server
	key string // of the database

	mu       sync.Mutex
	versions map[string][]string // of each module
	evil     bool                // zips are not what the database says
	forged   bool                // so are records
	down     bool                // the database is in trouble
	asked    []string
}

// newGoOrigin serves modules below corp.example: a, which needs Upper and b.
func newGoOrigin(t *testing.T) *goOrigin {
	t.Helper()
	signer, key, err := note.GenerateKey(rand.Reader, "sums.example/db")
	if err != nil {
		t.Fatal(err)
	}
	o := &goOrigin{key: key, versions: map[string][]string{
		"corp.example/a": {"v1.0.0"}, "corp.example/Upper": {"v0.1.0"}, "corp.example/b": {"v1.2.0"},
	}}
	database := sumdb.NewServer(sumdb.NewTestServer(signer, o.sums))
	mux := http.NewServeMux()
	for _, path := range sumdb.ServerPaths {
		mux.Handle("/sumdb/sums.example/db"+path, http.StripPrefix("/sumdb/sums.example/db", o.records(database)))
	}
	mux.HandleFunc("/", o.files)
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

// set changes the origin.
func (o *goOrigin) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// records answers for the database.
func (o *goOrigin) records(database http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var down, forged bool
		o.set(func() {
			down, forged = o.down, o.forged
			o.asked = append(o.asked, "/sumdb"+r.URL.Path)
		})
		if down {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		answer := httptest.NewRecorder()
		database.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		if forged {
			if i := bytes.Index(body, []byte(" h1:")); i > 0 {
				copy(body[i:], " h1:AAAA")
			}
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
	})
}

// files answers for the proxy.
func (o *goOrigin) files(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, r.URL.Path)
	escaped, file, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/@v/")
	path, err := module.UnescapePath(escaped)
	if err != nil || o.versions[path] == nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	if file == "list" {
		fmt.Fprintln(w, strings.Join(o.versions[path], "\n"))
		return
	}
	v := file[:max(0, strings.LastIndexByte(file, '.'))]
	switch {
	case !slices.Contains(o.versions[path], v):
		http.Error(w, "not found", http.StatusGone)
	case strings.HasSuffix(file, ".info"):
		fmt.Fprintf(w, `{"Version":%q,"Time":"2026-01-02T03:04:05Z"}`, v)
	case strings.HasSuffix(file, ".mod"):
		_, _ = w.Write([]byte(goModOf(path)))
	default:
		_, _ = w.Write(goZip(path, v, o.evil))
	}
}

// sums returns the record of a module for the database.
func (o *goOrigin) sums(path, v string) ([]byte, error) {
	whole, err := goHash(goFiles(path, v, false))
	if err != nil {
		return nil, err
	}
	mod, err := goHash(map[string]string{"go.mod": goModOf(path)})
	return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, v, whole, path, v, mod), err
}

// goHash returns the h1 hash of files.
func goHash(files map[string]string) (string, error) {
	return dirhash.Hash1(slices.Collect(maps.Keys(files)), func(name string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(files[name])), nil
	})
}

// goModOf returns the go.mod of a module.
func goModOf(path string) string {
	text := "module " + path + "\n\ngo 1.19\n"
	if path == "corp.example/a" {
		text += "\nrequire (\n\tcorp.example/Upper v0.1.0\n\tcorp.example/b v1.2.0\n)\n"
	}
	return text
}

// goFiles returns the files of a module as they are in its zip.
func goFiles(path, v string, evil bool) map[string]string {
	dir := path + "@" + v + "/"
	files := map[string]string{dir + "go.mod": goModOf(path), dir + "x.go": "package x\n\nconst Version = \"" + v + "\"\n"}
	if evil {
		files[dir+"x.go"] += "\nfunc init() { panic(1) }\n"
	}
	return files
}

// goZip returns the zip of a module.
func goZip(path, v string, evil bool) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range goFiles(path, v, evil) {
		w, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			panic(err) // a buffer takes everything
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// goPrivate starts a daemon for an origin whose modules a database of its own vouches for.
func goPrivate(t *testing.T, o *goOrigin, settings ...string) *daemon {
	t.Helper()
	return start(t, append(settings, "HOSTS=gomod=goproxy.example,gomod=second.example", "GOMOD_SUMDB="+o.key,
		"UPSTREAM_MIRRORS_ONLY=true", "UPSTREAM_ALLOW_LOOPBACK="+o.Listener.Addr().String(),
		"UPSTREAM_MIRRORS=https://goproxy.example/="+o.URL+"/,https://second.example/="+o.URL+"/second/")...)
}

// TestGoDatabase asks a database on loopback, which says and does what the public one never
// would.
func TestGoDatabase(t *testing.T) {
	need(t, "go", oldGo)
	for _, program := range []string{"go", oldGo} {
		t.Run(program, func(t *testing.T) {
			o := newGoOrigin(t)
			d := goPrivate(t, o)
			settings := []string{"GOPROXY=https://goproxy.example", "GOSUMDB=" + o.key}
			get := func(query string) (result, summary) {
				dir := goProject(t, "go.mod", "module example.com/app\n\ngo 1.19\n")
				r := d.run(dir, nil, binary, append([]string{"exec", "--"}, goClient(t, settings, program, "get", query)...)...)
				return r, d.last()
			}
			good := func(query string) summary {
				t.Helper()
				r, s := get(query)
				if r.code != 0 || s.Tunnelled > 0 {
					t.Fatalf("go get %s: exit %d, %d tunnelled\n%s", query, r.code, s.Tunnelled, r.err)
				}
				return s
			}
			bad := func(query, reason string) {
				t.Helper()
				if r, _ := get(query); r.code == 0 || !strings.Contains(r.err, reason) {
					t.Fatalf("go get %s: exit %d, want %q\n%s", query, r.code, reason, r.err)
				}
			}

			s := good("corp.example/a@v1.0.0")
			if zips, mods := trusted(s, "signed", ".zip"), trusted(s, "signed", ".mod"); zips != 1 || mods != 1 {
				t.Errorf("%d zips and %d go.mod are signed, want one each", zips, mods)
			}
			good("corp.example/a@v1.0.0").allFromStore(t, 1)
			good("corp.example/Upper@latest")

			// The list that is stored does not know the new version; who asks for it gets it.
			o.set(func() { o.versions["corp.example/a"] = []string{"v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"}; o.evil = true })
			bad("corp.example/a@v1.1.0", "promises h1:")
			o.set(func() { o.evil = false })
			good("corp.example/a@v1.1.0")

			o.set(func() { o.forged = true })
			bad("corp.example/a@v1.2.0", "is not the one in the tree")
			o.set(func() { o.forged = false })
			good("corp.example/a@v1.2.0")

			// A database in trouble leaves modules unvouched for clients that ask none.
			o.set(func() { o.down = true })
			settings[1] = "GOSUMDB=off"
			if n := trusted(good("corp.example/a@v1.3.0"), "unvouched", ".zip"); n != 1 {
				t.Errorf("%d zips are unvouched while the database is down, want 1", n)
			}
			d.stop()
			o.Close()
			d.serve()
			settings[1] = "GOSUMDB=" + o.key
			good("corp.example/a@v1.2.0").allFromStore(t, 1)
		})
	}
}

// trusted counts the lines of that trust whose URLs end so.
func trusted(s summary, trust, suffix string) int {
	n := 0
	for _, l := range s.Lines {
		if l.Trust == trust && strings.HasSuffix(l.URL, suffix) {
			n++
		}
	}
	return n
}

// TestGoList checks that what a proxy does not have lets a list of proxies go on, and that
// what sutler refuses does not.
func TestGoList(t *testing.T) {
	need(t, "go")
	o := newGoOrigin(t)
	get := func(d *daemon, list, query string) result {
		dir := goProject(t, "go.mod", "module example.com/app\n\ngo 1.19\n")
		return d.run(dir, nil, binary, append([]string{"exec", "--"}, goClient(t, []string{"GOPROXY=" + list, "GOSUMDB=off"}, "go", "get", query)...)...)
	}
	const query = "corp.example/b@v1.2.0"
	if r := get(goPrivate(t, o), "https://second.example,https://goproxy.example", query); r.code != 0 {
		t.Errorf("exit %d, want the second proxy to be asked\n%s", r.code, r.err)
	}
	o.set(func() { o.asked = nil })
	// Nobody vouches for a description of a version that came over plain HTTP.
	r := get(goPrivate(t, o, "POLICY_STRICT=true"), "https://goproxy.example,https://second.example", query)
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.code == 0 || !strings.Contains(r.err, "policy.strict") || slices.Contains(o.asked, "/second/corp.example/b/@v/v1.2.0.info") {
		t.Errorf("exit %d, want a refusal that ends the list\n%s\n%s", r.code, r.err, o.asked)
	}
}

// TestGoPrivate asks a proxy that was not configured: its modules are stored, and no database
// is asked for their names.
func TestGoPrivate(t *testing.T) {
	need(t, "go")
	o := newGoOrigin(t)
	d := start(t, "UPSTREAM_MIRRORS_ONLY=true", "UPSTREAM_ALLOW_LOOPBACK="+o.Listener.Addr().String(), "UPSTREAM_MIRRORS=http://athens.example/go/="+o.URL+"/")
	get := func() summary {
		dir := goProject(t, "go.mod", "module example.com/app\n\ngo 1.19\n")
		_, s := d.through(dir, goClient(t, []string{"GOPROXY=http://athens.example/go", "GOSUMDB=off"}, "go", "get", "corp.example/Upper@v0.1.0")...)
		return s
	}
	if n := trusted(get(), "unvouched", ".zip"); n != 1 {
		t.Errorf("%d zips are unvouched, want 1", n)
	}
	o.mu.Lock()
	if slices.ContainsFunc(o.asked, func(p string) bool { return strings.Contains(p, "sumdb") }) {
		t.Errorf("a database was asked: %s", o.asked)
	}
	o.mu.Unlock()
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	get().allFromStore(t, 1)
}
