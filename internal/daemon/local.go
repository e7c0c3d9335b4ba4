package daemon

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
			if own.Addr() == to || own.Contains(to) && !own.Contains(client) && (dns.IsBridge(i.Name) || isInner(sysNet, i.Name)) {
				return false
			}
		}
	}
	return true
}

// sysNet is where the kernel describes the network interfaces.
const sysNet = "/sys/class/net"

// isInner reports whether an interface is a bridge that leads to nothing outside this
// machine: containers and virtual machines are on it, whatever it is called. One of a
// network outside has a port with a device, or with another interface below it.
func isInner(sys, name string) bool {
	if _, err := os.Stat(filepath.Join(sys, name, "bridge")); err != nil {
		return false
	}
	ports, _ := os.ReadDir(filepath.Join(sys, name, "brif")) // none: nobody is on it
	return !slices.ContainsFunc(ports, func(port os.DirEntry) bool {
		parts, _ := os.ReadDir(filepath.Join(sys, port.Name())) // none: it has just gone
		return slices.ContainsFunc(parts, func(e os.DirEntry) bool { return e.Name() == "device" || strings.HasPrefix(e.Name(), "lower_") })
	})
}
