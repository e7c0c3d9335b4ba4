package daemon

import (
	"net/netip"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// TestInnerBridges keeps clients from bridges of containers and virtual machines, which may
// have any name, and not from those that join this machine to a network outside.
func TestInnerBridges(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skip("a network of its own needs root: ", err)
	}
	for _, args := range [][]string{
		{"link", "add", "mynet", "type", "bridge"}, {"addr", "add", "10.99.1.1/24", "dev", "mynet"},
		{"link", "add", "v1", "type", "veth", "peer", "name", "v2"}, {"link", "set", "v1", "master", "mynet"},
		{"link", "add", "lan", "type", "bridge"}, {"addr", "add", "10.99.2.1/24", "dev", "lan"},
		{"link", "add", "x1", "type", "vxlan", "id", "7", "dstport", "4789", "remote", "192.0.2.1"}, {"link", "set", "x1", "master", "lan"},
	} {
		if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
			t.Skipf("ip %v: %v: %s", args, err, out)
		}
	}
	client := netip.MustParseAddr("172.17.0.3")
	for to, want := range map[string]bool{"10.99.1.7": false, "10.99.2.7": true, "10.99.3.7": true, "10.99.2.1": false} {
		if reaches(client, netip.MustParseAddr(to)) != want {
			t.Errorf("%s: %v", to, !want)
		}
	}
	if !reaches(netip.MustParseAddr("10.99.1.9"), netip.MustParseAddr("10.99.1.7")) {
		t.Error("a neighbour on the same bridge")
	}
}
