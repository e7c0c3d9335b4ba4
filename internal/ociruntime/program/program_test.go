package program

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"sutler/internal/ociruntime"
)

// TestInstall installs, replaces and removes the program, and runs it as a runtime would be.
func TestInstall(t *testing.T) {
	at := t.TempDir() + "/lib/runc"
	if err := Install(at, ociruntime.Place{Runtime: "/bin/echo"}); errors.Is(err, ErrNone) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := Install(at, ociruntime.Place{Runtime: "/bin/echo", Steps: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" {
		out, err := exec.Command(at, "--version", "x").CombinedOutput()
		if err != nil || len(out) == 0 {
			t.Errorf("%v: %q", err, out)
		}
	}
	for range 2 {
		if err := Remove(at); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(at + "/.."); err == nil && len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
