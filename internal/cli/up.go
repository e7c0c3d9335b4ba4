package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sutler/internal/attach"
	"sutler/internal/config"
	"sutler/internal/control"
)

const (
	// startWithin bounds how long `up` waits for the daemon.
	startWithin = 30 * time.Second
	// pollEvery is how often `up` and `down` look whether the daemon is there.
	pollEvery = 30 * time.Millisecond
)

// up returns the command that starts the daemon in the background.
func (a *app) up() *cobra.Command {
	c := &cobra.Command{
		Use:   "up",
		Short: "start sutler in the background and attach what builds here: docker, runc, podman, buildkit",
		Long: `up starts sutler in the background and attaches what builds on this machine. Again is fine; a
sutler of another version that runs is replaced by this one, and what is attached stays so:
that is how to upgrade. Flags hold for the sutler that they start; give them again.`,
		Args: cobra.NoArgs,
	}
	flags := newDaemonFlags(c)
	var f attachFlags
	var only []string
	c.Flags().StringSliceVar(&only, "only", nil, `attach these tools only; "none" for nothing`)
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "agree to a restart of what is attached, where it gives more than a reload")
	c.RunE = func(c *cobra.Command, _ []string) error {
		l, err := a.load(flags.settings())
		if err != nil {
			return err
		}
		if c.Flags().Changed("only") {
			l.Attach.Tools = only
		}
		if _, err := a.wanted(l.Config); err != nil {
			return err // before anything is started
		}
		client := control.NewClient(l.Socket)
		s, err := client.Status(c.Context())
		if err == nil && s.Version != a.Version {
			a.say("sutler %s runs, this is %s: starting anew", s.Version, a.Version)
			if _, err := a.stop(c.Context(), client, false); err != nil {
				return err
			}
			err = control.ErrNotRunning
		}
		if err == nil {
			return a.welcome(c.Context(), l.Config, s, f, strings.TrimSpace("sutler is running already "+ignored(l, s)))
		}
		if !errors.Is(err, control.ErrNotRunning) {
			return err
		}
		s, err = a.start(c.Context(), l.Config, flags, client)
		if err != nil {
			return err
		}
		return a.welcome(c.Context(), l.Config, s, f, "")
	}
	return c
}

// ignored names the settings of this command that the sutler which runs does not have; ""
// if there are none. What nobody set is not missed.
func ignored(l *config.Loaded, s control.Status) string {
	var names []string
	wanted := l.Texts()
	for _, set := range l.Settings() {
		if has, ok := s.Settings[set.Key]; ok && set.Source != "default" && has != wanted[set.Key] {
			names = append(names, fmt.Sprintf("%s = %s (%s)", set.Key, wanted[set.Key], set.Origin))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "with other settings; these do not change it: " + strings.Join(names, ", ") + "; stop it first: sutler down"
}

// welcome says what is running now, and attaches.
func (a *app) welcome(ctx context.Context, c config.Config, s control.Status, f attachFlags, first string) error {
	if a.json {
		done, err := a.attachFound(ctx, c, f)
		return errors.Join(a.print(struct {
			control.Status
			Attached []attach.Outcome `json:"attached,omitempty"`
		}{s, done}, nil), err)
	}
	if first != "" {
		a.say("%s", first)
	}
	tick := a.paint("32") + "✔" + a.paint("0")
	a.say("  %s store        %s", tick, storeLine(s.Store))
	a.say("  %s listening    %s", tick, strings.Join(s.Listen, ", "))
	a.say("  %s CA           %s; the key stays here", tick, caLine(s.CA))
	for _, t := range s.Trouble {
		a.say("  ! trouble      %s", t)
	}
	done, err := a.attachFound(ctx, c, f)
	if len(done) > 0 {
		a.say("  Next: build as before, or with one receipt for the whole build: sutler build -t app .")
	} else {
		a.say("  Next: sutler build -t app .")
	}
	return err
}

// start runs `sutler serve` in a session of its own and waits until it answers.
func (a *app) start(ctx context.Context, c config.Config, flags daemonFlags, client *control.Client) (control.Status, error) {
	logPath, log, err := openLog(c.Store.State)
	if err != nil {
		return control.Status{}, err
	}
	defer func() { _ = log.Close() }() // the child has its own handle
	self, err := os.Executable()
	if err != nil {
		return control.Status{}, err
	}
	args := append([]string{"serve", "--socket=" + c.Socket}, flags.args()...)
	if a.config != "" {
		args = append(args, "--config="+a.config)
	}
	// The daemon outlives this command: its context must not end it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, args...)
	cmd.Env, cmd.Dir = a.Env, "/"
	cmd.Stdout, cmd.Stderr = log, log
	before := size(log)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a.config != "" && !filepath.IsAbs(a.config) {
		cmd.Dir = "" // the file was named from here
	}
	if err := cmd.Start(); err != nil {
		return control.Status{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // until this process ends
	s, err := await(ctx, client, ended)
	if err != nil {
		return s, startError(err, logPath, before)
	}
	return s, nil
}

// startError says why a daemon did not start, in its own words. What others wrote into the
// log before it is nobody's answer.
func startError(err error, logPath string, before int64) error {
	said := tail(logPath, before)
	var errs, hints []string
	for line := range strings.Lines(said) {
		if text, ok := strings.CutPrefix(line, "sutler: error: "); ok {
			errs = append(errs, strings.TrimSpace(text))
		} else if text, ok := strings.CutPrefix(line, "sutler: hint: "); ok {
			hints = append(hints, strings.TrimSpace(text))
		}
	}
	hints = append(hints, "the whole log is in "+logPath)
	if len(errs) > 0 {
		return hint(fmt.Errorf("the daemon did not start: %s", strings.Join(errs, "\n")), hints...)
	}
	if said != "" {
		err = fmt.Errorf("%w\n%s", err, said)
	}
	return hint(err, hints...)
}

// size returns the length of a file, 0 if it cannot be told.
func size(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// await polls until the daemon answers, ended yields, or time is up.
func await(ctx context.Context, client *control.Client, ended <-chan error) (control.Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("the daemon did not answer within %s", startWithin))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		s, err := client.Status(ctx)
		if !errors.Is(err, control.ErrNotRunning) {
			return s, err
		}
		select {
		case err := <-ended:
			return s, fmt.Errorf("the daemon did not start: %w", cmp.Or(err, errEnded))
		case <-ctx.Done():
			return s, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// errEnded says that a daemon ended before it was ready.
var errEnded = errors.New("it ended before it was ready")

// someFiles names the first files: containerd has one for each registry. --json has all.
func someFiles(all []string) string {
	const most = 3
	if len(all) <= most+1 {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more files", strings.Join(all[:most], ", "), len(all)-most)
}
