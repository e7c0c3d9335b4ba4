package intercept

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen listens on address, also if it does not exist yet: the bridge of a container
// engine comes and goes with the engine.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			if strings.HasSuffix(network, "6") {
				failed = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
				return
			}
			failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
		})
		return errors.Join(err, failed)
	}}
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s for intercepted connections: %w", address, err)
	}
	return l, nil
}

// original returns the address that the client of c connected to before the packet filter
// led it here, or the zero AddrPort if it connected to this address or nobody knows.
func original(c *net.TCPConn) netip.AddrPort {
	raw, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}
	}
	local, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	here := netip.AddrPortFrom(local.AddrPort().Addr().Unmap(), local.AddrPort().Port())
	var to netip.AddrPort
	err = raw.Control(func(fd uintptr) {
		if here.Addr().Is4() {
			to = original4(fd)
		} else {
			to = original6(fd)
		}
	})
	if err != nil || to == here {
		return netip.AddrPort{}
	}
	return to
}

// soOriginalDst is SO_ORIGINAL_DST of linux/netfilter_ipv4.h and IP6T_SO_ORIGINAL_DST of
// linux/netfilter_ipv6/ip6_tables.h.
const soOriginalDst = 80

// original4 asks the connection tracking for IPv4. The kernel writes a sockaddr_in, which
// is smaller than the structure that the call below hands over.
func original4(fd uintptr) netip.AddrPort {
	m, err := unix.GetsockoptIPv6Mreq(int(fd), unix.SOL_IP, soOriginalDst)
	if err != nil {
		return netip.AddrPort{}
	}
	b := m.Multiaddr // sockaddr_in: family, port, address
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3]))
}

// original6 asks the connection tracking for IPv6: a sockaddr_in6 and what follows it.
func original6(fd uintptr) netip.AddrPort {
	m, err := unix.GetsockoptIPv6MTUInfo(int(fd), unix.SOL_IPV6, soOriginalDst)
	if err != nil {
		return netip.AddrPort{}
	}
	port := binary.NativeEndian.AppendUint16(nil, m.Addr.Port) // it is in network order
	return netip.AddrPortFrom(netip.AddrFrom16(m.Addr.Addr), uint16(port[0])<<8|uint16(port[1]))
}
