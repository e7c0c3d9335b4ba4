package daemon

import (
	"net/netip"
	"testing"
)

// TestReaches keeps containers from this machine's own addresses, and those of other bridges.
func TestReaches(t *testing.T) {
	container, elsewhere := netip.MustParseAddr("172.31.255.7"), netip.MustParseAddr("10.255.254.253")
	if !reaches(container, elsewhere) || !reaches(netip.MustParseAddr("127.0.0.1"), elsewhere) {
		t.Error("a client does not reach another machine")
	}
	own := netip.MustParseAddr("127.0.0.1")
	if reaches(container, own) || !reaches(netip.IPv6Loopback(), own) {
		t.Error("an address of this machine")
	}
}
