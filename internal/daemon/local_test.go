package daemon

import (
	"net/netip"
	"os"
	"path/filepath"
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

// TestInner tells bridges of containers and virtual machines, which may have any name, from
// those that join this machine to a network outside.
func TestInner(t *testing.T) {
	sys := t.TempDir()
	for _, path := range []string{
		"mynet/bridge", "mynet/brif/veth1", "veth1/brport", "veth1/upper_mynet", "empty/bridge", "empty/brif",
		"lan/bridge", "lan/brif/eth1", "lan/brif/veth2", "eth1/device", "veth2/brport", "tagged/bridge", "tagged/brif/eth1.7", "eth1.7/lower_eth1",
	} {
		if err := os.MkdirAll(filepath.Join(sys, path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]bool{"mynet": true, "empty": true, "lan": false, "tagged": false, "eth1": false, "none": false} {
		if isInner(sys, name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
