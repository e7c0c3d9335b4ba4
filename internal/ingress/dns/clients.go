package dns

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clients knows who may ask. Without configuration these are this machine and the private
// networks of the interfaces that are listened on, and of bridges.
type clients struct {
	configured []netip.Prefix
	listen     []netip.AddrPort

	nets atomic.Pointer[[]netip.Prefix]

	mu     sync.Mutex
	looked time.Time
}

// allows reports whether a client may ask. Networks come and go: for one that is not known
// the interfaces are looked at again, once a second at most.
func (c *clients) allows(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if len(c.configured) > 0 {
		return within(c.configured, a)
	}
	if nets := c.nets.Load(); nets != nil && within(*nets, a) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if nets := c.nets.Load(); nets != nil && (within(*nets, a) || time.Since(c.looked) < time.Second) {
		return within(*nets, a)
	}
	nets := c.look()
	c.nets.Store(&nets)
	c.looked = time.Now()
	return within(nets, a)
}

// look returns the private networks of the interfaces that count.
func (c *clients) look() []netip.Prefix {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []netip.Prefix
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it is gone
		}
		var nets []netip.Prefix
		counts := IsBridge(i.Name)
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			counts = counts || c.listensOn(p.Addr())
			if in := p.Addr(); in.IsPrivate() || in.IsLoopback() || in.IsLinkLocalUnicast() {
				nets = append(nets, p.Masked())
			} else {
				nets = append(nets, netip.PrefixFrom(in, in.BitLen())) // this machine, not its neighbours
			}
		}
		if counts {
			out = append(out, nets...)
		}
	}
	return out
}

func (c *clients) listensOn(a netip.Addr) bool {
	for _, l := range c.listen {
		if l.Addr() == a {
			return true
		}
	}
	return false
}

// place returns where intercepted hosts are for those who ask at an address: there, but for
// one of IPv6 at the IPv4 listener of the same interface, if it has one. Clients that ask
// both would else be told by each that the host has no address of the other family, and
// musl believes whoever says so first.
func (r *Resolver) place(at netip.Addr) netip.Addr {
	if at = at.Unmap(); at.Is4() {
		return at
	}
	all, err := net.Interfaces()
	if err != nil {
		return at
	}
	for _, i := range all {
		beside, here := at, false
		addrs, err := i.Addrs()
		if err != nil {
			continue // it is gone
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			here = here || p.Addr() == at.WithZone("") && (at.Zone() == "" || at.Zone() == i.Name)
			if p.Addr().Is4() && r.clients.listensOn(p.Addr()) {
				beside = p.Addr()
			}
		}
		if here {
			return beside
		}
	}
	return at
}

// IsBridge reports whether an interface has the name of a container engine's bridge. Other
// programs, and people, call their bridges br-lan or br-ex: docker's have twelve digits.
func IsBridge(name string) bool {
	for _, b := range [...]string{"docker", "podman", "cni-podman", "buildkit"} {
		if strings.HasPrefix(name, b) {
			return true
		}
	}
	digits, ok := strings.CutPrefix(name, "br-")
	return ok && len(digits) == 12 && strings.Trim(digits, "0123456789abcdef") == ""
}

func within(nets []netip.Prefix, a netip.Addr) bool {
	for _, p := range nets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
