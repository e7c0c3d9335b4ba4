package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// The exit codes by which shells say that a command could not be run.
const (
	exitNotFound      = 127
	exitNotExecutable = 126
	exitSignal        = 128 // plus the number of the signal that ended the command
)

// run runs a command with these variables until it ends, passes signals on to it, and
// returns its exit code. ctx does not end it: who was asked to stop by Ctrl-C decides
// itself how; a second Ctrl-C kills it.
func (a *app) run(ctx context.Context, command, env []string) (int, error) {
	path, err := a.lookPath(command[0])
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, command[1:]...)
	cmd.Args[0] = command[0]
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.Stdin, a.Stdout, a.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%s: %w", command[0], err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stops := 0
	for {
		select {
		case err := <-done:
			return exitCode(cmd, err)
		case s := <-signals:
			if s == os.Interrupt || s == syscall.SIGTERM {
				stops++
			}
			a.pass(cmd.Process, s, stops)
		}
	}
}

// pass gives a signal to a process; the second stop kills it. A terminal has sent Ctrl-C
// to the whole group already, which the process then would get twice.
func (a *app) pass(p *os.Process, s os.Signal, stops int) {
	switch {
	case stops > 1:
		_ = p.Kill() // it has ended: that is all we want
	case (s == os.Interrupt || s == syscall.SIGQUIT) && terminal(a.Stdin):
	default:
		_ = p.Signal(s) // likewise
	}
}

// exitCode returns how a command ended, as shells count.
func exitCode(cmd *exec.Cmd, err error) (int, error) {
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return 0, fmt.Errorf("%s: %w", cmd.Args[0], err)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignal + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// lookPath finds a program as a shell with the command line's own PATH would.
func (a *app) lookPath(name string) (string, error) {
	if strings.ContainsRune(name, os.PathSeparator) {
		return name, runnable(name)
	}
	found := error(&exitError{code: exitNotFound, err: fmt.Errorf("%s: command not found", name)})
	for _, dir := range filepath.SplitList(a.getenv("PATH")) {
		if dir == "" {
			dir = "."
		}
		path := filepath.Join(dir, name)
		err := runnable(path)
		if err == nil {
			return path, nil
		}
		var e *exitError
		if errors.As(err, &e) && e.code == exitNotExecutable {
			found = err
		}
	}
	return "", found
}

// runnable reports why a file cannot be run, nil if it can.
func runnable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && info.IsDir():
		return &exitError{code: exitNotFound, err: fmt.Errorf("%s: no such program", path)}
	case err != nil:
		return &exitError{code: exitNotExecutable, err: err}
	case info.Mode().Perm()&0o111 == 0:
		return &exitError{code: exitNotExecutable, err: fmt.Errorf("%s: not executable", path)}
	}
	return nil
}

// ended turns the exit code of a wrapped command into the end of this one.
func ended(code int) error {
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}
