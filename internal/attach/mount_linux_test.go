package attach

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mounting is set in a process that has a mount namespace of its own.
const mounting = "SUTLER_TEST_MOUNTS"

// TestMount writes a file that is a mount point, as in containers, where it is. It does so
// in a process with mounts of its own.
func TestMount(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if os.Getenv(mounting) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMount$")
		cmd.Env = append(os.Environ(), mounting+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	b, f := setUp(t, before), sets("one", "list", "ours")
	outside := filepath.Join(t.TempDir(), "outside.json")
	b.check(os.WriteFile(outside, []byte(before), 0o640))
	b.check(unix.Mount(outside, b.path, "", unix.MS_BIND, ""))
	defer func() { b.check(unix.Unmount(b.path, 0)) }()
	b.attach(f)
	if data, err := os.ReadFile(outside); err != nil || !strings.Contains(string(data), "ours") {
		t.Errorf("outside: %s %v", data, err)
	}
	b.detach(f)
	if data, err := os.ReadFile(outside); err != nil || string(data) != before {
		t.Errorf("outside: %s %v", data, err)
	}
	if left, err := filepath.Glob(filepath.Dir(b.path) + "/.*sutler*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
