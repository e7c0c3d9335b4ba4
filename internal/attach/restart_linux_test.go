package attach

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestRespawn restarts a process that nobody watches over by its own command line.
func TestRespawn(t *testing.T) {
	marker := fmt.Sprintf("600.%d", os.Getpid())
	log := filepath.Join(t.TempDir(), "log")
	out, err := exec.Command("bash", "-c", "cd /; (exec -a dockerd sleep "+marker+") >"+log+" 2>&1 </dev/null & echo $!").Output()
	if err != nil {
		t.Skip(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	running := func() (pids []int) {
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range lines {
			if text, err := os.ReadFile(path); err == nil && string(text) == "dockerd\x00"+marker+"\x00" {
				n, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))) // digits
				pids = append(pids, n)
			}
		}
		return pids
	}
	t.Cleanup(func() {
		for _, p := range running() {
			_ = syscall.Kill(p, syscall.SIGKILL) // it has ended by itself
		}
	})
	for len(running()) == 0 && syscall.Kill(pid, 0) == nil { // until bash has become it
	}
	m := place(t, true, nil, "/run/")
	if err := os.WriteFile(m.Root+"/run/docker.pid", []byte(strconv.Itoa(pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	d := &Docker{Machine: m, kind: system}
	r, err := d.restarter()
	if err != nil && strings.Contains(err.Error(), "watches over it") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := running()
	if len(now) != 1 || now[0] == pid {
		t.Errorf("processes %v, want one other than %d", now, pid)
	}
	for n := range 2 { // its output goes where it went
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", now[0], n+1)); err != nil || to != log {
			t.Errorf("fd %d is %s %v", n+1, to, err)
		}
	}
}
