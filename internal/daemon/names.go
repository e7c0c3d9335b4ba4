package daemon

import (
	"log/slog"
	"slices"

	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ingress/dns"
	"sutler/internal/netfilter"
)

// DescribeNames says how a configuration has names answered. It changes nothing.
func DescribeNames(c config.Config) (control.Names, error) {
	n := control.Names{Listen: c.DNS.Listen, Redirect: c.DNS.Redirect, Upstreams: c.DNS.Upstreams}
	all, err := zones(c.DNS)
	if err != nil {
		return n, err
	}
	for _, z := range all {
		shown := control.NamesZone{Name: z.Name, Kind: string(z.Kind), By: z.Records}
		for _, u := range z.Upstreams {
			shown.By = append(shown.By, u.String())
		}
		if z.Kind == dns.Containers {
			shown.By = []string{z.Engine.URL}
		}
		n.Zones = append(n.Zones, shown)
	}
	if len(n.Upstreams) == 0 {
		for _, u := range dns.HostUpstreams(c.DNS.ResolvConf, dns.ResolvedConf) {
			n.Upstreams = append(n.Upstreams, u.String())
		}
	}
	if c.DNS.Bridges {
		n.Redirect = append(slices.Clone(n.Redirect), "every bridge of containers")
	}
	d := &process{config: c, options: Options{Log: slog.New(slog.DiscardHandler)}, trouble: trouble{log: slog.New(slog.DiscardHandler)}}
	if c.DNS.Intercept && (len(c.DNS.Listen) > 0 || c.DNS.Bridges) {
		if err := d.openEcosystems(); err != nil {
			return n, err
		}
		n.Intercepted = len(d.divertible(c.Intercept.Except))
	}
	if redirects := Redirects(c); len(redirects) > 0 {
		n.Rules = netfilter.Rules(redirects)
	}
	return n, nil
}
