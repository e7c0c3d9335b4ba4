package ingress

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"sutler/internal/policy"
)

// A Visit is one connection of a client: where it leads, and whose it is.
type Visit struct {
	To    Target
	Build string     // "" if that is not known
	Peer  netip.Addr // the client's; the zero Addr if it has none
	// Direct says that the client itself connected to the address and port of To, and was
	// led here on its way: it may go on to where it would have come without sutler.
	Direct bool
	// Stranger says that the client is no build's and did not ask for sutler: its connection is
	// tunnelled whatever the rules for builds say.
	Stranger bool
}

// A Target is where a connection leads.
type Target struct {
	Host    string // lower case, no dot at its end
	Port    int
	Address bool // Host is an IP address
}

// String returns host:port.
func (t Target) String() string { return net.JoinHostPort(t.Host, strconv.Itoa(t.Port)) }

// ParseTarget reads host:port, as CONNECT has it, and nothing else.
func ParseTarget(s string) (Target, error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return Target{}, fmt.Errorf("write CONNECT host:port: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return Target{}, fmt.Errorf("write CONNECT host:port: %q is no port", text)
	}
	t := Target{Host: strings.TrimSuffix(strings.ToLower(host), "."), Port: int(port)}
	if a, err := netip.ParseAddr(t.Host); err == nil {
		t.Address = true
		t.Host = a.String()
		return t, nil
	}
	if !isName(t.Host) {
		return Target{}, fmt.Errorf("write CONNECT host:port: %q is no host", host)
	}
	return t, nil
}

// isName reports whether host, in lower case, is a DNS name. One whose last label begins
// with a digit is none: some programs take 127.1 or 0x7f.1 for an address.
func isName(host string) bool {
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" ||
		strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") || strings.Contains(host, "..") {
		return false
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last[0] < '0' || last[0] > '9'
}

// errTunnel is the refusal of a tunnel that only programs and builds of this machine get.
var errTunnel = fmt.Errorf("%w: only builds of this machine get tunnels to addresses and to other ports than 443", policy.ErrRefused)

// anywhere refuses tunnels to other ports than 443, and to hosts without a name. The address
// guard of package upstream holds in any case.
func (v Visit) anywhere() error {
	if v.Direct || v.To.Port == 443 && !v.To.Address {
		return nil
	}
	return fmt.Errorf("%s: %w", v.To, errTunnel)
}
