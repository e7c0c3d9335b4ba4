package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sutler/internal/config"
)

// configuration returns the commands about the configuration.
func (a *app) configuration() *cobra.Command {
	return group("config", "write, show and check the configuration", a.configInit(), a.configShow(), a.configCheck())
}

func (a *app) configInit() *cobra.Command {
	var force, stdout bool
	c := &cobra.Command{
		Use:   "init",
		Short: "write a configuration file with every key explained and commented out",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if stdout {
				return config.WriteTemplate(a.Stdout, a.place())
			}
			path := a.config
			if path == "" {
				path = a.place().File()
			}
			return a.writeTemplate(path, force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace a file that exists")
	c.Flags().BoolVar(&stdout, "stdout", false, "print it instead")
	return c
}

func (a *app) writeTemplate(path string, force bool) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	// Readable by its owner alone: people will put credentials there.
	f, err := os.OpenFile(path, mode, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return hint(err, "--force replaces it, --stdout prints instead")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := config.WriteTemplate(f, a.place()); err != nil {
		return err
	}
	a.say("wrote %s", path)
	return nil
}

func (a *app) configShow() *cobra.Command {
	var origin bool
	c := &cobra.Command{
		Use:   "show",
		Short: "print every value in force",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := a.load(nil)
			if err != nil {
				return err
			}
			settings := l.Settings()
			return a.print(settings, func(w io.Writer) error { return writeSettings(w, settings, origin) })
		},
	}
	c.Flags().BoolVar(&origin, "origin", false, "say where each value came from")
	return c
}

func writeSettings(w io.Writer, settings []config.Setting, origin bool) error {
	return table(w, func(row func(...any)) {
		for _, s := range settings {
			if origin {
				row(s.Key, "= "+s.Text, "# "+s.Origin)
				continue
			}
			row(s.Key, "= "+s.Text)
		}
	})
}

func (a *app) configCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "report every mistake in the configuration, or in one file",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				a.config = args[0]
			}
			files, err := a.configFiles()
			if err != nil {
				return err
			}
			l, err := a.load(nil)
			if err != nil {
				return err
			}
			for _, text := range l.Ignored {
				a.say("ignored: %s", text)
			}
			if a.Check != nil {
				if errs := a.Check(l.Config); len(errs) > 0 {
					for i := range errs {
						errs[i] = located(l, errs[i])
					}
					return &exitError{code: exitUsage, err: errors.Join(errs...), hints: []string{"sutler config show --origin says where each value comes from"}}
				}
			}
			v := struct {
				Files   []string `json:"files"`
				Ignored []string `json:"ignored"`
			}{append([]string{}, files...), append([]string{}, l.Ignored...)}
			return a.print(v, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "no mistakes in %s\n", plural(int64(len(files)), "file"))
				return err
			})
		},
	}
}

// located says where the value is that a daemon does not take, if err is about one.
func located(l *config.Loaded, err error) error {
	var p *config.Problem
	if !errors.As(err, &p) {
		return err
	}
	p.Origin = l.Origin(p.Key)
	return config.Problems{p}
}
