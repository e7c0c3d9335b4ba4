package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sutler/internal/config"
	"sutler/internal/ingress/dns"
	"sutler/internal/ingress/intercept"
	"sutler/internal/netfilter"
)

// naming answers names and sends bridges here, as the configuration in force wants it: that
// changes when it is read again, and bridges come and go.
type naming struct {
	d        *process
	resolver atomic.Pointer[dns.Resolver] // nil if no names are answered

	mu        sync.Mutex // of what follows; whoever has it changes what runs
	ctx       context.Context
	made      resolverKey             // what the resolver was made of
	listening map[netip.AddrPort]*job // for names, on configured addresses
	bridges   map[bridge]*place
	redirects []netfilter.Redirect
	switched  *job                      // the dead man's switch of redirects
	changes   chan []netfilter.Redirect // of switched
}

// resolverKey is all that a resolver is made of.
type resolverKey struct {
	DNS    config.DNS
	Except []string
}

// A place is where one bridge is served.
type place struct {
	names netip.AddrPort
	web   net.Listener
	*job  // listens for names
}

// A job is a goroutine that can be ended.
type job struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// begin runs a function until it is ended.
func begin(ctx context.Context, run func(context.Context)) *job {
	ctx, cancel := context.WithCancel(ctx)
	j := &job{cancel: cancel, done: make(chan struct{})}
	go func() { defer close(j.done); run(ctx) }()
	return j
}

// end ends a job and waits for it; nil is none.
func (j *job) end() {
	if j != nil {
		j.cancel()
		<-j.done
	}
}

func newNaming(d *process) *naming {
	return &naming{d: d, listening: map[netip.AddrPort]*job{}, bridges: map[bridge]*place{}}
}

// lookup resolves a host for sutler itself. The host may ask us: our own lookups must not
// get our own address.
func (n *naming) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if r := n.resolver.Load(); r != nil {
		return r.Lookup(ctx, host)
	}
	return new(net.Resolver).LookupNetIP(ctx, "ip", host)
}

// check makes the resolver of a configuration, and nothing of it runs; nil if none is wanted.
func (n *naming) check(c config.Config) (*dns.Resolver, error) {
	if len(c.DNS.Listen) == 0 && !c.DNS.Bridges {
		return nil, nil
	}
	return n.d.newResolver(c)
}

// run serves until ctx is done, then gives the bridges back first of all.
func (n *naming) run(ctx context.Context) {
	n.mu.Lock()
	n.ctx = context.WithoutCancel(ctx)
	n.settle()
	n.mu.Unlock()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.mu.Lock()
			n.settle()
			n.mu.Unlock()
		case <-ctx.Done():
			n.close()
			return
		}
	}
}

// replace takes a resolver that check made for the configuration in force.
func (n *naming) replace(r *dns.Resolver) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.d.now()
	if key := (resolverKey{c.DNS, c.Intercept.Except}); n.ctx == nil || r == nil || !reflect.DeepEqual(key, n.made) {
		n.stop()
		n.made = key
		n.resolver.Store(r)
	}
	if n.ctx != nil {
		n.settle()
	}
}

// close ends everything, for good.
func (n *naming) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stop()
	n.ctx = nil
}

// stop ends everything, the redirects first: names lead elsewhere from then on.
func (n *naming) stop() {
	n.switched.end()
	n.switched, n.redirects = nil, nil
	for b := range n.bridges {
		n.leave(b)
	}
	for a, j := range n.listening {
		j.end()
		delete(n.listening, a)
	}
	if r := n.resolver.Load(); r != nil {
		r.Wait()
	}
}

// settle makes what runs be what is wanted, with the bridges that there are now.
func (n *naming) settle() {
	r := n.resolver.Load()
	if r == nil || n.ctx == nil {
		return
	}
	c := n.d.now()
	for _, text := range c.DNS.Listen {
		a, err := netip.ParseAddrPort(text)
		if err == nil && n.listening[a] == nil { // the configuration was checked
			n.listening[a] = begin(n.ctx, func(ctx context.Context) { r.Listen(ctx, a, netip.Addr{}) })
		}
	}
	want := Redirects(*c)
	if c.DNS.Bridges {
		all, err := bridges()
		n.d.trouble.once(err)
		all = slices.DeleteFunc(all, func(b bridge) bool {
			internal, certain := n.d.closed.is(n.ctx, b) // asked again at the next look, if not
			return internal || !certain || slices.Contains(c.DNS.Redirect, b.name) || !admits(c.DNS, b.addr)
		})
		for b := range n.bridges {
			if !slices.Contains(all, b) {
				n.leave(b)
			}
		}
		for _, b := range all {
			n.d.trouble.once(n.enter(r, b))
			if p := n.bridges[b]; p != nil {
				want = append(want, n.redirect(c.DNS, b, p))
			}
		}
	}
	if slices.Equal(want, n.redirects) {
		return
	}
	n.redirects = want
	if len(want) == 0 {
		n.switched.end()
		n.switched = nil
		return
	}
	if n.switched != nil {
		n.changes <- want // it runs until it is ended
		return
	}
	n.changes = make(chan []netfilter.Redirect)
	s := netfilter.Switch{Redirects: want, Changes: n.changes, Alive: r.Alive, Trouble: n.d.trouble.once}
	n.switched = begin(n.ctx, s.Run)
}

// admits reports whether the containers of a bridge may ask: who may not would resolve nothing
// if it were sent here.
func admits(c config.DNS, bridge netip.Addr) bool {
	return len(c.Clients) == 0 || slices.ContainsFunc(c.Clients, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		return err == nil && p.Contains(bridge)
	})
}

// redirect returns how a bridge is sent to its place.
func (n *naming) redirect(c config.DNS, b bridge, p *place) netfilter.Redirect {
	to := netfilter.Redirect{Bridge: b.name, To: p.names, Near: b.near}
	if web, err := netip.ParseAddrPort(p.web.Addr().String()); err == nil && c.Intercept {
		to.Web = web
	}
	return to
}

// enter begins to serve a bridge, if it is not served yet. The ports are any that are free:
// those that containers publish, and those of other resolvers, stay theirs.
func (n *naming) enter(r *dns.Resolver, b bridge) error {
	if n.bridges[b] != nil {
		return nil
	}
	port, err := freePort(n.ctx, b.addr)
	if err != nil {
		return fmt.Errorf("dns.bridges: %s: %w", b.name, err)
	}
	web, err := n.d.listeners.intercept(n.ctx, netip.AddrPortFrom(b.addr, 0).String(), n.d.led.Serve)
	if err != nil {
		return fmt.Errorf("dns.bridges: %s: %w", b.name, err)
	}
	p := &place{names: netip.AddrPortFrom(b.addr, port), web: web}
	p.job = begin(n.ctx, func(ctx context.Context) { r.Listen(ctx, p.names, netfilter.StandIn) })
	n.bridges[b] = p
	return nil
}

// leave stops serving a bridge; connections that were accepted go on.
func (n *naming) leave(b bridge) {
	p := n.bridges[b]
	delete(n.bridges, b)
	p.end()
	n.d.trouble.add(n.d.listeners.closeLed(p.web.Addr().String()))
}

// freePort returns a port of an address that is free for UDP and TCP.
func freePort(ctx context.Context, a netip.Addr) (uint16, error) {
	var errs []error
	for range 5 { // it may be free for one of the two only
		l, err := intercept.Listen(ctx, netip.AddrPortFrom(a, 0).String())
		if err != nil {
			return 0, err
		}
		port := netip.MustParseAddrPort(l.Addr().String()).Port()
		var lc net.ListenConfig
		u, err := lc.ListenPacket(ctx, "udp", netip.AddrPortFrom(a, port).String())
		if err == nil {
			return port, errors.Join(u.Close(), l.Close())
		}
		errs = append(errs, err, l.Close())
	}
	return 0, errors.Join(errs...)
}

// names returns where the names of which bridge are answered, for people.
func (n *naming) names() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for a := range n.listening {
		out = append(out, a.String())
	}
	for b, p := range n.bridges {
		out = append(out, b.name+" ("+p.names.String()+")")
	}
	slices.Sort(out)
	return out
}
