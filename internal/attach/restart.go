package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrByHand means that only the user can restart a tool.
var ErrByHand = errors.New("sutler cannot restart it here")

// stopWithin bounds how long a daemon may take to end, which may wait for containers.
const stopWithin = 90 * time.Second

// A service is a daemon that can be restarted.
type service struct {
	machine Machine
	name    string // of its unit and its init script
	program string // of its process
	command string // restarts it; "" to find out how
	setting string // where the user would give the command
	user    bool   // it is one of the user's, not of the machine
	find    func() (process, error)
	launch  *launch // how its process was started, if that is how it is restarted
}

// A restarter restarts a service in one way.
type restarter struct {
	name string // as a person would type it
	run  func(ctx context.Context) error
}

// restarter finds out how the service is restarted here: the configured command, systemd,
// an init script, or by starting the process again as it was started.
func (s *service) restarter() (restarter, error) {
	script := "/etc/init.d/" + s.name
	switch {
	case s.command != "":
		r := program("/bin/sh", "-c", s.command)
		r.name = s.command
		return r, nil
	case s.machine.Root != "/":
	case s.machine.exists("/run/systemd/system") && s.user:
		return systemd("--user", "restart", s.name), nil
	case s.machine.exists("/run/systemd/system") && s.unit():
		return systemd("restart", s.name), nil
	case s.machine.exists("/sbin/rc-service") && s.machine.exists(script):
		return program("rc-service", s.name, "restart"), nil
	case s.machine.exists(script):
		return program(script, "restart"), nil
	}
	if p, err := s.find(); err == nil {
		if err := p.respawnable(); err != nil {
			return restarter{}, fmt.Errorf("%s: %w: %w; restart it as it was started, or set %s to the command", s.program, ErrByHand, err, s.setting)
		}
		l, err := p.launch()
		if err != nil {
			return restarter{}, fmt.Errorf("%s: %w: %w", s.program, ErrByHand, err)
		}
		s.launch = &l
	}
	if s.launch == nil {
		return restarter{}, fmt.Errorf("%s: %w: its process was not found", s.program, ErrByHand)
	}
	return restarter{"kill $(pidof " + s.program + "); " + strings.Join(s.launch.args, " "), s.respawn}, nil
}

// unit reports whether systemd knows the service.
func (s *service) unit() bool {
	for _, dir := range []string{"/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system"} {
		if s.machine.exists(dir + "/" + s.name + ".service") {
			return true
		}
	}
	return false
}

// systemd restarts a unit by these arguments, also one that failed too often just now.
func systemd(args ...string) restarter {
	return restarter{"systemctl " + strings.Join(args, " "), func(ctx context.Context) error {
		reset := slices.Clone(args)
		reset[slices.Index(reset, "restart")] = "reset-failed"
		_ = exec.CommandContext(ctx, "systemctl", reset...).Run() // it had not failed
		reset[slices.Index(reset, "reset-failed")] = "daemon-reload"
		if err := program(append([]string{"systemctl"}, reset[:len(reset)-1]...)...).run(ctx); err != nil {
			return err // its unit may have a file of ours
		}
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

// respawn ends the service, if it runs, and starts it again as it was: with the same
// command line, folder, environment and files to write to.
func (s *service) respawn(ctx context.Context) error {
	if p, err := s.find(); err == nil {
		if err := p.end(ctx, s.program); err != nil {
			return err
		}
	}
	l := s.launch
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
func (p process) end(ctx context.Context, name string) error {
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopWithin, fmt.Errorf("%s (process %d) did not end within %s", name, p.pid, stopWithin))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if _, still := processAt(p.pid, name); !still {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
