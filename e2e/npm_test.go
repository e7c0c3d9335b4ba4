package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// manifest is a project whose lock file has more than 200 packages.
const manifest = `{"name":"app","version":"1.0.0","private":true,"dependencies":{"eslint":"8.57.0","jest":"29.7.0","express":"4.19.2"}}`

// clientVersions are the releases of npm that differ in what they send.
var clientVersions = []string{"9.9.4", "10.9.2", "11.6.0"}

// project makes a folder with a manifest and, if given, a lock file.
func project(t *testing.T, lock string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/package.json", manifest)
	if lock != "" {
		b, err := os.ReadFile(lock)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/package-lock.json", string(b))
	}
	return dir
}

// tool installs a client from the npm registry through the daemon and returns its program.
func tool(t *testing.T, d *daemon, name, version string) string {
	t.Helper()
	prefix := filepath.Join(d.dir, "tools", name+"-"+version)
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		t.Fatal(err)
	}
	d.through(prefix, "npm", "install", "--silent", "--no-audit", "--prefix", prefix, name+"@"+version)
	return filepath.Join(prefix, "node_modules", ".bin", name)
}

// TestNPM locks a project, and installs the lock with several releases of npm: cold,
// warm with an empty client cache, and with the registry gone.
func TestNPM(t *testing.T) {
	need(t, "npm", "node")
	d := start(t)
	locked := project(t, "")
	d.through(locked, "npm", "install", "--package-lock-only", "--no-audit")
	lock := locked + "/package-lock.json"
	text, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), `"integrity"`); n < 200 {
		t.Fatalf("the lock file has %d packages, want at least 200", n)
	}
	if strings.Contains(string(text), d.addr) {
		t.Error("the lock file names sutler")
	}
	cold := project(t, lock)
	_, s := d.through(cold, "npm", "ci", "--ignore-scripts", "--no-audit")
	if s.Verified < 200 || s.Unvouched > 0 || s.Failed > 0 {
		t.Errorf("npm ci: %d of %d verified, %d unvouched, %d failed", s.Verified, s.Files, s.Unvouched, s.Failed)
	}
	var clients []string
	for _, v := range clientVersions {
		clients = append(clients, tool(t, d, "npm", v))
	}
	for _, npm := range clients {
		dir := project(t, lock)
		_, s := d.through(dir, npm, "ci", "--ignore-scripts", "--no-audit", "--cache", filepath.Join(dir, ".cache"))
		s.allFromStore(t, 1)
		fresh := project(t, "")
		_, s = d.through(fresh, npm, "install", "--ignore-scripts", "--no-audit", "--cache", filepath.Join(fresh, ".cache"))
		s.allFromStore(t, 0.95)
	}
	audit := project(t, lock)
	// Whether the registry audits is its own business; that it is asked, and answers, is ours.
	r := d.run(audit, nil, binary, "exec", "--", "npm", "audit", "--json")
	passed := slices.ContainsFunc(d.last().Lines, func(l line) bool { return l.Outcome == "bypass" && strings.Contains(l.URL, "/security/") })
	if !passed || !strings.Contains(r.out, "vulnerabilities") && !strings.Contains(r.out, "statusCode") {
		t.Errorf("npm audit: passed through: %t, exit %d\n%s\n%s", passed, r.code, r.out, r.err)
	}
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	dir := project(t, lock)
	_, s = d.through(dir, clients[0], "ci", "--ignore-scripts", "--no-audit", "--cache", filepath.Join(dir, ".cache"))
	s.allFromStore(t, 1)
	r = d.run(dir, nil, binary, "exec", "--", "npm", "view", "left-pad-that-nobody-stored")
	if r.code == 0 {
		t.Error("npm view of something not stored succeeded offline")
	}
}

// TestPnpmYarn installs with the clients that ignore a configured registry for tarballs.
func TestPnpmYarn(t *testing.T) {
	need(t, "npm", "node")
	d := start(t)
	pnpm, yarn := tool(t, d, "pnpm", "9.15.9"), tool(t, d, "yarn", "1.22.22")
	for i := range 2 {
		dir := project(t, "")
		_, s := d.through(dir, pnpm, "install", "--ignore-scripts", "--store-dir", filepath.Join(dir, "store"))
		if s.Failed > 0 || s.Unvouched > 0 || s.Files < 200 {
			t.Errorf("pnpm: %d files, %d unvouched, %d failed", s.Files, s.Unvouched, s.Failed)
		}
		other := project(t, "")
		_, y := d.through(other, yarn, "install", "--ignore-scripts", "--cache-folder", filepath.Join(other, "cache"))
		if y.Failed > 0 || y.Unvouched > 0 || y.Files < 200 {
			t.Errorf("yarn: %d files, %d unvouched, %d failed", y.Files, y.Unvouched, y.Failed)
		}
		if i == 1 {
			s.allFromStore(t, 0.99)
			y.allFromStore(t, 0.99)
		}
	}
}

// TestCurlWget fetches over HTTPS through interception, with the settings of `exec`.
func TestCurlWget(t *testing.T) {
	need(t, "curl", "wget", "npm")
	registry, err := exec.Command("npm", "config", "get", "registry").Output()
	if err != nil {
		lacks(t, "npm config get registry: "+err.Error())
	}
	url := strings.TrimSpace(string(registry)) + "left-pad/-/left-pad-1.3.0.tgz"
	d := start(t)
	var bodies []string
	for _, client := range [][]string{{"curl", "-fsS", url}, {"wget", "-q", "-O", "-", url}} {
		r, s := d.through(d.dir, client...)
		if s.Files != 1 || s.Verified != 1 {
			t.Errorf("%s: %+v", client[0], s)
		}
		bodies = append(bodies, r.out)
	}
	if bodies[0] != bodies[1] || len(bodies[0]) < 1000 {
		t.Errorf("curl got %d bytes, wget %d", len(bodies[0]), len(bodies[1]))
	}
	d.last().allFromStore(t, 1)
}
