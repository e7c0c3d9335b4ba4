// Package cli is the command line: one file per subcommand.
//
// Results go to standard output, everything else to standard error. Every command that
// prints a result does so as JSON with --json. Colour and progress bars are for terminals
// only. The exit codes are those of exit.go, or those of the command that was wrapped.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sutler/internal/config"
	"sutler/internal/control"
)

// A Program is one run of the command line. All fields but Env are required.
type Program struct {
	Version string // "0.1.0"
	Args    []string
	Env     []string // "NAME=value"
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer

	// Serve runs the daemon until ctx is done or it is told to stop.
	Serve func(ctx context.Context, s Service) error

	// Names says how a configuration has names answered.
	Names func(config.Config) (control.Names, error)

	// Shelf opens what a daemon stored, to be listed while none runs; the error is
	// fs.ErrNotExist where nothing was stored. If nil, nothing is listed then.
	Shelf func(context.Context, config.Config) (answers http.Handler, stop func() error, err error)

	// Check returns what the daemon would refuse in a configuration that reads well. If nil,
	// nothing more is checked.
	Check func(config.Config) []error
}

// A Service is what a daemon is started with.
type Service struct {
	Config config.Config
	Log    *slog.Logger
	Ready  func(control.Status) // called once clients are served
	// Reload reads the configuration again, from where Config came.
	Reload func() (config.Config, error)
	// DropIns is the folder of which files it is read too, "" if it is not.
	DropIns string
}

// An app is a Program with the flags that all commands share.
type app struct {
	Program
	json    bool
	config  string // --config
	socket  string // --socket
	started bool   // flags and arguments were in order: errors are no longer about usage
}

// Main runs the command line and returns the exit code. The first SIGINT or SIGTERM ends
// ctx, on which commands finish in order; the second ends the process.
func Main(ctx context.Context, p Program) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{Program: p}
	root := a.root()
	root.SetArgs(p.Args)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = usage(suggested(err))
	}
	return a.report(err)
}

// root returns the whole command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sutler",
		Short:         "every dependency of every container build, verified, from a cache next to it",
		Long:          longHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print results as JSON")
	flags.StringVar(&a.config, "config", "", "read this configuration file and no other")
	flags.StringVar(&a.socket, "socket", "", "control socket of the daemon")
	root.AddCommand(
		a.up(), a.down(), a.status(), a.doctor(), a.serve(), a.reload(),
		a.attach(), a.detach(), a.runtime(),
		a.build(), a.exec(), a.receipt(),
		a.ls(), a.inspect(), a.du(), a.stats(), a.prune(), a.purge(), a.verify(),
		a.ca(), a.image(), a.configuration(), a.dns(), a.version(), a.healthcheck(), a.probe(),
	)
	root.Version = a.Version
	root.SetVersionTemplate("sutler {{.Version}}\n")
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" && !c.Runnable() { // another shell is a mistake, not a question
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
		explainArgs(c)
	}
	return root
}

// explainArgs makes a command say how it is written when it gets other arguments.
func explainArgs(c *cobra.Command) {
	for _, sub := range c.Commands() {
		explainArgs(sub)
	}
	check := c.Args
	if check == nil || c.HasSubCommands() {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		switch {
		case err == nil:
			return nil
		case strings.HasPrefix(err.Error(), "unknown command"):
			return fmt.Errorf("%s takes no arguments, and got %q", c.CommandPath(), args[0])
		case strings.HasPrefix(err.Error(), "accepts"):
			return fmt.Errorf("%s got %s; it is written: %s", c.CommandPath(), plural(int64(len(args)), "argument"), c.UseLine())
		}
		return err
	}
}

const longHelp = `sutler lets container builds fetch base images and packages through a local cache that
verifies them, without touching a Dockerfile.

  sutler up                start here: starts sutler and attaches docker
  sutler build -t app .    build through it; prints what the build was served
  sutler down              detach everything, restore what was changed, stop

Exit codes: 0 fine, 1 failed, 2 usage or configuration, 3 not running or not attached,
4 verification failed; build and exec end with the code of the command that they ran. If
that is 0, --strict makes it 4 if anything was not verified, 5 if anything was refused by
policy, and, with --offline, 6 if anything was not stored.`

// group returns a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(subs...)
	return c
}

// place says who runs this.
func (a *app) place() config.Place { return config.Place{System: os.Geteuid() == 0, Getenv: a.getenv} }

// getenv returns the last value of a variable, "" if it is not set.
func (a *app) getenv(name string) string {
	for i := len(a.Env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(a.Env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// configFiles returns the files to read: the one that was named, or those of the place.
func (a *app) configFiles() ([]string, error) {
	if named := a.namedFile(); named != "" {
		return []string{named}, nil
	}
	return a.place().Files()
}

// namedFile returns the one configuration file that was named, "" if none was.
func (a *app) namedFile() string { return cmp.Or(a.config, a.getenv("SUTLER_CONFIG")) }

// load reads the configuration; flags are those of the command, by key.
func (a *app) load(flags map[string]config.Flag) (*config.Loaded, error) {
	files, err := a.configFiles()
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	all := map[string]config.Flag{}
	for k, f := range flags {
		all[k] = f
	}
	if a.socket != "" {
		all["socket"] = config.Flag{Name: "socket", Value: a.socket}
	}
	l, err := config.Load(config.Sources{Place: a.place(), Files: files, Env: a.Env, Flags: all})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage(err) // a file that was named
	}
	return l, err
}

// client returns a client of the daemon: the one on the configured socket, else the user's
// own, else that of the machine.
func (a *app) client() (*control.Client, error) {
	if a.socket != "" {
		return control.NewClient(a.socket), nil // a broken configuration is in nobody's way
	}
	l, err := a.load(nil)
	if err != nil {
		return nil, err
	}
	if l.Origin("socket").Source == "default" {
		for _, path := range a.place().Sockets() {
			if _, err := os.Stat(path); err == nil {
				return control.NewClient(path), nil
			}
		}
	}
	return control.NewClient(l.Socket), nil
}

// reading calls do with a client of the daemon or, if none runs, of what it stored.
func (a *app) reading(ctx context.Context, do func(*control.Client) error) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	_, down := client.Status(ctx)
	if !errors.Is(down, control.ErrNotRunning) || a.Shelf == nil {
		return do(client)
	}
	l, err := a.load(nil)
	if err != nil {
		return err
	}
	answers, stop, err := a.Shelf(ctx, l.Config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return down
	case err != nil:
		return fmt.Errorf("%w; what it stored cannot be read: %w", down, err)
	}
	a.say("sutler: not running; this is what it stored")
	return errors.Join(do(control.NewLocal(answers)), stop())
}

// print writes a result: as JSON if that was asked for, else as text writes it.
func (a *app) print(v any, text func(w io.Writer) error) error {
	if !a.json {
		return text(a.Stdout)
	}
	e := json.NewEncoder(a.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows in columns; a cell is never wrapped.
func table(w io.Writer, rows func(row func(cells ...any))) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var errs []error
	rows(func(cells ...any) {
		text := make([]string, len(cells))
		for i, c := range cells {
			text[i] = fmt.Sprint(c)
		}
		_, err := fmt.Fprintln(t, strings.Join(text, "\t"))
		errs = append(errs, err)
	})
	return errors.Join(append(errs, t.Flush())...)
}

// say writes a line for people.
func (a *app) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.Stderr, format+"\n", args...) // standard error is gone: nobody to tell
}

// terminal reports whether w is one.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colour reports whether w may be coloured.
func (a *app) colour(w any) bool {
	return terminal(w) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}
