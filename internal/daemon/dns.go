package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"sutler/internal/config"
	"sutler/internal/ingress/dns"
	"sutler/internal/netfilter"
)

// usualEngine is where the API of a container engine is if nobody says otherwise.
const usualEngine = "unix:///var/run/docker.sock"

// openDNS makes the resolver, if names are to be answered anywhere.
func (d *process) openDNS(context.Context) error {
	r, err := d.naming.check(d.config)
	if err == nil {
		d.naming.replace(r)
	}
	return err
}

// newResolver makes the resolver of a configuration. Nothing of it runs.
func (d *process) newResolver(configured config.Config) (*dns.Resolver, error) {
	c := configured.DNS
	o := dns.Options{ResolvConf: c.ResolvConf, ResolvedConf: dns.ResolvedConf, Log: d.options.Log, Trouble: d.trouble.add,
		Count: func(zone dns.Kind, result string) { d.metrics.Named(string(zone), result) }}
	if c.Intercept {
		o.Intercept = d.divertible(configured.Intercept.Except)
		d.trouble.add(unserved(configured))
	}
	var err error
	if o.Listen, o.Clients, o.Address, err = places(c); err != nil {
		return nil, err
	}
	if o.Upstreams, err = dns.ParseUpstreams(c.Upstreams); err != nil {
		return nil, fmt.Errorf("dns.upstreams: %w", err)
	}
	if o.Zones, err = zones(c); err != nil {
		return nil, err
	}
	return dns.New(o)
}

// unserved returns an error if names are led to an address where nobody serves what clients
// then ask for: ports 80 and 443 belong to intercept.listen, or to whoever has dns.address.
func unserved(c config.Config) error {
	if len(c.DNS.Listen) == 0 || len(c.Intercept.Listen) > 0 || c.DNS.Address != "" {
		return nil
	}
	return errors.New("dns.intercept leads hosts of ecosystems to sutler, but nothing serves them there: set intercept.listen to ports 80 and 443 of that address, or dns.intercept = false")
}

// divertible returns the hosts whose names lead to sutler: those of the ecosystems without
// the ones that are never opened.
func (d *process) divertible(except []string) []string {
	return slices.DeleteFunc(d.intercepted(), func(h string) bool { return slices.Contains(except, h) })
}

// places reads the addresses of the configuration, which checked most of them.
func places(c config.DNS) (listen []netip.AddrPort, clients []netip.Prefix, address netip.Addr, err error) {
	for _, text := range c.Listen {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, nil, address, fmt.Errorf("dns.listen: %w", err)
		}
		listen = append(listen, a)
	}
	for _, text := range c.Clients {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, nil, address, fmt.Errorf("dns.clients: %w", err)
		}
		clients = append(clients, p.Masked())
	}
	if c.Address != "" {
		address, err = netip.ParseAddr(c.Address)
	}
	return listen, clients, address, err
}

// zones returns the zones of the configuration; where a name occurs twice, the later wins.
func zones(c config.DNS) ([]dns.Zone, error) {
	var out []dns.Zone
	if c.Domain != "" {
		out = append(out, dns.Zone{Name: c.Domain, Kind: dns.Containers, Engine: engineOf(c)})
	}
	if c.Rawdns != "" {
		text, err := os.ReadFile(c.Rawdns)
		if err != nil {
			return nil, fmt.Errorf("dns.rawdns: %w", err)
		}
		more, err := dns.ReadRawdns(text)
		if err != nil {
			return nil, fmt.Errorf("dns.rawdns: %s: %w", c.Rawdns, err)
		}
		out = append(out, more...)
	}
	for _, text := range c.Zones {
		z, err := dns.ParseZone(text)
		if err != nil {
			return nil, fmt.Errorf("dns.zones: %w", err)
		}
		out = append(out, z)
	}
	static, err := dns.ParseStatic(c.Static)
	if err != nil {
		return nil, fmt.Errorf("dns.static: %w", err)
	}
	return append(out, static...), nil
}

// engineOf returns the engine that knows containers: the configured one, or the one that
// docker's own client would ask.
func engineOf(c config.DNS) dns.Engine {
	if c.Engine != "" {
		return dns.Engine{URL: c.Engine}
	}
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		return dns.Engine{URL: usualEngine}
	}
	e := dns.Engine{URL: host}
	if dir := os.Getenv("DOCKER_CERT_PATH"); dir != "" {
		e.CA, e.Cert, e.Key, e.Verify = dir+"/ca.pem", dir+"/cert.pem", dir+"/key.pem", os.Getenv("DOCKER_TLS_VERIFY") != ""
	}
	return e
}

// Redirects returns where the DNS of each configured bridge is sent, by family: to the
// listener on the bridge's own address, else to the first one of that family.
func Redirects(c config.Config) []netfilter.Redirect {
	var families [2][]netip.AddrPort // IPv4, IPv6
	for _, text := range c.DNS.Listen {
		a, err := netip.ParseAddrPort(text)
		switch {
		case err != nil: // openDNS says so
		case a.Addr().Is4():
			families[0] = append(families[0], a)
		default:
			families[1] = append(families[1], a)
		}
	}
	var out []netfilter.Redirect
	for _, bridge := range c.DNS.Redirect {
		own := addressesOf(bridge)
		for _, listen := range families {
			if len(listen) == 0 {
				continue
			}
			i := slices.IndexFunc(listen, func(l netip.AddrPort) bool { return slices.Contains(own, l.Addr()) })
			out = append(out, netfilter.Redirect{Bridge: bridge, To: listen[max(i, 0)]})
		}
	}
	return out
}

// addressesOf returns the addresses of an interface; of one that is not there, none.
func addressesOf(name string) []netip.Addr {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	all, err := i.Addrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}
