// Package daemon is the composition root: configuration in, running process out. It is
// the only package that names implementations.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sutler/internal/blob/disk"
	"sutler/internal/ca"
	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/gc"
	indexsqlite "sutler/internal/index/sqlite"
	"sutler/internal/ingress"
	"sutler/internal/ingress/intercept"
	"sutler/internal/metrics"
	"sutler/internal/netfilter"
	receiptsqlite "sutler/internal/receipt/sqlite"
	"sutler/internal/upstream"
)

// drain is how long running answers and fetches may take to finish after a stop.
const drain = 30 * time.Second

// Options are what a run needs besides the configuration. Log is required.
type Options struct {
	Version string
	Log     *slog.Logger
	// DropIns is the folder of which files the configuration is read too, "" for none.
	DropIns string
	// Reload reads the configuration again, as it was read at first. If nil, that cannot be done.
	Reload func() (config.Config, error)
	// Ready is called once clients are served. If nil, nobody is told.
	Ready func(control.Status)
}

// A process is a running daemon.
type process struct {
	config  config.Config                 // that it was started with
	live    atomic.Pointer[config.Config] // with what was changed since; see Reload
	options Options
	started time.Time
	stop    context.CancelFunc

	blobs      *disk.Store
	index      *indexsqlite.Index
	receipts   *receiptsqlite.Store
	collector  *gc.Collector
	upstream   *upstream.Client
	engine     *engine.Engine
	authority  *ca.CA
	system     []byte // public roots, PEM
	metrics    *metrics.Metrics
	ecosystems []ecosystem.Ecosystem
	profiles   []ecosystem.Profile
	conduit    *ingress.Conduit
	led        *intercept.Server
	listeners  *listeners
	terms      sync.Map // of running builds: policy.Terms by id
	naming     *naming
	closed     *closed
	steps      *steps
	peers      *peers
	reloading  sync.Mutex // held by whoever changes live
	trouble    trouble
	tally      tally
}

// Run serves until ctx is done or Stop is called on the control socket, then lets running
// answers finish. It returns when everything it started has ended. Errors say what could
// not be opened and why: the store is in use, a port is taken, a file is damaged.
func Run(ctx context.Context, c config.Config, o Options) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d := &process{config: c, options: o, started: time.Now(), stop: stop, trouble: trouble{log: o.Log}}
	d.live.Store(&d.config)
	d.steps, d.naming, d.closed = newSteps(d), newNaming(d), newClosed(engineOf(d.config.DNS), podmanNetworks)
	d.peers = newPeers("/proc", d.steps.records.running)
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.open(ctx); err != nil {
		return err
	}
	handler, err := d.handler()
	if err != nil {
		return err
	}
	return d.serve(ctx, handler)
}

// open opens the stores and makes the parts that stand on them.
func (d *process) open(ctx context.Context) error {
	for _, dir := range []string{d.config.Store.Dir, d.config.Store.State, filepath.Dir(d.config.Socket)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, part := range []func(context.Context) error{d.openStores, d.openAuthority, d.openDNS, d.openEngine} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close closes what open opened, in the reverse order.
func (d *process) close() error {
	var errs []error
	if d.engine != nil {
		d.engine.Close()
	}
	if d.upstream != nil {
		d.upstream.Close()
	}
	if d.collector != nil {
		errs = append(errs, d.collector.Close())
	}
	if d.receipts != nil {
		errs = append(errs, d.receipts.Close())
	}
	if d.index != nil {
		errs = append(errs, d.index.Close())
	}
	if d.blobs != nil {
		errs = append(errs, d.blobs.Close())
	}
	return errors.Join(errs...)
}

// serve listens and serves until ctx is done, then stops in order: no new connections,
// running answers, running fetches.
func (d *process) serve(ctx context.Context, handler http.Handler) error {
	socket, err := listenControl(ctx, d.config.Socket)
	if err != nil {
		return err
	}
	admin := &http.Server{Handler: control.Handler(d, builds{d}, stock{d}), ReadHeaderTimeout: 10 * time.Second}
	server := d.server(handler)
	d.listeners = newListeners(server, d.full)
	if d.led, err = intercept.New(ctx, intercept.Options{Conduit: d.conduit, Log: d.options.Log,
		Builds: d.peers.step, Tunnels: d.tunnelsStrangers, StandIn: netfilter.StandIn}); err != nil {
		return errors.Join(err, socket.Close(), server.Close())
	}
	if err := d.listen(ctx); err != nil {
		return errors.Join(err, socket.Close(), d.shutdownClients(ctx, server))
	}
	var running sync.WaitGroup
	background, end := context.WithCancel(context.WithoutCancel(ctx))
	d.steps.start(ctx)
	running.Go(func() { d.collector.Run(background) })
	naming, unname := context.WithCancel(ctx)
	defer unname()
	running.Go(func() { d.naming.run(naming) })
	running.Go(func() { d.reloadOnHangup(background) })
	running.Go(func() { d.steps.run(background) })
	running.Go(func() { d.settle(background) })
	running.Go(func() {
		if err := admin.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			d.trouble.add(fmt.Errorf("control socket: %w", err))
		}
	})
	d.ready(ctx)
	select {
	case <-ctx.Done():
	case err = <-d.listeners.failed:
	}
	unname() // first of all: names lead elsewhere from now on
	return errors.Join(err, d.shutdown(ctx, server, admin, func() { end(); running.Wait() }))
}

// shutdown ends the servers in order, each within what is left of drain.
func (d *process) shutdown(ctx context.Context, server, admin *http.Server, end func()) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := d.shutdownClients(ctx, server)
	d.engine.Drain(ctx)
	// Whoever said stop is answered first.
	answering, cut := context.WithTimeout(ctx, time.Second)
	defer cut()
	if admin.Shutdown(answering) != nil {
		err = errors.Join(err, admin.Close())
	}
	end()
	return err
}

// shutdownClients ends the connections of clients, within what is left of ctx.
func (d *process) shutdownClients(ctx context.Context, server *http.Server) error {
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // whoever has not finished by now is cut off
	}
	err = errors.Join(err, d.listeners.closeLed(d.listeners.ledTo()...))
	d.listeners.wait.Wait()
	err = errors.Join(err, d.led.Shutdown(ctx), d.conduit.Shutdown(ctx))
	d.led.Wait()
	return err
}

// ready tells whoever started the process.
func (d *process) ready(ctx context.Context) {
	s, err := d.Status(ctx)
	if err != nil {
		d.trouble.add(err)
	}
	d.options.Log.Info("serving", "listen", s.Listen, "store", d.config.Store.Dir, "socket", d.config.Socket)
	if d.options.Ready != nil {
		d.options.Ready(s)
	}
}

// listen opens the configured listeners, and those on the bridges of container engines.
func (d *process) listen(ctx context.Context) error {
	for _, a := range append([]string(nil), d.config.Listen...) {
		if err := d.listeners.listen(ctx, a); err != nil {
			return err
		}
	}
	if d.config.ACNG != "" {
		if err := d.listeners.listen(ctx, d.config.ACNG); err != nil {
			return err
		}
	}
	for _, a := range d.config.Intercept.Listen {
		if _, err := d.listeners.intercept(ctx, a, d.led.Serve); err != nil {
			return err
		}
	}
	if !d.config.Bridges {
		return nil
	}
	addrs, err := bridges()
	if err != nil {
		return err
	}
	for _, b := range addrs {
		if internal, _ := d.closed.is(ctx, b); internal {
			continue
		}
		if err := d.listeners.listen(ctx, net.JoinHostPort(b.addr.String(), d.listeners.port())); err != nil {
			d.trouble.add(err) // builds on that bridge are not served; everybody else is
		}
	}
	return nil
}

// listenControl makes the control socket, 0600 in a folder that only its owner enters. A
// socket that a killed process left is replaced; that of a living one is not: the lock
// of the store was taken before.
func listenControl(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return control.Private(l), os.Chmod(path, 0o600)
}
