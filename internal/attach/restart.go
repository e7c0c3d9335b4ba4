package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// ErrByHand means that only the user can restart a tool.
var ErrByHand = errors.New("sutler cannot restart docker here")

// stopWithin bounds how long a dockerd may take to end, which may wait for containers.
const stopWithin = 90 * time.Second

// A restarter restarts an engine in one way.
type restarter struct {
	name string // as a person would type it
	run  func(ctx context.Context) error
}

// restarter finds out how the engine is restarted here: the configured command, systemd,
// an init script, or by starting the process again as it was started.
func (d *Docker) restarter() (restarter, error) {
	switch {
	case d.RestartCommand != "":
		r := program("/bin/sh", "-c", d.RestartCommand)
		r.name = d.RestartCommand
		return r, nil
	case d.kind == desktop:
		return restarter{}, fmt.Errorf("%w: restart Docker Desktop from its menu", ErrByHand)
	case d.kind == boot2docker:
		return program("/etc/init.d/docker", "restart"), nil
	case d.Machine.Root != "/":
	case d.Machine.exists("/run/systemd/system") && d.kind == rootless:
		return systemd("--user"), nil
	case d.Machine.exists("/run/systemd/system"):
		return systemd(), nil
	case d.Machine.exists("/sbin/rc-service") && d.Machine.exists("/etc/init.d/docker"):
		return program("rc-service", "docker", "restart"), nil
	case d.Machine.exists("/etc/init.d/docker"):
		return program("/etc/init.d/docker", "restart"), nil
	}
	if p, err := d.dockerd(); err == nil {
		if err := p.respawnable(); err != nil {
			return restarter{}, fmt.Errorf("%w: %w; restart it as it was started, or set attach.docker_restart to the command", ErrByHand, err)
		}
		l, err := p.launch()
		if err != nil {
			return restarter{}, fmt.Errorf("%w: %w", ErrByHand, err)
		}
		d.launch = &l
	}
	if d.launch == nil {
		return restarter{}, fmt.Errorf("%w: its process was not found", ErrByHand)
	}
	return restarter{"kill $(pidof dockerd); " + strings.Join(d.launch.args, " "), d.respawn}, nil
}

// systemd restarts a unit, also one that failed too often just now.
func systemd(user ...string) restarter {
	args := append(user, "restart", "docker")
	return restarter{"systemctl " + strings.Join(args, " "), func(ctx context.Context) error {
		reset := append(append([]string{}, user...), "reset-failed", "docker")
		_ = exec.CommandContext(ctx, "systemctl", reset...).Run() // it had not failed
		return program(append([]string{"systemctl"}, args...)...).run(ctx)
	}}
}

// program is a restarter that runs a program.
func program(args ...string) restarter {
	text := strings.Join(args, " ")
	return restarter{text, func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", text, err, lastLine(out))
		}
		return nil
	}}
}

// respawnable reports why a process cannot be ended and started again as it was, nil if
// it can: nobody watches over it, and it sees the same files and networks as we do.
func (p process) respawnable() error {
	var parent int
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return err
	}
	end := len(stat) - 1
	for end > 0 && stat[end] != ')' {
		end--
	}
	var state string
	if _, err := fmt.Sscan(string(stat[end+1:]), &state, &parent); err != nil {
		return err
	}
	if p.pid == 1 || parent != 1 {
		return fmt.Errorf("process %d watches over it", parent)
	}
	for _, kind := range []string{"mnt", "net", "pid"} {
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p.pid, kind))
		if err != nil {
			return err
		}
		if ours, err := os.Readlink("/proc/self/ns/" + kind); err != nil || its != ours {
			return errors.New("it runs in a namespace of its own")
		}
	}
	return nil
}

// A launch is how a process was started.
type launch struct {
	program, dir string
	args, env    []string
	out          [2]string // files that it writes to, "" for none
}

// launch returns how the process was started.
func (p process) launch() (launch, error) {
	proc := fmt.Sprintf("/proc/%d/", p.pid)
	program, err := os.Readlink(proc + "exe")
	if err != nil {
		return launch{}, err
	}
	dir, err := os.Readlink(proc + "cwd")
	if err != nil {
		return launch{}, err
	}
	environ, err := os.ReadFile(proc + "environ")
	if err != nil {
		return launch{}, err
	}
	l := launch{program: program, dir: dir, args: p.args, env: strings.Split(strings.TrimRight(string(environ), "\x00"), "\x00")}
	for n := range l.out {
		to, err := os.Readlink(fmt.Sprintf("%sfd/%d", proc, n+1))
		if info, failed := os.Stat(to); err == nil && failed == nil && info.Mode().IsRegular() {
			l.out[n] = to
		}
	}
	return l, nil
}

// respawn ends the engine, if it runs, and starts it again as it was: with the same
// command line, folder, environment and files to write to.
func (d *Docker) respawn(ctx context.Context) error {
	if p, err := d.dockerd(); err == nil {
		if err := p.end(ctx); err != nil {
			return err
		}
	}
	l := d.launch
	// It outlives this command: the context must not end it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), l.program)
	cmd.Args, cmd.Dir, cmd.Env = l.args, l.dir, l.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for n, to := range []*io.Writer{&cmd.Stdout, &cmd.Stderr} {
		if l.out[n] == "" {
			continue
		}
		f, err := os.OpenFile(l.out[n], os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // the child has its own handle
		*to = f
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// end asks the process to end and waits until it has.
func (p process) end(ctx context.Context) error {
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopWithin, fmt.Errorf("docker (process %d) did not end within %s", p.pid, stopWithin))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if _, still := dockerdAt(p.pid); !still {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
