package daemon

import (
	"net"
	"net/netip"
	"slices"

	"sutler/internal/ingress/dns"
)

// local reports whether a client belongs to a build of this machine, or runs on it: it knows
// perhaps nothing of sutler, and must lose nothing by it. All others may be containers that
// their network keeps from something.
func (d *process) local(build string, peer netip.Addr) bool {
	switch {
	case peer.Unmap().IsLoopback():
		return true
	case build != "":
		if _, begun := d.terms.Load(build); begun {
			return true
		}
		return d.steps.records.has(build) && d.peers.mayBe(build, peer.Unmap())
	}
	return d.peers.step(peer.Unmap()) != "" // some clients do not send the name of their build
}

// reaches reports whether a client reaches a private address without us, and with the same
// effect. This machine's own addresses are not among them: from here they are reached past
// its packet filter. Nor are containers on another bridge than the client's.
func reaches(client, to netip.Addr) bool {
	if client.IsLoopback() {
		return true
	}
	all, err := net.Interfaces()
	if err != nil {
		return false
	}
	inner := innerBridges()
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			own := netip.PrefixFrom(p.Addr().Unmap(), p.Bits())
			if own.Addr() == to || own.Contains(to) && !own.Contains(client) && (dns.IsBridge(i.Name) || slices.Contains(inner, i.Index)) {
				return false
			}
		}
	}
	return true
}
