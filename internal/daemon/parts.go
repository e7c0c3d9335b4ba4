package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sutler/internal/blob/disk"
	"sutler/internal/ca"
	"sutler/internal/config"
	"sutler/internal/database"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/all"
	"sutler/internal/ecosystem/apt"
	"sutler/internal/ecosystem/generic"
	"sutler/internal/ecosystem/gomod"
	"sutler/internal/ecosystem/oci"
	"sutler/internal/ecosystem/rpm"
	"sutler/internal/ecosystem/rubygems"
	"sutler/internal/engine"
	"sutler/internal/gc"
	indexsqlite "sutler/internal/index/sqlite"
	"sutler/internal/ingress/dns"
	"sutler/internal/metrics"
	"sutler/internal/policy"
	receiptsqlite "sutler/internal/receipt/sqlite"
	"sutler/internal/upstream"
)

// openStores opens blobs, index and receipts, and what evicts.
func (d *process) openStores(ctx context.Context) (err error) {
	c := d.config.Store
	if d.blobs, err = disk.Open(c.Dir, disk.Options{VerifyEvery: c.VerifyEvery, Damaged: d.damaged}); err != nil {
		return err
	}
	rebuilt := func(r database.Rebuilt) { d.trouble.add(errors.New(r.String())) }
	if d.index, err = indexsqlite.Open(ctx, filepath.Join(c.State, "index.db"), indexsqlite.Options{OnRebuilt: rebuilt}); err != nil {
		return err
	}
	if d.receipts, err = receiptsqlite.Open(ctx, filepath.Join(c.State, "receipts.db"), receiptsqlite.Options{OnRebuilt: rebuilt, OnError: d.trouble.add}); err != nil {
		return err
	}
	d.collector, err = gc.Open(gc.Options{Dir: c.State, Store: d.blobs, MaxSize: c.MaxSize, MinFree: c.MinFree, StoreDir: c.Dir, Free: freeBytes, Trouble: d.trouble.add})
	return err
}

// damaged is told of each blob that was set aside.
func (d *process) damaged(b digest.Digest, cause error) {
	if d.collector != nil {
		d.collector.Removed(b)
	}
	d.trouble.add(fmt.Errorf("%s was damaged and is set aside: %w", b, cause))
}

// openAuthority opens the local authority, constrained to what may be intercepted.
func (d *process) openAuthority(context.Context) (err error) {
	system, _ := ca.SystemRoots()
	if d.config.Upstream.CAFile != "" {
		more, err := os.ReadFile(d.config.Upstream.CAFile)
		if err != nil {
			return about("upstream.ca_file", err)
		}
		system = append(append(system, '\n'), more...)
	}
	d.system = system
	if err := d.openEcosystems(); err != nil || !d.config.Intercept.Enabled {
		return err
	}
	if d.authority, err = ca.Open(filepath.Join(d.config.Store.State, "ca"), d.intercepted(), time.Now); err != nil {
		return err
	}
	if why := d.authority.Made(); why != "" {
		d.options.Log.Info("made a new local authority", "why", why)
	}
	return nil
}

// roots returns the local authority's roots, as PEM; it is empty if there is none.
func (d *process) roots() []byte {
	if d.authority == nil {
		return []byte{}
	}
	return d.authority.Roots()
}

// bundle returns what clients are to trust: public roots and ours.
func (d *process) bundle() []byte {
	if d.authority == nil {
		return d.system
	}
	return d.authority.Bundle(d.system)
}

// openEcosystems makes the ecosystems; keys that cannot be read are no reason to stop.
func (d *process) openEcosystems() error {
	aptKeys, err := keyrings(aptKeyrings[:], d.config.Apt.Keyrings)
	d.trouble.add(err)
	rpmKeys, err := keyrings(rpmKeyrings[:], d.config.RPM.Keyrings)
	d.trouble.add(err)
	keys, err := apkKeys(d.config.Apk.Keys)
	d.trouble.add(err)
	sums, err := gomod.ParseDatabase(d.config.Gomod.SumDB)
	d.trouble.add(err)
	hosts := map[string][]string{generic.Name: slices.Clone(d.config.Intercept.Hosts)}
	for _, h := range d.config.Hosts {
		name, host, _ := strings.Cut(h, "=")
		hosts[name] = append(hosts[name], host)
	}
	d.ecosystems = all.New(all.Options{
		Apt: apt.Options{Keyrings: aptKeys}, RPM: rpm.Options{Keyrings: rpmKeys}, Apk: keys,
		RubyGems: rubygems.Options{Legacy: d.config.RubyGems.Legacy}, SumDB: sums, Hosts: hosts,
	})
	for _, e := range d.ecosystems {
		d.profiles = append(d.profiles, e.Profile())
		delete(hosts, d.profiles[len(d.profiles)-1].Name)
	}
	for name := range hosts {
		return about("hosts", fmt.Errorf("there is no ecosystem %q; it is one of %s", name, strings.Join(slices.Sorted(slices.Values(d.names())), ", ")))
	}
	return nil
}

// intercepted returns the names that the authority may sign for.
func (d *process) intercepted() []string {
	var names []string
	for _, p := range d.profiles {
		for _, h := range p.Hosts {
			if _, err := netip.ParseAddr(h); err != nil && !slices.Contains(names, h) {
				names = append(names, h)
			}
		}
	}
	return names
}

// intercepts reports whether connections to a host are opened. Hosts that the configuration
// names as mirrors or as inside are not: the authority may not answer for them.
func (d *process) intercepts(host string) bool {
	except := ecosystem.Profile{Hosts: d.now().Intercept.Except}
	return d.authority != nil && !except.Owns(host) && d.owned(host)
}

// owned reports whether a host is named in a profile.
func (d *process) owned(host string) bool {
	return slices.ContainsFunc(d.profiles, func(p ecosystem.Profile) bool { return p.Owns(host) })
}

// known reports whether a host is named in a profile or in the configuration.
func (d *process) known(host string) bool {
	return d.owned(host) || slices.ContainsFunc(d.named(), func(a string) bool {
		h, _, err := net.SplitHostPort(a)
		return err == nil && h == host || a == host
	})
}

// named lists each host:port that the configuration names as an origin or mirror.
func (d *process) named() []string {
	out := append(slices.Clone(d.config.Upstream.AllowPrivate), d.config.Upstream.AllowLoopback...)
	for _, s := range d.config.Upstream.Mirrors {
		if m, err := upstream.ParseMirror(s); err == nil {
			out = append(out, m.Host())
		}
	}
	return out
}

// openEngine makes the upstream client and the engine.
func (d *process) openEngine(context.Context) (err error) {
	if d.upstream, err = d.client(); err != nil {
		return err
	}
	rules := d.rules()
	d.metrics = metrics.New(d.options.Version, d.names()...)
	d.metrics.WatchNames(dns.Kinds(), dns.Results())
	d.engine, err = engine.New(engine.Options{
		Ecosystems: d.ecosystems, Index: d.index, Blobs: d.blobs, Upstream: d.fetcher(), Receipts: d.sink(),
		Rules: rules, Local: func(r ecosystem.Request) bool {
			peer, err := netip.ParseAddr(r.Peer)
			return err == nil && d.local(r.Build, peer)
		}, Grace: d.config.Freshness.Grace, Scope: d.upstream.Scope,
		Used: d.collector.Touch, Kept: d.collector.Added, Trouble: d.trouble.add,
	})
	if err != nil {
		return err
	}
	d.metrics.Watch(metrics.Gauges{
		StoreBytes: func() float64 { bytes, _ := d.collector.Usage(); return float64(bytes) },
		StoreBlobs: func() float64 { _, blobs := d.collector.Usage(); return float64(blobs) },
	})
	return nil
}

func (d *process) rules() policy.Rules {
	return policy.Rules{Strict: d.config.Policy.Strict, RefuseUnknown: d.config.Policy.UnknownHosts == config.Refuse}
}

// names returns the names of the ecosystems, for metric labels.
func (d *process) names() []string {
	var out []string
	for _, p := range d.profiles {
		out = append(out, p.Name)
	}
	return out
}

// transport is how origins are reached: all three ways, or none of them offline.
type transport interface {
	upstream.Fetcher
	upstream.Passer
	upstream.Dialer
}

// fetcher returns the client, or what stands for it offline.
func (d *process) fetcher() transport {
	if d.config.Upstream.Offline {
		return upstream.Offline{}
	}
	return d.upstream
}

// client makes the upstream client from the configuration.
func (d *process) client() (*upstream.Client, error) {
	c := d.config.Upstream
	credentials, err := d.credentials()
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if c.CAFile != "" {
		more, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("upstream.ca_file: %w", err)
		}
		if !roots.AppendCertsFromPEM(more) {
			return nil, fmt.Errorf("upstream.ca_file: %s holds no certificate", c.CAFile)
		}
	}
	proxy := http.ProxyFromEnvironment
	if c.Proxy != "" {
		u, err := url.Parse(c.Proxy)
		if err != nil {
			return nil, fmt.Errorf("upstream.proxy: %w", err)
		}
		proxy = http.ProxyURL(u)
	}
	local := slices.Clone(c.AllowLoopback)
	var mirrors []upstream.Mirror
	for _, s := range c.Mirrors {
		m, err := upstream.ParseMirror(s)
		if err != nil {
			return nil, about("upstream.mirrors", err)
		}
		mirrors, local = append(mirrors, m), append(local, m.Host())
	}
	resolve := resolver(c.Nameservers)
	if resolve == nil {
		resolve = d.naming.lookup
	}
	return &upstream.Client{
		Resolve: resolve,
		Version: d.options.Version, Known: d.known, Roots: roots, Proxy: proxy, Credentials: credentials, PerHost: c.MaxPerHost,
		Mirrors: mirrors, MirrorsOnly: c.MirrorsOnly,
		AllowLoopback: func(hostport string) bool { return slices.Contains(local, hostport) },
		Own:           func(a netip.AddrPort) bool { return d.listeners != nil && d.listeners.own(a) },
		Observe:       d.observe,
		// No request runs before the handler is made.
		Reaches:           reaches,
		ClientCertificate: func(host string) { d.conduit.ClientCertificate(host) },
	}, nil
}

// resolver returns what looks names of origins up at these servers, or nil for the system's.
func resolver(servers []string) func(ctx context.Context, host string) ([]netip.Addr, error) {
	if len(servers) == 0 {
		return nil
	}
	var next atomic.Uint32
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		at, err := config.Nameserver(servers[int(next.Add(1)-1)%len(servers)]) // a second try asks another one
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, network, at.String())
	}}
	return func(ctx context.Context, host string) ([]netip.Addr, error) { return r.LookupNetIP(ctx, "ip", host) }
}

// observe counts what origins were asked.
func (d *process) observe(ecosystem string, status int, took time.Duration, bytes int64) {
	d.metrics.Asked(ecosystem, fmt.Sprint(status), took)
	d.metrics.Received(ecosystem, bytes)
}

// credentials collects those of the configuration and, if that says so, of the files that
// other programs keep.
func (d *process) credentials() ([]upstream.Credential, error) {
	var out []upstream.Credential
	for _, c := range d.config.Credentials {
		out = append(out, upstream.Credential{Prefix: c.Prefix, User: c.User, Password: upstream.Secret(c.Password.Reveal()), Token: upstream.Secret(c.Token.Reveal())})
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	for _, f := range []struct {
		use  bool
		path string
		read func(path string) ([]upstream.Credential, error)
	}{
		{d.config.Upstream.Netrc, filepath.Join(home, ".netrc"), readNetrc},
		{d.config.Upstream.DockerConfig, filepath.Join(home, ".docker", "config.json"), readDockerConfig},
	} {
		if !f.use {
			continue
		}
		more, err := f.read(f.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		out = append(out, more...)
	}
	for _, c := range out {
		if err := c.Validate(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readNetrc(path string) ([]upstream.Credential, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return upstream.ReadNetrc(f)
}

func readDockerConfig(path string) ([]upstream.Credential, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return upstream.ReadDockerConfig(f, oci.Origin)
}

// hostNames returns names by which clients may address the native endpoint.
func (d *process) hostNames() []string {
	name, err := os.Hostname()
	if err != nil {
		return nil
	}
	return []string{strings.ToLower(name), "host.docker.internal", "sutler"}
}
