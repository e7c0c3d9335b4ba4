package e2e

import (
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sutler/internal/ecosystem/rubygems"
)

// A gemServer is a repository on a shelf that the gem command made, with the compact index
// that it does not make.
type gemServer struct {
	*shelf
	dir                   string // of gem generate_index
	versions, names, site string
	infos                 map[string]string
}

func newGemServer(t *testing.T) *gemServer {
	t.Helper()
	return &gemServer{shelf: newShelf(t), dir: t.TempDir(), versions: "created_at: 2026-04-01T00:00:05Z\n---\n", names: "---\n",
		site: "https://" + rubygems.New(rubygems.Options{}).Profile().Hosts[0], infos: map[string]string{}}
}

// publish builds a gem and puts it into the indexes; it returns its bytes.
func (g *gemServer) publish(t *testing.T, d *daemon, name, version, dependency string) []byte {
	t.Helper()
	src := t.TempDir()
	text := fmt.Sprintf("Gem::Specification.new do |s|\ns.name=%q\ns.version=%q\ns.summary=\"x\"\ns.authors=[\"x\"]\ns.files=[\"lib/%s.rb\"]\n", name, version, name)
	deps := ""
	if dependency != "" {
		text += fmt.Sprintf("s.add_dependency %q, \">= 1\"\n", dependency)
		deps = dependency + ":>= 1"
	}
	write(t, src+"/x.gemspec", text+"end\n")
	write(t, src+"/lib/"+name+".rb", "# version "+version+"\n"+strings.Repeat("# gem\n", 2000))
	file := name + "-" + version + ".gem"
	if err := os.MkdirAll(g.dir+"/gems", 0o755); err != nil {
		t.Fatal(err)
	}
	d.must(src, nil, "gem", "build", "--quiet", "x.gemspec", "-o", g.dir+"/gems/"+file)
	d.must(g.dir, nil, "gem", "generate_index", "--quiet", "-d", g.dir)
	gem := g.read(t)["/gems/"+file]
	if _, ok := g.infos[name]; !ok {
		g.infos[name] = "---\n"
		g.names += name + "\n"
	}
	g.infos[name] += fmt.Sprintf("%s %s|checksum:%s\n", version, deps, sha256Of(gem))
	g.versions += fmt.Sprintf("%s %s %x\n", name, version, md5.Sum([]byte(g.infos[name])))
	g.put("/info/"+name, []byte(g.infos[name]))
	g.put("/versions", []byte(g.versions))
	g.put("/names", []byte(g.names))
	return gem
}

// read puts all files of the repository on the shelf and returns them.
func (g *gemServer) read(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(g.dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		all[strings.TrimPrefix(p, g.dir)] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range all {
		g.put(path, b)
	}
	return all
}

// A rubyClient is a home of its own, with a project.
type rubyClient struct {
	home string
	env  []string
}

func (g *gemServer) client(t *testing.T) rubyClient {
	t.Helper()
	home := t.TempDir()
	write(t, home+"/app/Gemfile", fmt.Sprintf("source %q\ngem \"outer\"\n", g.site))
	return rubyClient{home, []string{"env", "HOME=" + home, "BUNDLE_PATH=" + home + "/bundle", "BUNDLE_SILENCE_ROOT_WARNING=true", "BUNDLE_RETRY=0"}}
}

// app is the folder of the project.
func (c rubyClient) app() string { return c.home + "/app" }

// bundle returns a command line of Bundler.
func (c rubyClient) bundle(words ...string) []string {
	return append(slices.Clone(c.env), append([]string{"bundle"}, words...)...)
}

// gem returns a command line that installs a gem into the home.
func (c rubyClient) gem(words ...string) []string {
	return append(slices.Clone(c.env), append([]string{"gem", "install", "--no-document", "-i", c.home + "/gems"}, words...)...)
}

// served returns the line about what lies at the end of that path.
func (s summary) served(end string) (line, bool) {
	i := slices.IndexFunc(s.Lines, func(l line) bool { return strings.HasSuffix(l.URL, end) })
	if i < 0 {
		return line{}, false
	}
	return s.Lines[i], true
}

// TestBundler installs gems: cold, warm, after a change of the list, from a hostile origin,
// at the native endpoint, with the origin gone.
func TestBundler(t *testing.T) {
	need(t, "gem", "bundle", "curl")
	g := newGemServer(t)
	places := map[string]string{}
	for _, h := range rubygems.New(rubygems.Options{}).Profile().Hosts {
		places["https://"+h+"/"] = "/"
	}
	d := start(t, g.settings(places)...)
	g.publish(t, d, "inner", "1.0.0", "")
	g.publish(t, d, "outer", "1.0.0", "inner")

	first := g.client(t)
	_, s := d.through(first.app(), first.bundle("install")...)
	if s.Verified < 2 || s.Unvouched > 0 || s.Failed > 0 {
		t.Errorf("cold: %+v", s)
	}
	lock, err := os.ReadFile(first.app() + "/Gemfile.lock")
	if err != nil || !strings.Contains(string(lock), "inner (1.0.0)") || strings.Contains(string(lock), d.addr) {
		t.Errorf("the lock file is %v\n%s", err, lock)
	}
	g.since()
	second := g.client(t)
	_, s = d.through(second.app(), second.bundle("install")...)
	s.allFromStore(t, 1)
	_, s = d.through(second.app(), second.gem("outer")...)
	if s.Verified < 2 || s.Failed > 0 {
		t.Errorf("gem install: %+v", s)
	}
	for _, path := range g.since() {
		if !strings.HasPrefix(path, "/quick/") { // gem reads gemspecs, Bundler does not
			t.Errorf("warm: the origin was asked for %s", path)
		}
	}
	g.tail(t, d)
	g.grow(t, d, first)
	g.native(t, d)

	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	third := g.client(t)
	_, s = d.through(third.app(), third.bundle("install")...)
	s.allFromStore(t, 1)
	_, s = d.through(third.app(), third.gem("outer", "-v", "1.0.0")...)
	s.allFromStore(t, 1)
}

// grow publishes another version, whose gem the origin spoils at first.
func (g *gemServer) grow(t *testing.T, d *daemon, c rubyClient) {
	t.Helper()
	gem := g.publish(t, d, "inner", "1.1.0", "")
	g.put("/gems/inner-1.1.0.gem", spoil(gem))
	d.sutler("purge", "/versions")
	d.sutler("purge", "/info/inner")
	other := g.client(t)
	for i, line := range [][]string{c.bundle("update"), other.gem("inner")} {
		if r := d.run(c.app(), nil, binary, append([]string{"exec", "--"}, line...)...); r.code == 0 {
			t.Errorf("%v accepted a gem that is not what the info file states", line)
		}
		if l, ok := d.last().served("/inner-1.1.0.gem"); !ok || l.Outcome != "bad" {
			t.Errorf("%v: the spoilt gem was answered with %+v", line, l)
		}
		if l, ok := d.last().served("/versions"); i == 0 && (!ok || l.Bytes == 0 || l.Bytes >= l.Size) {
			t.Errorf("%v asked for the rest of the list, and got %+v", line, l)
		}
	}
	g.put("/gems/inner-1.1.0.gem", gem)
	_, s := d.through(c.app(), c.bundle("update")...)
	if l, ok := s.served("/inner-1.1.0.gem"); !ok || l.Trust != "stated" {
		t.Errorf("healed: %+v", s.Lines)
	}
}

// tail asks for parts of the list as Bundler does: a validator that holds goes before a
// range, and the fields by which Bundler checks what it has are those of the whole.
func (g *gemServer) tail(t *testing.T, d *daemon) {
	t.Helper()
	etag := fmt.Sprintf(`"%x"`, md5.Sum([]byte(g.versions)))
	for validator, want := range map[string]string{etag: "304 0", `"other"`: "206 10"} {
		r, _ := d.through(d.dir, "curl", "-fsS", "-D", "head", "-o", "body", "-w", "%{http_code} %{size_download}", "-H", "If-None-Match: "+validator,
			"-H", fmt.Sprintf("Range: bytes=%d-", len(g.versions)-10), g.site+"/versions")
		head, err := os.ReadFile(d.dir + "/head")
		if err != nil || r.out != want || !strings.Contains(string(head), etag) {
			t.Errorf("If-None-Match %s: %s, %v, want %s\n%s", validator, r.out, err, want, head)
		}
		if strings.HasPrefix(want, "206") && !strings.Contains(strings.ToLower(string(head)), "repr-digest: sha-256=:") {
			t.Errorf("no Repr-Digest in\n%s", head)
		}
	}
}

// native installs at the native endpoint, by a mirror in Bundler's configuration and by the
// gem command's own.
func (g *gemServer) native(t *testing.T, d *daemon) {
	t.Helper()
	g.since()
	c := g.client(t)
	for _, line := range [][]string{
		c.bundle("config", "set", "--global", "mirror."+g.site, "http://"+d.addr+"/gems"),
		c.bundle("install"),
		c.gem("outer", "--clear-sources", "--source", "http://"+d.addr+"/gems/"),
	} {
		d.must(c.app(), nil, line[0], line[1:]...)
	}
	for _, path := range g.since() {
		if strings.HasPrefix(path, "/gems/") {
			t.Errorf("the origin was asked for %s again", path)
		}
	}
	lock, err := os.ReadFile(c.app() + "/Gemfile.lock")
	if err != nil || strings.Contains(string(lock), d.addr) {
		t.Errorf("the lock file is %v\n%s", err, lock)
	}
}

// TestGemLegacy checks that the index without checksums is refused, and had by a setting:
// gems are verified all the same.
func TestGemLegacy(t *testing.T) {
	need(t, "gem")
	g := newGemServer(t)
	places := map[string]string{}
	for _, h := range rubygems.New(rubygems.Options{}).Profile().Hosts {
		places["https://"+h+"/"] = "/"
	}
	d := start(t, g.settings(places)...)
	gem := g.publish(t, d, "inner", "1.0.0", "")
	fetched := func() bool { // gem fetch ends well even when it finds nothing
		d.run(d.dir, nil, binary, "exec", "--", "gem", "fetch", "inner")
		_, err := os.Stat(d.dir + "/inner-1.0.0.gem")
		return err == nil
	}
	if fetched() {
		t.Error("gem fetch read an index without checksums")
	}
	if l, ok := d.last().served(".4.8.gz"); !ok || l.Outcome != "refused" {
		t.Errorf("the old index was answered with %+v", d.last().Lines)
	}
	d.stop()
	d.set("RUBYGEMS_LEGACY=true")
	d.serve()
	g.put("/gems/inner-1.0.0.gem", spoil(gem))
	if fetched() {
		t.Error("gem fetch got a gem that is not what the info file states")
	}
	g.put("/gems/inner-1.0.0.gem", gem)
	if !fetched() {
		t.Error("gem fetch got no gem")
	}
	if l, ok := d.last().served("/inner-1.0.0.gem"); !ok || l.Trust != "stated" {
		t.Errorf("gem fetch: %+v", d.last().Lines)
	}
}

// TestBundlerNewest installs gems with the newest release of Bundler: one changed on the way,
// cold, warm, with a new version, at the native endpoint and with the origin gone.
func TestBundlerNewest(t *testing.T) {
	need(t, "gem")
	g := newGemServer(t)
	places := map[string]string{}
	for _, h := range rubygems.New(rubygems.Options{}).Profile().Hosts {
		places["https://"+h+"/"] = "/"
	}
	d := start(t, g.settings(places)...)
	inner := g.publish(t, d, "inner", "1.0.0", "")
	g.publish(t, d, "outer", "1.0.0", "inner")
	install := func(mirror string, through ...string) (string, result) {
		t.Helper()
		c := g.client(t)
		env := append(slices.Clone(c.env), "RUBYOPT=-rcgi") // this Bundler on this Ruby fails with any proxy otherwise
		if mirror != "" {
			env = append(env, "BUNDLE_MIRROR__ALL="+mirror)
		}
		command := append(slices.Clone(through), inSid(t, append(env, "bundle", "install")...)...)
		r := d.run(c.app(), nil, command[0], command[1:]...)
		lock, _ := os.ReadFile(c.app() + "/Gemfile.lock") // that it is not there is told by its text
		return string(lock), r
	}
	through := []string{binary, "exec", "--"}
	g.put("/gems/inner-1.0.0.gem", spoil(inner))
	if lock, r := install("", through...); r.code == 0 || lock != "" || d.last().Failed == 0 {
		t.Errorf("Bundler took a gem that was changed: exit %d\n%s%s\n%+v", r.code, r.out, r.err, d.last())
	}
	g.put("/gems/inner-1.0.0.gem", inner)
	want := func(what, version, mirror string, through ...string) {
		t.Helper()
		if lock, r := install(mirror, through...); r.code != 0 || !strings.Contains(lock, "inner ("+version+")") || strings.Contains(lock, d.addr) {
			t.Errorf("%s: exit %d, want inner %s\n%s%s%s", what, r.code, version, r.out, r.err, lock)
		}
	}
	want("cold", "1.0.0", "", through...)
	if s := d.last(); s.Verified < 2 || s.Unvouched > 0 || s.Failed > 0 || s.Tunnelled > 0 {
		t.Errorf("cold: %+v", s)
	}
	g.since()
	want("warm", "1.0.0", "", through...)
	d.last().allFromStore(t, 1)
	want("at the endpoint", "1.0.0", "http://"+d.addr+"/gems")
	if asked := g.since(); slices.ContainsFunc(asked, func(path string) bool { return strings.HasPrefix(path, "/gems/") }) { // its lists are those of the other host
		t.Errorf("warm, the origin was asked for %v", asked)
	}
	g.publish(t, d, "inner", "1.1.0", "")
	d.sutler("purge", "/versions")
	d.sutler("purge", "/info/inner")
	want("changed", "1.1.0", "", through...)
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	want("offline", "1.1.0", "", through...)
	d.last().allFromStore(t, 1)
}
