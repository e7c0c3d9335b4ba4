package upstream

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// A place says how far an address may be trusted as the target of a connection.
type place int

const (
	nowhere  place = iota // never connected to: link-local, multicast, unspecified, cloud metadata
	loopback              // only where configuration says so
	private               // private, shared or reserved space: only for known hosts
	public
)

// metadata lists addresses under which clouds hand credentials to their machines. The
// link-local ones among them are covered by their range.
var metadata = addresses(
	"100.100.100.200", // Alibaba Cloud
	"168.63.129.16",   // Azure, in public space
	"192.0.0.192",     // Oracle Cloud
	"fd00:ec2::254",   // AWS
	"fd20:ce::254",    // Google Cloud
	"fd00:42::42",     // Scaleway
)

// reserved lists the IPv4 ranges that are not public (IANA special-purpose registry).
var reserved = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
)

// global is the only IPv6 range that is public, except for what reserved6 takes out:
// protocol assignments with Teredo, documentation, 6to4.
var (
	global    = netip.MustParsePrefix("2000::/3")
	reserved6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

// Ranges of IPv6 that carry an IPv4 address, which then decides.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
	compatible = netip.MustParsePrefix("::/96")
)

// placeOf says where an address leads. An address that carries another one leads where
// that one leads, but is public only if the network itself translates it (NAT64, mapped).
func placeOf(a netip.Addr) place {
	a = a.WithZone("").Unmap()
	if a.Is4() {
		return place4(a)
	}
	switch {
	case metadata[a], a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast():
		return nowhere
	case a.IsLoopback():
		return loopback
	}
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return place4(netip.AddrFrom4([4]byte(b[12:])))
	case nat64Local.Contains(a), compatible.Contains(a):
		return atMostPrivate(netip.AddrFrom4([4]byte(b[12:])))
	case sixToFour.Contains(a):
		return atMostPrivate(netip.AddrFrom4([4]byte(b[2:6])))
	case teredo.Contains(a): // the client's address, inverted
		var v4 [4]byte
		binary.BigEndian.PutUint32(v4[:], ^binary.BigEndian.Uint32(b[12:]))
		return atMostPrivate(netip.AddrFrom4(v4))
	case global.Contains(a) && !within(reserved6, a):
		return public
	}
	return private
}

// place4 says where an IPv4 address leads.
func place4(a netip.Addr) place {
	switch {
	case metadata[a], a.As4()[0] == 0, a.IsMulticast(), a.IsLinkLocalUnicast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return nowhere
	case a.IsLoopback():
		return loopback
	case within(reserved, a):
		return private
	}
	return public
}

// atMostPrivate is place4 for an address reached by a mechanism that public names do not use.
// A loopback address behind a translator is nowhere: it is not ours.
func atMostPrivate(a netip.Addr) place {
	if p := place4(a); p == nowhere || p == loopback {
		return nowhere
	}
	return private
}

// check returns ErrBlocked if a connection for host:port must not go to that address. It
// is called with the very address that is dialled next.
func (c *Client) check(ctx context.Context, host, hostport string, to netip.AddrPort) error {
	to = netip.AddrPortFrom(to.Addr().WithZone("").Unmap(), to.Port())
	if c.Own != nil && c.Own(to) {
		return fmt.Errorf("%w: %s is an address of sutler itself", ErrBlocked, hostport)
	}
	if c.isProxy(hostport) {
		return nil // configured by name or address, wherever it is
	}
	switch placeOf(to.Addr()) {
	case public:
		return nil
	case private:
		if c.known(host) || c.reaches(ctx, to.Addr()) {
			return nil
		}
	case loopback:
		if c.AllowLoopback != nil && c.AllowLoopback(hostport) {
			return nil
		}
	}
	return fmt.Errorf("%w: %s leads to %s", ErrBlocked, hostport, to.Addr())
}

// known reports whether host is named in a profile or in the configuration.
func (c *Client) known(host string) bool { return c.Known != nil && c.Known(host) }

// within reports whether a lies in one of the ranges.
func within(ranges []netip.Prefix, a netip.Addr) bool {
	for _, p := range ranges {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addresses parses a constant list.
func addresses(list ...string) map[netip.Addr]bool {
	set := make(map[netip.Addr]bool, len(list))
	for _, s := range list {
		set[netip.MustParseAddr(s)] = true
	}
	return set
}

// prefixes parses a constant list.
func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}
