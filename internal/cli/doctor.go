package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/doctor"
	"sutler/internal/probe"
)

// doctor returns the command that examines the whole way of a build's fetches.
func (a *app) doctor() *cobra.Command {
	var fix bool
	var bundle string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "test the whole path, from inside real containers too, and suggest fixes",
		Long: `Examines daemon, engine, networks and origins, the networks from inside a container on
each, and the builders from inside a step. docs/doctor.md lists every check. It ends with 1
if something is broken.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.examine(c.Context(), fix, bundle) },
	}
	c.Flags().BoolVar(&fix, "fix", false, "apply the fixes that are safe, then look again")
	c.Flags().StringVar(&bundle, "bundle", "", "write what helps to find a fault to this file (.tar.gz), without secrets")
	return c
}

// probe returns the command that throw-away containers and builds run.
func (a *app) probe() *cobra.Command {
	return &cobra.Command{
		Use:    "probe SPEC",
		Short:  "look at sutler from here: what to look at is JSON, or a file with it",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var s probe.Spec
			text := []byte(args[0])
			if !strings.HasPrefix(args[0], "{") {
				var err error
				if text, err = os.ReadFile(args[0]); err != nil {
					return usage(fmt.Errorf("probe: %w", err))
				}
			}
			if err := json.Unmarshal(text, &s); err != nil {
				return usage(fmt.Errorf("probe: %w", err))
			}
			_, err := fmt.Fprintln(a.Stdout, probe.Print(probe.Look(c.Context(), s)))
			return err
		},
	}
}

// A verdict is what doctor prints as JSON.
type verdict struct {
	Version  string           `json:"version"`
	Worst    doctor.Severity  `json:"worst"`
	Findings []doctor.Finding `json:"findings"`
}

// errBroken ends doctor if something is broken; all was said.
func errBroken() error { return &exitError{code: exitFailed} }

func (a *app) examine(ctx context.Context, fix bool, bundle string) error {
	env, l, err := a.doctorEnv()
	if err != nil {
		return err
	}
	all := doctor.Run(ctx, env, a.reporter())
	if fix && a.applyFixes(ctx, all) > 0 {
		a.say("")
		all = doctor.Run(ctx, env, a.reporter())
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	v := verdict{Version: a.Version, Worst: doctor.Worst(all), Findings: all}
	if err := a.print(v, func(w io.Writer) error { return writeFixes(w, all) }); err != nil {
		return err
	}
	if bundle != "" {
		if err := a.writeBundle(ctx, bundle, v, l); err != nil {
			return err
		}
	}
	if v.Worst == doctor.Broken {
		return errBroken()
	}
	return nil
}

// doctorEnv returns the world as the checks see it.
func (a *app) doctorEnv() (doctor.Env, *config.Loaded, error) {
	l, err := a.load(nil)
	if err != nil {
		return doctor.Env{}, nil, err
	}
	client, err := a.client()
	if err != nil {
		return doctor.Env{}, nil, err
	}
	env := doctor.System(l.Config)
	env.Version, env.Ignored, env.Vars = a.Version, l.Ignored, a.Env
	env.Status = client.Status
	env.Start = func(ctx context.Context) error {
		_, err := a.start(ctx, l.Config, newDaemonFlags(&cobra.Command{}), control.NewClient(l.Socket))
		return err
	}
	return env, l, nil
}

// reporter prints each finding as soon as it is there, unless JSON was asked for.
func (a *app) reporter() func(doctor.Finding) {
	if a.json {
		return nil
	}
	last := ""
	return func(f doctor.Finding) {
		name := f.Check
		if name == last {
			name = ""
		}
		last = f.Check
		mark, colour := markOf(f.Severity)
		if a.colour(a.Stdout) {
			mark = "\x1b[" + colour + "m" + mark + "\x1b[0m"
		}
		where := ""
		if f.Where != "" && !strings.Contains(f.What, f.Where) {
			where = "  (" + f.Where + ")"
		}
		_, _ = fmt.Fprintf(a.Stdout, "  %s %-10s %s%s\n", mark, name, strings.ReplaceAll(f.What, "\n", " "), where) // the end reports it
	}
}

func markOf(s doctor.Severity) (mark, colour string) {
	switch s {
	case doctor.OK:
		return "✔", "32"
	case doctor.Broken:
		return "✘", "31"
	case doctor.Warning:
		return "!", "33"
	}
	return "-", "2"
}

// writeFixes lists what to do, each thing once.
func writeFixes(w io.Writer, all []doctor.Finding) error {
	var errs []error
	say := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format, args...)
		errs = append(errs, err)
	}
	n := 0
	seen := map[string]bool{}
	safe := false
	for _, f := range all {
		if f.Fix == "" || seen[f.Fix+f.Command] {
			continue
		}
		if n == 0 {
			say("\nFixes\n")
		}
		n++
		seen[f.Fix+f.Command], safe = true, safe || f.Safe
		say("  %d. %s: %s\n", n, f.Check, f.Fix)
		if f.Command != "" {
			say("       $ %s\n", f.Command)
		}
	}
	if safe {
		say("  sutler doctor --fix does what is safe of these.\n")
	}
	if n == 0 {
		say("\nNothing to fix.\n")
	}
	return errors.Join(errs...)
}

// applyFixes applies what is safe and returns how many fixes it applied.
func (a *app) applyFixes(ctx context.Context, all []doctor.Finding) int {
	n := 0
	for _, f := range all {
		if !f.Safe {
			continue
		}
		a.say("sutler: fix: %s (%s)", f.Fix, f.Command)
		if err := f.Apply(ctx); err != nil {
			a.say("sutler: fix failed: %v", err)
			continue
		}
		n++
	}
	return n
}

// bundleLog is how much of the end of the log goes into a bundle, bytes.
const bundleLog = 256 << 10

// writeBundle writes the archive for whoever looks for a fault.
func (a *app) writeBundle(ctx context.Context, path string, v verdict, l *config.Loaded) error {
	files := map[string]string{"doctor.json": indented(v)}
	var text bytes.Buffer
	if err := writeSettings(&text, l.Settings(), true); err != nil {
		return err
	}
	files["config.txt"] = text.String()
	if client, err := a.client(); err == nil {
		if s, err := client.Status(ctx); err == nil {
			files["status.json"] = indented(s)
			if len(s.Listen) > 0 {
				files["metrics.txt"] = fetchText(ctx, "http://"+s.Listen[0]+"/metrics")
			}
		} else {
			files["status.json"] = indented(map[string]string{"error": err.Error()})
		}
	}
	if log, err := lastBytes(filepath.Join(l.Store.State, logName), bundleLog); err == nil {
		files["log.txt"] = log
	}
	t, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { _ = t.Cleanup() }() // after the rename there is nothing to clean up
	if err := doctor.Bundle(t, doctor.NewRedactor(secretsOf(l), []string{a.getenv("HOME")}), files, time.Now()); err != nil {
		return err
	}
	if err := t.CloseAtomicallyReplace(); err != nil {
		return err
	}
	a.say("sutler: wrote %s; it names hosts, addresses and packages: look through it before you pass it on", path)
	return nil
}

// secretsOf returns what the configuration holds that nobody else may see.
func secretsOf(l *config.Loaded) []string {
	var out []string
	for _, c := range l.Credentials {
		out = append(out, c.User, c.Password.Reveal(), c.Token.Reveal())
	}
	return out
}

func indented(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return b.String()
}

// fetchText returns what a URL of ours answers, or why it does not.
func fetchText(ctx context.Context, url string) string {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// lastBytes returns the end of a file, from the beginning of a line on.
func lastBytes(path string, n int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	from := max(0, info.Size()-n)
	text, err := io.ReadAll(io.NewSectionReader(f, from, n))
	if _, rest, ok := strings.Cut(string(text), "\n"); ok && from > 0 {
		return rest, err
	}
	return string(text), err
}
