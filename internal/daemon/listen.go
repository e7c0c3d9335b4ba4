package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"sutler/internal/ingress"
	"sutler/internal/ingress/intercept"
	"sutler/internal/share"
)

// listeners are the places where clients are served. More can be added while it runs:
// the bridge of a container engine may appear later than sutler.
type listeners struct {
	server *http.Server
	shares *share.Shares // of connections

	mu     sync.Mutex
	open   map[string]net.Listener // by host:port as bound
	led    map[string]net.Listener // likewise, of intercepted connections
	named  map[string]string       // as bound, by how the configuration names those
	failed chan error              // the first listener that broke
	wait   sync.WaitGroup
}

func newListeners(server *http.Server, full func(client netip.Addr)) *listeners {
	all, each := connections()
	return &listeners{server: server, shares: share.New(all, each, full), open: map[string]net.Listener{}, led: map[string]net.Listener{}, named: map[string]string{}, failed: make(chan error, 1)}
}

// maxEach bounds the connections of one client. No build opens a tenth of that, but one
// address may stand for a whole network.
const maxEach = 4096

// connections returns how many connections clients may have, together and each of them. What
// is left of the descriptors is for files and origins.
func connections() (all, each int) {
	files := syscall.Rlimit{Cur: 1024}
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) // cannot fail with these arguments
	all = int(min(files.Cur, 1<<20)) * 3 / 4
	return all, min(all/4, maxEach)
}

// listen serves on an address; again is no error.
func (l *listeners) listen(ctx context.Context, address string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[address] != nil {
		return nil
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	l.open[ln.Addr().String()] = ln
	l.serve(ln, func(ln net.Listener) error { return l.server.Serve(ingress.Listener(ln, l.shares)) })
	return nil
}

// close ends what listen began, for new connections; none is fine.
func (l *listeners) close(address string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.open[address]
	if ln == nil {
		return nil
	}
	delete(l.open, address)
	return ln.Close()
}

// intercept serves connections that were led to an address.
func (l *listeners) intercept(ctx context.Context, address string, serve func(net.Listener) error) (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln, err := intercept.Listen(ctx, address)
	if err != nil {
		return nil, err
	}
	l.led[ln.Addr().String()], l.named[address] = ln, ln.Addr().String() // "0.0.0.0:80" is bound as "[::]:80"
	l.serve(ln, func(ln net.Listener) error { return serve(ingress.Listener(ln, l.shares)) })
	return ln, nil
}

// serve serves on a listener until it is closed; the first one that breaks ends the process.
func (l *listeners) serve(ln net.Listener, serve func(net.Listener) error) {
	l.wait.Go(func() {
		if err := serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			select {
			case l.failed <- err:
			default: // another one was first
			}
		}
	})
}

// closeLed closes listeners of intercepted connections by their addresses, as bound or as
// they were named; those that are closed already are passed over.
func (l *listeners) closeLed(addresses ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, a := range addresses {
		if bound, ok := l.named[a]; ok && l.led[a] == nil {
			delete(l.named, a)
			a = bound
		}
		if ln := l.led[a]; ln != nil {
			errs = append(errs, ln.Close())
			delete(l.led, a)
		}
	}
	return errors.Join(errs...)
}

// ledTo returns host:port of the listeners of intercepted connections.
func (l *listeners) ledTo() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.led))
}

// addresses returns host:port of all listeners, loopback first.
func (l *listeners) addresses() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var loopback, others []string
	for a := range l.open {
		if ap, err := netip.ParseAddrPort(a); err == nil && ap.Addr().IsLoopback() {
			loopback = append(loopback, a)
		} else {
			others = append(others, a)
		}
	}
	return append(loopback, others...)
}

// own reports whether an address is one of the listeners'.
func (l *listeners) own(to netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, group := range []map[string]net.Listener{l.open, l.led} {
		for a := range group {
			ap, err := netip.ParseAddrPort(a)
			if err != nil || ap.Port() != to.Port() {
				continue
			}
			if ap.Addr().Unmap() == to.Addr().Unmap() || ap.Addr().IsUnspecified() && isLocal(to.Addr()) {
				return true
			}
		}
	}
	return false
}

// isLocal reports whether an address is one of this machine's.
func isLocal(addr netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return addr.IsLoopback()
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == addr.Unmap() {
			return true
		}
	}
	return false
}

// port returns the port of the first listener, which bridges share.
func (l *listeners) port() string {
	for _, a := range l.addresses() {
		if _, port, err := net.SplitHostPort(a); err == nil {
			return port
		}
	}
	return ""
}

// full notes that a client wants more connections than it may have.
func (d *process) full(client netip.Addr) {
	d.trouble.add(fmt.Errorf("client %s gets no more connections: it has as many open as one may have, or all there are are taken; more are closed at once until some end", client))
}
