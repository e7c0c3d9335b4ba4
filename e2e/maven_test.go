package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sutler/internal/ecosystem/maven"
)

// mavenTree is where Debian's packages keep real artifacts in the layout of a repository.
const mavenTree = "/usr/share/maven-repo"

// A mavenOrigin is a Maven repository over TLS: what Debian's packages have, and files of
// its own. Checksum files come from the true bytes, whatever it serves.
type mavenOrigin struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]string // by path below the root
	bad   string            // a path whose bytes are wrong
	asked map[string]int
}

// mavenRepository starts a repository until the test ends.
func mavenRepository(t *testing.T) *mavenOrigin {
	t.Helper()
	o := &mavenOrigin{files: map[string]string{}, asked: map[string]int{}}
	o.files["org/codehaus/plexus/plexus-utils/1.1/plexus-utils-1.1.jar"] = jar(t, "") // Maven adds it to all extensions
	o.Server = httptest.NewTLSServer(o)
	t.Cleanup(o.Close)
	return o
}

// settings are those by which sutler asks the origin in place of Maven Central.
func (o *mavenOrigin) settings(t *testing.T) []string {
	t.Helper()
	roots := filepath.Join(t.TempDir(), "origin.pem")
	write(t, roots, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Certificate().Raw})))
	central := maven.New(maven.Options{}).Profile().Mounts[0].Origin
	return []string{"UPSTREAM_CA_FILE=" + roots, "UPSTREAM_ALLOW_LOOPBACK=" + strings.TrimPrefix(o.URL, "https://"),
		"UPSTREAM_MIRRORS_ONLY=true", "UPSTREAM_MIRRORS=" + central + "=" + o.URL + "/maven2/"}
}

// ServeHTTP serves files, and checksums of them: SHA-256 too, but not of what Apache has.
func (o *mavenOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/maven2/")
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked[name]++
	file, suffix := name, path.Ext(name)
	if suffix == ".sha1" || suffix == ".sha256" {
		file = strings.TrimSuffix(name, suffix)
	}
	body, ok := o.files[file]
	if !ok {
		b, err := os.ReadFile(filepath.Join(mavenTree, path.Clean("/"+file)))
		body, ok = string(b), err == nil
	}
	switch {
	case !ok, suffix == ".sha256" && strings.HasPrefix(name, "org/apache/apache/"):
		http.NotFound(w, r)
		return
	case suffix == ".sha1":
		body = fmt.Sprintf("%x", sha1.Sum([]byte(body)))
	case suffix == ".sha256":
		body = fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	case name == o.bad:
		body = body[:len(body)/2] + "x" + body[len(body)/2+1:]
	}
	_, _ = w.Write([]byte(body)) // who went away does not read it
}

// set changes what is served.
func (o *mavenOrigin) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// requests returns how many requests were made.
func (o *mavenOrigin) requests() (n int) {
	o.set(func() {
		for _, times := range o.asked {
			n += times
		}
	})
	return n
}

// publish adds a version of a parent POM, and lists all of them.
func (o *mavenOrigin) publish(versions ...string) {
	list := ""
	for _, v := range versions {
		o.files["org/example/parent/"+v+"/parent-"+v+".pom"] = pom("parent", v, "")
		list += "<version>" + v + "</version>"
	}
	o.files["org/example/parent/maven-metadata.xml"] = "<metadata><groupId>org.example</groupId><artifactId>parent</artifactId><versioning><versions>" +
		list + "</versions></versioning></metadata>"
}

// snapshot publishes a build of a snapshot.
func (o *mavenOrigin) snapshot(t *testing.T, stamp, build string) {
	t.Helper()
	dir := "org/example/snap/1.0-SNAPSHOT/"
	named := "snap-1.0-" + stamp + "-" + build
	o.files[dir+named+".pom"] = pom("snap", "1.0-SNAPSHOT", "")
	o.files[dir+named+".jar"] = jar(t, build)
	o.files[dir+"maven-metadata.xml"] = "<metadata><groupId>org.example</groupId><artifactId>snap</artifactId><version>1.0-SNAPSHOT</version><versioning><snapshot><timestamp>" +
		stamp + "</timestamp><buildNumber>" + build + "</buildNumber></snapshot></versioning></metadata>"
}

// jar makes a Java archive with one file.
func jar(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("build.txt")
	if err == nil {
		_, err = f.Write([]byte(text))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// pom describes an artifact of the group org.example.
func pom(artifact, version, more string) string {
	return "<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId><artifactId>" + artifact + "</artifactId><version>" + version +
		"</version>" + packaging(artifact) + more + "</project>"
}

func packaging(artifact string) string {
	if artifact == "snap" {
		return ""
	}
	return "<packaging>pom</packaging>"
}

// mavenProject makes a project whose parent is a range of versions and whose extensions are
// a release and a snapshot: validating it needs all of them, and no plugin.
func mavenProject(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/pom.xml", pom("app", "1", `
<parent><groupId>org.example</groupId><artifactId>parent</artifactId><version>[1,9)</version><relativePath/></parent>
<pluginRepositories><pluginRepository><id>central</id><url>`+maven.New(maven.Options{}).Profile().Mounts[0].Origin+`</url><snapshots><enabled>true</enabled></snapshots></pluginRepository></pluginRepositories>
<build><extensions>
<extension><groupId>org.apache.commons</groupId><artifactId>commons-lang3</artifactId><version>3.12.0</version></extension>
<extension><groupId>org.example</groupId><artifactId>snap</artifactId><version>1.0-SNAPSHOT</version></extension>
</extensions></build>`))
	return dir
}

// mvn is the command that validates a project with an empty repository of its own. -C makes
// Maven fail where a checksum does not hold.
func mvn(more ...string) []string {
	return append([]string{"mvn", "-B", "-C", "-Dmaven.repo.local=.m2", "-Dstyle.color=never", "validate"}, more...)
}

// bySettings is mvn with the settings of `sutler exec`: this release reads no MAVEN_ARGS.
func bySettings() []string {
	return append([]string{"sh", "-c", `exec "$@" -gs "$SUTLER_MAVEN_SETTINGS"`, "sh"}, mvn()...)
}

// TestMaven resolves a project from Maven Central, of which a mirror stands in: cold, warm
// with an empty client cache, by the native endpoint and by interception, with the
// repository changed, and with it gone.
func TestMaven(t *testing.T) {
	need(t, "mvn", "keytool")
	o := mavenRepository(t)
	o.publish("1.0", "1.1")
	o.snapshot(t, "20240102.030405", "1")
	d := start(t, o.settings(t)...)
	cold := mavenProject(t)
	_, s := d.through(cold, bySettings()...)
	unnamed(t, cold+"/.m2", d.addr)
	if s.Failed > 0 || s.Verified < 6 || s.Unvouched != 1 { // the POM of Apache has but a SHA-1
		t.Errorf("cold: %+v", s)
	}
	if n := o.asked["org/example/parent/1.1/parent-1.1.pom"]; n != 1 {
		t.Errorf("the newest parent was asked for %d times", n)
	}
	_, s = d.through(mavenProject(t), bySettings()...)
	s.allFromStore(t, 1)
	before := o.requests()
	command := mvn(intercepted(t, d)...)
	d.must(mavenProject(t), nil, command[0], command[1:]...)
	if after := o.requests(); after != before {
		t.Errorf("through the proxy %d more requests were made of the origin", after-before)
	}
	o.set(func() {
		o.publish("1.0", "1.1", "2.0")
		o.snapshot(t, "20240103.030405", "2")
	})
	d.sutler("purge", "maven-metadata.xml")
	_, s = d.through(mavenProject(t), bySettings()...)
	if s.Failed > 0 || o.asked["org/example/parent/2.0/parent-2.0.pom"] != 1 || o.asked["org/example/snap/1.0-SNAPSHOT/snap-1.0-20240103.030405-2.jar"] != 1 {
		t.Errorf("the new versions were not fetched: %+v", s)
	}
	d.stop()
	o.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	_, s = d.through(mavenProject(t), bySettings()...)
	s.allFromStore(t, 1)
}

// unnamed fails if files of a folder name sutler: they are used without it later.
func unnamed(t *testing.T, dir, address string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(address)) || bytes.Contains(b, []byte("sutler")) {
			t.Errorf("%s names sutler:\n%s", path, b)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files in %s: %v", files, dir, err)
	}
}

// intercepted returns what makes Java use the proxy and trust the CA.
func intercepted(t *testing.T, d *daemon) []string {
	t.Helper()
	store := filepath.Join(t.TempDir(), "roots.p12")
	root := filepath.Join(t.TempDir(), "root.pem")
	write(t, root, d.sutler("ca", "show", "--pem").out)
	d.must(d.dir, nil, "keytool", "-importcert", "-noprompt", "-alias", "sutler", "-storetype", "PKCS12", "-keystore", store, "-storepass", "changeit", "-file", root)
	host, port, _ := strings.Cut(d.addr, ":")
	return []string{"-Dhttps.proxyHost=" + host, "-Dhttps.proxyPort=" + port, "-Djavax.net.ssl.trustStore=" + store, "-Djavax.net.ssl.trustStorePassword=changeit"}
}

// TestMavenHostile serves wrong bytes: what sutler cannot verify it does not store, and the
// client fails; so it does where only a SHA-1 stands against them. Right bytes work then.
func TestMavenHostile(t *testing.T) {
	need(t, "mvn")
	o := mavenRepository(t)
	o.publish("1.0")
	o.snapshot(t, "20240102.030405", "1")
	d := start(t, o.settings(t)...)
	for _, bad := range []string{"org/apache/apache/debian/apache-debian.pom", "org/apache/commons/commons-lang3/3.12.0/commons-lang3-3.12.0.jar"} {
		o.set(func() { o.bad = bad })
		r := d.run(mavenProject(t), nil, binary, append([]string{"exec", "--"}, bySettings()...)...)
		s := d.last()
		if r.code == 0 || s.Failed == 0 {
			t.Errorf("%s: Maven ended with %d, %d failed\n%s", bad, r.code, s.Failed, r.out)
		}
		if ls := d.sutler("ls", path.Base(bad)).out; strings.Contains(ls, bad) && !strings.Contains(ls, bad+".") {
			t.Errorf("wrong bytes are stored:\n%s", ls)
		}
	}
	o.set(func() { o.bad = "" })
	_, s := d.through(mavenProject(t), bySettings()...)
	if s.Failed > 0 {
		t.Errorf("right bytes: %+v", s)
	}
}

// TestMavenForeign fetches from a repository that nobody configured, over plain HTTP through
// the proxy, by the shape of its paths.
func TestMavenForeign(t *testing.T) {
	need(t, "curl")
	o := mavenRepository(t)
	o.publish("1.0")
	plain := httptest.NewServer(o)
	t.Cleanup(plain.Close)
	u, err := url.Parse(plain.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := start(t, "UPSTREAM_ALLOW_LOOPBACK="+u.Host)
	for _, file := range []string{"parent/maven-metadata.xml", "parent/1.0/parent-1.0.pom"} {
		for range 2 {
			r, s := d.through(d.dir, "curl", "-fsS", "--noproxy", "", plain.URL+"/maven2/org/example/"+file)
			if r.out != o.files["org/example/"+file] || s.Failed > 0 || s.Lines[0].Ecosystem != maven.Name {
				t.Errorf("%s: %+v\n%s", file, s, r.out)
			}
		}
		if n := o.asked["org/example/"+file]; n != 1 {
			t.Errorf("%s was fetched %d times", file, n)
		}
	}
}
