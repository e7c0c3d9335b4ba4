package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ecosystem"
	"sutler/internal/receipt"
)

// endWithin bounds how long the end of a build may take to be noted.
const endWithin = 20 * time.Second

// exec returns the command that runs another one through sutler.
func (a *app) exec() *cobra.Command {
	var quiet bool
	c := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG…]",
		Short: "run any command with proxy, CA and registry settings in its environment",
		Long: `Runs a command so that apt, npm, curl, wget, git and others fetch through sutler. If no
sutler is running, one is started for the time of the command. The exit code is that of
the command; a line about what it was served goes to standard error, with --json the
receipt to standard output when the command has ended.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("exec needs a command: sutler exec -- COMMAND")
			}
			return nil
		},
	}
	c.Flags().SetInterspersed(false) // what follows the command is its own
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but what the command prints")
	flags := newDaemonFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		// The first Ctrl-C is for the command; what must be done after it still has to be.
		ctx := context.WithoutCancel(c.Context())
		client, stop, err := a.reach(ctx, flags)
		if err != nil {
			return err
		}
		if c.Context().Err() != nil { // stopped before the command was there to be told
			return errors.Join(c.Context().Err(), stop())
		}
		terms := flags.terms()
		code, summary, err := a.through(ctx, client, args, terms)
		if err == nil && !quiet {
			a.say("%s", summaryLine(summary, nil))
		}
		var verdict error
		if err == nil && a.json {
			_, err = a.printReceipt(ctx, client, summary.ID)
		}
		if err == nil {
			verdict = a.judge(ctx, client, summary, terms)
		}
		if err := errors.Join(err, stop()); err != nil {
			return err
		}
		if verdict != nil {
			return concluded(code, verdict)
		}
		return ended(code)
	}
	return c
}

// reach returns a client of the running daemon or, if there is none, of one that runs in
// this process until stop is called.
func (a *app) reach(ctx context.Context, flags daemonFlags) (client *control.Client, stop func() error, err error) {
	client, err = a.client()
	if err != nil {
		return nil, nil, err
	}
	_, err = client.Status(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		return a.temporary(ctx, flags)
	}
	if left := flags.args("strict", "offline"); err == nil && len(left) > 0 {
		a.say("sutler: a sutler is running already: %s of this command do not change it", strings.Join(left, " "))
	}
	return client, func() error { return nil }, err
}

// temporary runs a daemon inside this process, on a port and a socket of its own.
func (a *app) temporary(ctx context.Context, flags daemonFlags) (*control.Client, func() error, error) {
	l, err := a.load(flags.settings())
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "sutler-")
	if err != nil {
		return nil, nil, err
	}
	c := l.Config
	c.Socket = filepath.Join(dir, "sutler.sock")
	c.Listen, c.ACNG, c.Bridges, c.ListenAny = []string{"127.0.0.1:0"}, "", false, false
	c.DNS.Listen, c.DNS.Redirect, c.DNS.Bridges, c.Intercept.Listen = nil, nil, false, nil // it serves one command
	logPath, log, err := openLog(c.Store.State)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	logger := a.logger(config.Log{Level: c.Log.Level, Format: "json"}, log)
	standardLog(logger)
	ctx, cancel := context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- a.Serve(ctx, Service{Config: c, Log: logger, Ready: func(control.Status) { close(ready) }})
	}()
	clean := func() error { cancel(); return errors.Join(log.Close(), os.RemoveAll(dir)) }
	select {
	case err := <-ended:
		var mistake config.Problems
		if err = located(l, err); errors.As(err, &mistake) {
			return nil, nil, errors.Join(err, clean())
		}
		return nil, nil, hint(errors.Join(fmt.Errorf("no sutler is running, and none can be started: %w", err), clean()),
			"the log is in "+logPath)
	case <-ready:
	}
	return control.NewClient(c.Socket), func() error { cancel(); return errors.Join(<-ended, clean()) }, nil
}

// through runs a command that is served by the daemon, and returns its exit code and what
// it was served.
func (a *app) through(ctx context.Context, client *control.Client, command []string, terms control.BuildRequest) (code int, s receipt.Summary, err error) {
	dir, err := os.MkdirTemp("", "sutler-exec-")
	if err != nil {
		return 0, s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	terms.Command, terms.Dir = strings.Join(command, " "), dir
	b, err := client.Begin(ctx, terms)
	if err != nil {
		return 0, s, err
	}
	code, err = 1, writeFiles(dir, b.Files)
	if err == nil {
		code, err = a.run(ctx, command, merge(a.Env, b.Env))
	}
	var failed *exitError
	if errors.As(err, &failed) {
		code = failed.code // a command that could not be run has not gone well
	}
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	s, endErr := client.End(ctx, b.ID, code)
	if err != nil {
		return code, s, err // why the command did not run says more
	}
	return code, s, endErr
}

// writeFiles puts the clients' settings into a folder. Others may read it: apt fetches as
// a user of its own.
func writeFiles(dir string, files map[string][]byte) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// merge adds settings to an environment. Hosts that the user reaches directly stay so.
func merge(env []string, settings []ecosystem.Setting) []string {
	out := slices.Clone(env)
	for _, s := range settings {
		value := s.Value
		if strings.EqualFold(s.Name, "no_proxy") {
			value = joinHosts(value, lookup(env, s.Name))
		}
		out = slices.DeleteFunc(out, func(pair string) bool { return strings.HasPrefix(pair, s.Name+"=") })
		out = append(out, s.Name+"="+value)
	}
	return out
}

func lookup(env []string, name string) string {
	for _, pair := range env {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			return v
		}
	}
	return ""
}

// joinHosts joins two lists of hosts.
func joinHosts(a, b string) string {
	if b == "" || b == "*" {
		return a
	}
	return a + "," + b
}
