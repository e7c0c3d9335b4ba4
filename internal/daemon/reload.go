package daemon

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"sutler/internal/config"
	"sutler/internal/control"
)

// now returns the configuration in force. It is never written to.
func (d *process) now() *config.Config {
	if c := d.live.Load(); c != nil {
		return c
	}
	return &d.config
}

// isLive reports whether a setting can be changed while sutler runs.
func isLive(key string) bool {
	return strings.HasPrefix(key, "dns.") || slices.Contains([]string{"intercept.listen", "intercept.strangers", "intercept.except"}, key)
}

// Reload implements control.Daemon.
func (d *process) Reload(ctx context.Context) (control.Reloaded, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	var out control.Reloaded
	if d.options.Reload == nil {
		return out, errors.New("this sutler cannot read its configuration again: restart it")
	}
	read, err := d.options.Reload()
	if err != nil {
		return out, err
	}
	started, now, then := d.config.Texts(), d.now().Texts(), read.Texts()
	for key, text := range then {
		switch {
		case isLive(key) && text != now[key]:
			out.Applied = append(out.Applied, key)
		case !isLive(key) && text != started[key] && !strings.HasPrefix(key, "attach."): // commands read these
			out.Restart = append(out.Restart, key)
		}
	}
	if !reflect.DeepEqual(read.Credentials, d.config.Credentials) {
		out.Restart = append(out.Restart, "credentials")
	}
	slices.Sort(out.Applied)
	slices.Sort(out.Restart)
	next := *d.now()
	next.DNS = read.DNS
	next.Intercept.Listen, next.Intercept.Strangers, next.Intercept.Except = read.Intercept.Listen, read.Intercept.Strangers, read.Intercept.Except
	if err := d.apply(ctx, next); err != nil {
		return control.Reloaded{}, err
	}
	d.options.Log.Info("configuration read again", "applied", out.Applied, "needs a restart", out.Restart)
	return out, nil
}

// apply puts a configuration into force that differs in live settings only, or changes
// nothing.
func (d *process) apply(ctx context.Context, next config.Config) error {
	resolver, err := d.naming.check(next)
	if err != nil {
		return err
	}
	before := d.now().Intercept.Listen
	var opened []string
	for _, a := range next.Intercept.Listen {
		if slices.Contains(before, a) {
			continue
		}
		// The listener outlives the request.
		if _, err := d.listeners.intercept(context.WithoutCancel(ctx), a, d.led.Serve); err != nil {
			return errors.Join(err, d.listeners.closeLed(opened...))
		}
		opened = append(opened, a)
	}
	for _, a := range before {
		if !slices.Contains(next.Intercept.Listen, a) {
			d.trouble.add(d.listeners.closeLed(a))
		}
	}
	d.live.Store(&next)
	d.naming.replace(resolver)
	return nil
}

// reloadOnHangup reads the configuration again at each SIGHUP, until ctx is done.
func (d *process) reloadOnHangup(ctx context.Context) {
	if d.options.Reload == nil {
		return
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	for {
		select {
		case <-signals:
			_, err := d.Reload(ctx)
			d.trouble.add(err)
		case <-ctx.Done():
			return
		}
	}
}

// tunnelsStrangers reports whether connections of clients that are no build steps are left
// alone.
func (d *process) tunnelsStrangers() bool { return d.now().Intercept.Strangers == config.Tunnel }
