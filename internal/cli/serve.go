package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"sutler/internal/config"
	"sutler/internal/control"
)

// serve returns the command that runs the daemon in the foreground.
func (a *app) serve() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "run the daemon in the foreground (systemd, containers)",
		Args:  cobra.NoArgs,
	}
	flags := newDaemonFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		l, err := a.load(flags.settings())
		if err != nil {
			return err
		}
		logger := a.logger(l.Log, a.Stderr)
		standardLog(logger)
		for _, text := range l.Ignored {
			logger.Warn("ignored", "variable", text)
		}
		go keepLogSmall(c.Context(), l.Store.State, a.Stderr, logger)
		return located(l, a.serveLogged(c.Context(), Service{Config: l.Config, Log: logger, DropIns: a.dropIns(), Reload: func() (config.Config, error) {
			again, err := a.load(flags.settings())
			if err != nil {
				return config.Config{}, err
			}
			return again.Config, errors.Join(a.check(again.Config)...)
		}}))
	}
	return c
}

// serveLogged runs the daemon and tells a service manager, if there is one, when it is
// ready and when it stops. A stop that was asked for is no error.
func (a *app) serveLogged(ctx context.Context, s Service) error {
	notify := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			s.Log.Warn("service manager", "err", err.Error())
		}
	}
	stop := context.AfterFunc(ctx, func() { notify(daemon.SdNotifyStopping) })
	defer stop()
	s.Ready = func(control.Status) { notify(daemon.SdNotifyReady) }
	err := a.Serve(ctx, s)
	if errors.Is(err, syscall.EADDRINUSE) {
		return hint(err, "--listen ADDRESS:PORT, or listen in the configuration, names another")
	}
	return err
}

// check returns what the daemon would refuse in a configuration that reads well.
func (a *app) check(c config.Config) []error {
	if a.Check == nil {
		return nil
	}
	return a.Check(c)
}

// dropIns returns the folder of which files the configuration is read, "" if a file was named.
func (a *app) dropIns() string {
	if a.namedFile() != "" {
		return ""
	}
	return a.place().DropIns()
}

// reload returns the command that has the daemon read its configuration again.
func (a *app) reload() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "have sutler read its configuration again, as SIGHUP does",
		Long: `reload applies what has changed under [dns], and in intercept.listen, intercept.strangers and
intercept.except. Other settings are named that need a restart. If the configuration is
wrong, everything stays as it is. Builds and connections go on.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			r, err := client.Reload(c.Context())
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "applied: %s\n", orNone(strings.Join(r.Applied, ", "), "nothing has changed"))
				if len(r.Restart) > 0 {
					_, err = fmt.Fprintf(w, "needs a restart: %s\n", strings.Join(r.Restart, ", "))
				}
				return err
			})
		},
	}
}

// standardLog leads what package net/http has to say of odd origins into the log, at debug
// level: it knows no other way than the standard logger, which would write on the terminal.
func standardLog(l *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(l.Handler(), slog.LevelDebug).Writer())
}

// logger returns the logger that the configuration asks for: by default text on a
// terminal, and JSON elsewhere.
func (a *app) logger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // cannot be: the configuration was checked
	}
	if c.Format == "text" || c.Format == "auto" && terminal(w) {
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, NoColor: !a.colour(w)}))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}
