package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// goProgram returns the path of a Go program that is built from the module proxy, once, into
// the cache of engines.sh.
func goProgram(t *testing.T, name, pkg, version string) string {
	t.Helper()
	need(t, "go")
	return strings.TrimSpace(output(t, "./engines.sh", "tool", name, pkg, version))
}

// goBuild builds what lies in a folder that is a module of its own: args are "build" or
// "test -c". Go's own cache makes it quick after the first time.
func goBuild(t *testing.T, dir string, args ...string) string {
	t.Helper()
	need(t, "go")
	at := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("nice", append(append([]string{"go"}, args...), "-p", "2", "-trimpath", "-ldflags=-s -w", "-o", at, ".")...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s in %s: %v\n%s", args[0], dir, err, out)
	}
	return at
}

// debianFile returns a file of a Debian package, unpacked into the cache and not installed: its
// dependencies may be many times what is used of it.
func debianFile(t *testing.T, pkg, file string) string {
	t.Helper()
	need(t, "apt-get", "dpkg-deb")
	at := filepath.Join(cacheDir(t), "debian", pkg)
	if _, err := os.Stat(at); err == nil {
		return filepath.Join(at, file)
	}
	dir := t.TempDir()
	cmd := exec.Command("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("apt-get download %s: %v\n%s", pkg, err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("apt-get download %s: %v %v", pkg, found, err)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	output(t, "dpkg-deb", "-x", found[0], at+".part")
	if err := os.Rename(at+".part", at); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(at, file)
}

// background runs a server until the test ends, and returns when it answers at the URL.
func background(t *testing.T, url, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // its status is the signal
	})
	for end := time.Now().Add(10 * time.Second); exec.Command("curl", "-s", "-o", os.DevNull, url).Run() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not answer at %s", name, url)
		}
	}
}
