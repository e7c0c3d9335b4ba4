package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A process is a running daemon.
type process struct {
	pid  int
	args []string // its command line, the program first
}

// dockerd finds the process behind the engine's socket: the one that listens on it, or,
// where something else listened for it, the one in its pid file.
func (d *Docker) dockerd() (process, error) {
	if pid, err := peer(d.socket()); err == nil {
		if p, ok := processAt(pid, dockerd); ok {
			return p, nil
		}
	}
	for _, path := range d.pidFiles() {
		text, err := os.ReadFile(filepath.Join(d.Machine.Root, path))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if p, ok := processAt(pid, dockerd); err == nil && ok {
			return p, nil
		}
	}
	return process{}, errors.New("its process was not found; is it on this machine?")
}

// dockerd is the name of docker's program.
const dockerd = "dockerd"

// processAt returns the process of that number if it is one of that program, whose file
// name may go on with a version.
func processAt(pid int, program string) (process, bool) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || pid <= 0 {
		return process{}, false
	}
	args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	base, _, _ := strings.Cut(filepath.Base(args[0]), "-")
	return process{pid, args}, base == program
}

// flag returns the value of a flag of a command line, and whether it is there.
func (p process) flag(name string) (string, bool) {
	for i, a := range p.args {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v, true
		}
		if a == name && i+1 < len(p.args) {
			return p.args[i+1], true
		}
		if a == name {
			return "", true
		}
	}
	return "", false
}

// reload tells the process to read its file.
func (p process) reload() error {
	err := syscall.Kill(p.pid, syscall.SIGHUP)
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("signal docker (process %d): %w; run this as root", p.pid, err)
	}
	return err
}

// validate runs the process's own program on another file, with its own flags. Programs
// that cannot, such as dockerd before 23, are not asked.
func (p process) validate(ctx context.Context, data []byte) error {
	root := fmt.Sprintf("/proc/%d/root", p.pid)
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid))
	if err != nil {
		return nil // not ours to look at: the reload will tell
	}
	tmp, err := os.CreateTemp(filepath.Join(root, "tmp"), "sutler-daemon-*.json")
	if err != nil {
		return nil // likewise
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // in /tmp
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	args := []string{"--validate", "--config-file=/tmp/" + filepath.Base(tmp.Name())}
	for i := 1; i < len(p.args); i++ {
		if p.args[i] == "--config-file" {
			i++
			continue
		}
		if !strings.HasPrefix(p.args[i], "--config-file=") {
			args = append(args, p.args[i])
		}
	}
	cmd := exec.CommandContext(ctx, program, args...)
	if !sameRoot(root) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		cmd.Dir = "/"
	}
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err == nil || !errors.As(err, &ended) || bytes.Contains(out, []byte("unknown flag: --validate")) {
		return nil
	}
	return errors.New(lastLine(out))
}

// sameRoot reports whether a process's root folder is ours.
func sameRoot(root string) bool {
	ours, err := os.Stat("/")
	if err != nil {
		return false
	}
	its, err := os.Stat(root + "/")
	return err == nil && os.SameFile(ours, its)
}

// lastLine returns the last line of what a program printed.
func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
