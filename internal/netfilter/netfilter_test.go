package netfilter

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const golden = `table inet sutler
delete table inet sutler
table inet sutler {
	set alive {
		type ifname
		flags timeout
	}
	set alive6 {
		type ifname
		flags timeout
	}
	chain dns {
		type nat hook prerouting priority dstnat - 10; policy accept;
		meta nfproto ipv4 iifname "docker0" iifname @alive udp dport 53 dnat ip to 172.17.0.1:53
		meta nfproto ipv4 iifname "docker0" iifname @alive tcp dport 53 dnat ip to 172.17.0.1:53
		meta nfproto ipv6 iifname "docker0" iifname @alive6 udp dport 53 dnat ip6 to [fd00:17::1]:53
		meta nfproto ipv6 iifname "docker0" iifname @alive6 tcp dport 53 dnat ip6 to [fd00:17::1]:53
		meta nfproto ipv6 iifname "br-1" iifname @alive6 udp dport 53 dnat ip6 to [fe80::1]:5353
		meta nfproto ipv6 iifname "br-1" iifname @alive6 tcp dport 53 dnat ip6 to [fe80::1]:5353
		meta nfproto ipv4 iifname "br-2" ip daddr 172.18.0.0/16 ip daddr != 172.18.0.1 meta l4proto { tcp, udp } th dport 53 return
		meta nfproto ipv4 iifname "br-2" iifname @alive udp dport 53 dnat ip to 172.18.0.1:4053
		meta nfproto ipv4 iifname "br-2" iifname @alive tcp dport 53 dnat ip to 172.18.0.1:4053
		meta nfproto ipv4 iifname "br-2" ip daddr 192.0.2.80 tcp dport { 80, 443 } dnat ip to 172.18.0.1:4080
	}
}
`

func TestRules(t *testing.T) {
	redirects := []Redirect{
		{Bridge: "docker0", To: netip.MustParseAddrPort("172.17.0.1:53")},
		{Bridge: "docker0", To: netip.MustParseAddrPort("[fd00:17::1]:53")},
		{Bridge: "br-1", To: netip.MustParseAddrPort("[fe80::1%br-1]:5353")},
		{Bridge: "br-2", To: netip.MustParseAddrPort("172.18.0.1:4053"), Web: netip.MustParseAddrPort("172.18.0.1:4080"), Near: netip.MustParsePrefix("172.18.0.1/16")},
	}
	if got := Rules(redirects); got != golden {
		t.Errorf("Rules:\n%s", got)
	}
	path, err := exec.LookPath("nft")
	if err != nil || os.Getuid() != 0 {
		t.Skip("nft and root are needed to check the rules")
	}
	cmd := exec.CommandContext(t.Context(), path, "--check", "-f", "-") // changes nothing
	cmd.Stdin = strings.NewReader(Rules(redirects) + renewal(redirects))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nft: %v\n%s", err, out)
	}
}
