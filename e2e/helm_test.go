package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// helmVersion is the release of Helm that is tested.
const helmVersion = "v3.19.5"

// A charts is a chart repository that Helm itself makes, on a shelf at /stable/.
type charts struct {
	*shelf
	t    *testing.T
	helm string // the program
	dir  string // what the repository is made from
	home []string
}

// chartHost is where the repository lies for clients.
const chartHost = "charts.example"

func newCharts(t *testing.T) *charts {
	t.Helper()
	c := &charts{shelf: newShelf(t), t: t, helm: goProgram(t, "helm", "helm.sh/helm/v3/cmd/helm", helmVersion), dir: t.TempDir()}
	c.home = helmHome(t)
	return c
}

// helmHome returns the variables of a Helm that has been used for nothing.
func helmHome(t *testing.T) []string {
	dir := t.TempDir()
	return []string{"HELM_CACHE_HOME=" + dir + "/cache", "HELM_CONFIG_HOME=" + dir + "/config", "HELM_DATA_HOME=" + dir + "/data"}
}

// publish packages a version of the chart pad and puts it and the new index on the shelf.
func (c *charts) publish(d *daemon, version string) {
	c.t.Helper()
	write(c.t, c.dir+"/pad/Chart.yaml", "apiVersion: v2\nname: pad\nversion: "+version+"\n")
	write(c.t, c.dir+"/pad/templates/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: pad}\ndata: {version: \""+version+"\"}\n")
	d.must(c.dir, c.home, c.helm, "package", "pad", "-d", "repo")
	d.must(c.dir, c.home, c.helm, "repo", "index", "repo", "--url", "https://"+chartHost+"/stable")
	files, err := os.ReadDir(c.dir + "/repo")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(c.dir + "/repo/" + f.Name())
		if err != nil {
			c.t.Fatal(err)
		}
		c.put("/stable/"+f.Name(), b)
	}
}

// build makes a chart that depends on pad, in a folder of its own, with an empty Helm: it
// adds the repository and builds the dependencies. It returns the folder and what happened.
func (c *charts) build(d *daemon, repo string, through ...string) (string, result) {
	c.t.Helper()
	dir, home := c.t.TempDir(), helmHome(c.t)
	write(c.t, dir+"/app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies:\n- {name: pad, version: \">=1\", repository: "+repo+"}\n")
	script := `set -e; "$0" repo add pads "$1" && "$0" repo update && "$0" dependency build app && "$0" pull pads/pad --version 1.0.0 && "$0" template app`
	command := append(append([]string{}, through...), "sh", "-c", script, c.helm, repo)
	return dir, d.run(dir, home, command[0], command[1:]...)
}

// TestHelm adds a repository, updates it, pulls from it and builds dependencies: cold, warm,
// with a chart changed on the way, with a new version, and with the repository gone; by the
// proxy and by the native endpoint.
func TestHelm(t *testing.T) {
	c := newCharts(t)
	d := start(t, append(c.settings(map[string]string{"https://" + chartHost + "/": "/"}), "HOSTS=helm="+chartHost)...)
	public, native := "https://"+chartHost+"/stable", "http://"+d.addr+"/helm/"+chartHost+"/stable"
	through := []string{binary, "exec", "--"}
	c.publish(d, "1.0.0")
	good := c.files["stable/pad-1.0.0.tgz"]
	c.put("/stable/pad-1.0.0.tgz", spoil(good))
	for _, way := range []struct {
		repo    string
		through []string
	}{{public, through}, {native, nil}} {
		if dir, r := c.build(d, way.repo, way.through...); r.code == 0 || len(found(t, dir+"/app/charts/*.tgz")) != 0 {
			t.Errorf("%s: Helm took a chart that was changed: exit %d\n%s%s", way.repo, r.code, r.out, r.err)
		}
	}
	c.put("/stable/pad-1.0.0.tgz", good)
	want := func(what, repo, version string, through ...string) {
		t.Helper()
		dir, r := c.build(d, repo, through...)
		if r.code != 0 || !strings.Contains(r.out, "version: \""+version+"\"") || len(found(t, dir+"/pad-1.0.0.tgz")) != 1 {
			t.Errorf("%s: exit %d, want pad %s\n%s%s", what, r.code, version, r.out, r.err)
		}
	}
	want("cold", public, "1.0.0", through...)
	if s := d.last(); s.Failed > 0 || s.Unvouched > 0 || !s.has("pad-1.0.0.tgz") {
		t.Errorf("cold: %+v", s)
	}
	c.since()
	want("warm", public, "1.0.0", through...)
	d.last().allFromStore(t, 1)
	want("warm at the endpoint", native, "1.0.0")
	if asked := c.since(); len(asked) != 0 {
		t.Errorf("warm, the repository was asked for %v", asked)
	}
	c.publish(d, "1.1.0")
	d.sutler("purge", "index.yaml")
	want("changed", public, "1.1.0", through...)
	d.stop()
	c.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	want("offline", public, "1.1.0", through...)
	want("offline at the endpoint", native, "1.1.0")
}

// found returns the files of a pattern.
func found(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestHelmOCI pulls a chart from a container registry, which Helm pushed there.
func TestHelmOCI(t *testing.T) {
	helm := goProgram(t, "helm", "helm.sh/helm/v3/cmd/helm", helmVersion)
	r := newReferring(t)
	d := start(t, mirrors(map[string]string{"one.example": r.addr})...)
	dir, home := t.TempDir(), helmHome(t)
	write(t, dir+"/pad/Chart.yaml", "apiVersion: v2\nname: pad\nversion: 1.0.0\n")
	d.must(dir, home, helm, "package", "pad")
	d.must(dir, home, helm, "push", "--plain-http", "pad-1.0.0.tgz", "oci://"+r.addr+"/charts")
	pull := func(home []string) {
		t.Helper()
		d.must(t.TempDir(), home, helm, "pull", "--plain-http", "--version", "1.0.0", "oci://"+d.addr+"/one.example/charts/pad")
		got := d.must(t.TempDir(), home, binary, "exec", "--", helm, "pull", "--version", "1.0.0", "oci://one.example/charts/pad")
		if !strings.Contains(got.out+got.err, "Digest: sha256:") {
			t.Errorf("helm pull says %s%s", got.out, got.err)
		}
	}
	pull(helmHome(t))
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	pull(helmHome(t))
	d.last().allFromStore(t, 1)
}
