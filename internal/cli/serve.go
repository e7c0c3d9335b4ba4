package cli

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
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
		return located(l, a.serveLogged(c.Context(), l.Config, logger))
	}
	return c
}

// serveLogged runs the daemon and tells a service manager, if there is one, when it is
// ready and when it stops. A stop that was asked for is no error.
func (a *app) serveLogged(ctx context.Context, c config.Config, log *slog.Logger) error {
	notify := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("service manager", "err", err.Error())
		}
	}
	stop := context.AfterFunc(ctx, func() { notify(daemon.SdNotifyStopping) })
	defer stop()
	err := a.Serve(ctx, c, log, func(control.Status) { notify(daemon.SdNotifyReady) })
	if errors.Is(err, syscall.EADDRINUSE) {
		return hint(err, "--listen ADDRESS:PORT, or listen in the configuration, names another")
	}
	return err
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
