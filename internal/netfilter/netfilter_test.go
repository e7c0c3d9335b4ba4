package netfilter

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const golden = `table ip sutler
delete table ip sutler
table ip sutler {
	set alive {
		type ifname
		flags timeout
	}
	chain dns {
		type nat hook prerouting priority dstnat - 10; policy accept;
		iifname "docker0" iifname @alive udp dport 53 dnat to 172.17.0.1:53
		iifname "docker0" iifname @alive tcp dport 53 dnat to 172.17.0.1:53
	}
}
`

func TestRules(t *testing.T) {
	redirects := []Redirect{{"docker0", netip.MustParseAddrPort("172.17.0.1:53")}}
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
