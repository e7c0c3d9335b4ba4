// Package netfilter sends what containers ask any resolver to sutler's, for as long as
// sutler lives.
//
// One table of the kernel's packet filter holds a set of bridges whose elements vanish after
// three seconds. Sutler renews them every second; if it is killed, nobody does, and names
// are again looked up where they were before. The table is sutler's own: nothing else is
// changed, and removing it undoes everything.
package netfilter

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"
)

// Table is the name of the table, of family inet.
const Table = "sutler"

const (
	// renewEvery and lapse are the pulse of the dead man's switch.
	renewEvery = time.Second
	lapse      = 3 * time.Second
	// callWithin bounds one call of nft.
	callWithin = 2 * time.Second
)

// A Redirect sends the DNS of one bridge to a resolver: what containers ask over IPv4 if To is
// an address of IPv4, else what they ask over IPv6. A bridge may have one of each.
type Redirect struct {
	Bridge string // name of the interface
	To     netip.AddrPort
	// Web is where connections to ports 80 and 443 of StandIn are sent, also while sutler does
	// not renew: whoever still has that address is refused at once. Not valid: nowhere.
	Web netip.AddrPort
	// Near is the network of the bridge. What its containers ask each other stays between them:
	// where the kernel has bridges pass the packet filter (br_netfilter, which docker loads), that
	// comes by here too. Not valid: there is none.
	Near netip.Prefix
}

// StandIn is what names are answered with whose connections are sent to [Redirect.Web]. It is
// nobody's (TEST-NET-1, RFC 5737), so no port of the bridge's own address is taken from those
// who publish or use it.
var StandIn = netip.AddrFrom4([4]byte{192, 0, 2, 80})

// A family is how nft speaks of one of the two.
type family struct{ protocol, keyword, set string }

// families are both. Each has a set of its own: one listener may be alive without the other.
var families = [...]family{{"ipv4", "ip", "alive"}, {"ipv6", "ip6", "alive6"}}

func (r Redirect) family() family {
	if r.To.Addr().Unmap().Is4() {
		return families[0]
	}
	return families[1]
}

// target returns where to, as nft reads it: an address has no zone in a rule.
func (r Redirect) target() string {
	return netip.AddrPortFrom(r.To.Addr().Unmap().WithZone(""), r.To.Port()).String()
}

// Rules returns the rule set, as nft reads it. It replaces a table that an earlier process
// left, in one step, and does nothing until bridges are put into the set.
func Rules(redirects []Redirect) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s\ndelete table inet %s\ntable inet %s {\n", Table, Table, Table)
	for _, f := range families {
		fmt.Fprintf(&b, "\tset %s {\n\t\ttype ifname\n\t\tflags timeout\n\t}\n", f.set)
	}
	b.WriteString("\tchain dns {\n\t\ttype nat hook prerouting priority dstnat - 10; policy accept;\n")
	for _, r := range redirects {
		f := r.family()
		if at := r.To.Addr().Unmap().WithZone(""); r.Near.IsValid() && r.Near.Contains(at) {
			fmt.Fprintf(&b, "\t\tmeta nfproto %s iifname %q %s daddr %s %s daddr != %s meta l4proto { tcp, udp } th dport 53 return\n", f.protocol, r.Bridge, f.keyword, r.Near.Masked(), f.keyword, at)
		}
		for _, protocol := range [...]string{"udp", "tcp"} {
			fmt.Fprintf(&b, "\t\tmeta nfproto %s iifname %q iifname @%s %s dport 53 dnat %s to %s\n", f.protocol, r.Bridge, f.set, protocol, f.keyword, r.target())
		}
		if r.Web.IsValid() {
			fmt.Fprintf(&b, "\t\tmeta nfproto ipv4 iifname %q ip daddr %s tcp dport { 80, 443 } dnat ip to %s\n", r.Bridge, StandIn, r.Web)
		}
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}

// renewal returns what puts the bridges into their sets for another while. An element that is
// there keeps its old deadline when it is added again, so it is taken out in the same step;
// the first line is there so that it can be.
func renewal(redirects []Redirect) string {
	var b strings.Builder
	for _, f := range families {
		var plain, timed []string
		for _, r := range redirects {
			if r.family() == f {
				plain = append(plain, fmt.Sprintf("%q", r.Bridge))
				timed = append(timed, fmt.Sprintf("%q timeout %s", r.Bridge, lapse))
			}
		}
		if len(plain) == 0 {
			continue
		}
		names, at := strings.Join(plain, ", "), "element inet "+Table+" "+f.set
		fmt.Fprintf(&b, "add %s { %s }\ndelete %s { %s }\nadd %s { %s }\n", at, names, at, names, at, strings.Join(timed, ", "))
	}
	return b.String()
}

// A Switch is the dead man's switch. All members but Changes are required.
type Switch struct {
	Redirects []Redirect
	// Changes gives redirects that take the place of those before, at least one, in one step.
	Changes <-chan []Redirect
	// Alive returns nil if the resolver at that address answers; bridges of one that does not
	// are left alone.
	Alive   func(context.Context, netip.AddrPort) error
	Trouble func(error) // somebody may have to act
}

// Run redirects until ctx is done, then removes the table. If the table cannot be made or
// vanishes, it is made again.
func (s Switch) Run(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	defer s.remove(context.WithoutCancel(ctx))
	loaded, told := false, ""
	for {
		err := s.renew(ctx, &loaded)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			s.Trouble(fmt.Errorf("dns.redirect: %w", err))
		}
		select {
		case <-ctx.Done():
			return
		case s.Redirects = <-s.Changes:
			loaded = false
		case <-tick.C:
		}
	}
}

// renew makes the table if need be, and says for another while that sutler lives.
func (s Switch) renew(ctx context.Context, loaded *bool) error {
	var alive []Redirect
	for _, r := range s.Redirects {
		if s.Alive(ctx, r.To) == nil { // why not, is for the one that listens to say
			alive = append(alive, r)
		}
	}
	if len(alive) == 0 {
		return nil
	}
	commands := renewal(alive)
	if !*loaded {
		commands = Rules(s.Redirects) + commands
	}
	err := nft(ctx, commands)
	*loaded = err == nil // somebody may have flushed all rules
	return err
}

func (s Switch) remove(ctx context.Context) {
	if err := Remove(ctx); err != nil {
		s.Trouble(fmt.Errorf("dns.redirect: %w", err))
	}
}

// Remove removes the table; none is fine.
func Remove(ctx context.Context) error {
	return nft(ctx, fmt.Sprintf("table inet %s\ndelete table inet %s\n", Table, Table))
}

// nft runs commands in one transaction.
func nft(ctx context.Context, commands string) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(commands)
	defer bind(cmd)()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("nft (needs root and the package nftables): %w: %s", err, strings.TrimSpace(firstLine(stderr.String())))
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
