package doctor

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"sutler/internal/ociruntime"
)

// dnsPort is the port of name servers as /proc writes it.
const dnsPort = ":0035"

// checkPort53 looks for who else listens where sutler's resolver would.
func checkPort53(_ context.Context, x *exam) []Finding {
	interfaces, err := x.Interfaces()
	if err != nil {
		return skipped("the interfaces of this machine: " + err.Error())
	}
	taken, err := x.resolversHere()
	if err != nil {
		return skipped("this system has no /proc/net: " + err.Error())
	}
	servers := x.nameServers()
	var out []Finding
	for _, a := range taken {
		bridge := a.IsUnspecified() || slices.Contains(bridgesOf(interfaces), a)
		own := x.up() && strings.Contains(x.status.Settings["dns.listen"], `"`+netip.AddrPortFrom(a, 53).String()+`"`)
		if !bridge || own {
			continue
		}
		who := "another program"
		if len(servers) > 0 {
			who = strings.Join(servers, " or ")
		}
		out = append(out, Finding{Severity: Warning, Where: netip.AddrPortFrom(a, 53).String(), What: who + " listens where sutler's resolver for containers would",
			Fix: "only `attach dns` needs the port; bind the other to its own addresses (dnsmasq: bind-interfaces, systemd-resolved: DNSStubListener)"})
	}
	if len(out) > 0 {
		return out
	}
	return ok("", "port 53 is free on the bridges")
}

// bridgesOf returns the addresses of container bridges.
func bridgesOf(interfaces map[string][]netip.Addr) []netip.Addr {
	var out []netip.Addr
	for name, addrs := range interfaces {
		if strings.HasPrefix(name, "docker") || strings.HasPrefix(name, "br-") || strings.HasPrefix(name, "podman") || strings.HasPrefix(name, "cni-podman") {
			out = append(out, addrs...)
		}
	}
	return out
}

// resolversHere returns the addresses on which somebody listens on port 53.
func (x *exam) resolversHere() ([]netip.Addr, error) {
	var out []netip.Addr
	var first error
	read := 0
	for _, f := range []struct{ name, state string }{{"udp", "07"}, {"udp6", "07"}, {"tcp", "0A"}, {"tcp6", "0A"}} {
		text, err := x.ReadFile("/proc/net/" + f.name)
		if err != nil {
			first = errors.Join(first, err)
			continue
		}
		read++
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != f.state {
				continue
			}
			address, isDNS := strings.CutSuffix(fields[1], dnsPort)
			if a, err := kernelAddr(address); isDNS && err == nil && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	if read == 0 {
		return nil, first
	}
	return out, nil
}

// kernelAddr reads an address as /proc writes it: words of four bytes, the last byte first.
func kernelAddr(text string) (netip.Addr, error) {
	b, err := hex.DecodeString(text)
	if err != nil {
		return netip.Addr{}, err
	}
	for i := 0; i+4 <= len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return a, fmt.Errorf("%q is no address", text)
	}
	return a.Unmap(), nil
}

// nameServers returns the names of known name servers among the processes.
func (x *exam) nameServers() []string {
	var out []string
	for _, name := range []string{"systemd-resolve", "dnsmasq", "named", "unbound", "coredns", "pdns_recursor", "stubby", "AdGuardHome"} {
		if x.processes(name) {
			out = append(out, name)
		}
	}
	return out
}

// processes reports whether a process of that name runs.
func (x *exam) processes(name string) bool {
	all, err := x.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(all, func(path string) bool {
		text, err := x.ReadFile(path) // it may have ended
		return err == nil && strings.TrimSpace(string(text)) == name
	})
}

// checkLeftovers looks for what an earlier attach left although nothing stands behind it.
func checkLeftovers(ctx context.Context, x *exam) []Finding {
	phases, at, err := x.attached()
	if err != nil {
		return skipped("the records of attach: " + err.Error())
	}
	var out []Finding
	var idle []string
	for _, name := range slices.Sorted(maps.Keys(phases)) {
		switch {
		case phases[name] != "attached":
			out = append(out, Finding{Severity: Broken, Where: at, What: fmt.Sprintf("a change of %s was broken off (%s)", name, phases[name]),
				Fix: "undo it; `sutler attach " + name + "` does it again", Command: "sutler detach " + name})
		case !x.up():
			idle = append(idle, name)
		}
	}
	if len(idle) > 0 {
		out = append(out, Finding{Severity: Broken, Where: at, What: strings.Join(idle, ", ") + ": attached to a sutler that is not running",
			Fix: "start sutler, or undo it: sutler detach " + strings.Join(idle, " "), Command: "sutler up"})
	}
	out = append(out, x.tables(ctx, len(phases) > 0)...)
	out = append(out, x.standIn(len(phases) > 0)...)
	out = append(out, x.staleSteps()...)
	out = append(out, x.trusted()...)
	if len(out) > 0 {
		return out
	}
	return ok(x.Config.Store.State, fmt.Sprintf("%d attached, nothing left over", len(phases)))
}

// attached reads the records of what was attached: how far each tool is, by its name, and
// the file that says so.
func (x *exam) attached() (phases map[string]string, at string, err error) {
	files, err := x.Glob(filepath.Join(x.Config.Store.State, "attach", "*.json"))
	if err != nil {
		return nil, "", err
	}
	phases = map[string]string{}
	for _, f := range files {
		text, err := x.ReadFile(f)
		if err != nil {
			return nil, "", err
		}
		var record struct {
			Tools map[string]struct{ Phase string }
		}
		if err := json.Unmarshal(text, &record); err != nil {
			return nil, "", fmt.Errorf("%s: %w", f, err)
		}
		for name, t := range record.Tools {
			phases[name], at = t.Phase, f
		}
	}
	return phases, at, nil
}

// tables looks for rules of the packet filter that nobody refers to.
func (x *exam) tables(ctx context.Context, attached bool) []Finding {
	if !x.Root {
		return []Finding{{Severity: Skipped, What: "packet filter: only root can list its tables"}}
	}
	text, err := x.Run(ctx, nil, "nft", "list", "tables")
	if err != nil {
		return []Finding{{Severity: Skipped, What: "packet filter: " + clientError(err).Error(), Where: "nft"}}
	}
	var out []Finding
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "table" || f[2] != "sutler" || attached || x.up() {
			continue
		}
		remove := func(ctx context.Context) error {
			_, err := x.Run(ctx, nil, "nft", "delete", "table", f[1], f[2])
			return err
		}
		out = append(out, Finding{Severity: Warning, Where: "nft", What: "rules of sutler are left in the packet filter, and nothing is attached"}.
			fixable("delete them", "nft delete table "+f[1]+" sutler", remove))
	}
	return out
}

// standIns are where `sutler runtime install` is told to put the program in place of runc.
var standIns = [...]string{"/usr/local/sbin/runc", "/usr/local/bin/runc", "/usr/local/sbin/crun", "/usr/local/bin/crun"}

// wrapperMark is in every sutler-runc, as the path of its main package.
const wrapperMark = "sutler/cmd/sutler-runc"

// standIn looks for a program in place of runc that nobody needs, or that starts nothing.
func (x *exam) standIn(attached bool) []Finding {
	var out []Finding
	for _, path := range standIns {
		text, err := x.ReadFile(path + ociruntime.InstallSuffix)
		if err != nil { // `up` writes none
			program, err := x.ReadFile(path)
			if err != nil || !bytes.Contains(program, []byte(wrapperMark)) {
				continue
			}
			text = []byte("{}")
		}
		var p ociruntime.Place
		gone := json.Unmarshal(text, &p) != nil
		if p.Runtime != "" {
			_, err := x.Stat(p.Runtime)
			gone = gone || err != nil
		}
		remove := "sutler runtime remove " + path
		switch {
		case gone:
			out = append(out, Finding{Severity: Broken, Where: path, What: "sutler's program stands in for a runtime that is not there: no container starts (" + p.Runtime + ")",
				Fix: "remove it, or install the runtime again", Command: remove})
		case !x.up() && !attached:
			out = append(out, Finding{Severity: Warning, Where: path, What: "sutler's program stands in for runc, and sutler is not running; containers start as without it",
				Fix: "remove it if it is no longer wanted", Command: remove})
		}
	}
	return out
}

// staleSteps looks for what a killed sutler left for build steps. Nobody is led by it: the
// socket beside it is dead.
func (x *exam) staleSteps() []Finding {
	path := filepath.Join(x.Config.Steps, ociruntime.SettingsName)
	if _, err := x.Stat(path); x.Config.Steps == "" || x.up() || err != nil {
		return nil
	}
	socket := filepath.Join(x.Config.Steps, ociruntime.SocketName)
	if c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: socket}); err == nil {
		_ = c.Close() // nothing was sent
		return nil    // another sutler, with a configuration of its own, serves steps from there
	}
	apply := func(context.Context) error { return errors.Join(x.Remove(path), x.Remove(socket)) }
	return []Finding{Finding{Severity: Warning, Where: x.Config.Steps, What: "settings for build steps are left of a sutler that was killed"}.
		fixable("delete them", "rm "+path+" "+socket, apply)}
}

// trusted looks for an authority that this host trusts, and that is not in use.
func (x *exam) trusted() []Finding {
	at := filepath.Join(x.Config.Store.State, "trust.json")
	text, err := x.ReadFile(at)
	if err != nil {
		return nil
	}
	var record struct {
		Entries []struct{ Kind, Path string }
	}
	undo := func(what string) []Finding {
		return []Finding{{Severity: Warning, Where: at, What: what, Fix: "take it out again; `sutler ca trust` puts the present one in", Command: "sutler ca untrust"}}
	}
	if err := json.Unmarshal(text, &record); err != nil {
		return undo("the record of trust stores cannot be read: " + err.Error())
	}
	if _, err := x.Stat(filepath.Join(x.Config.Store.State, "ca", "ca.pem")); errors.Is(err, fs.ErrNotExist) && len(record.Entries) > 0 {
		return undo(fmt.Sprintf("%d trust stores of this host hold a local authority that is gone", len(record.Entries)))
	}
	for _, e := range record.Entries {
		held, err := x.ReadFile(e.Path)
		present := strings.Contains(x.status.CA.PEM, strings.TrimSpace(string(held))) // there are two while one replaces the other
		if x.up() && e.Kind == "file" && err == nil && !present {
			return undo("this host trusts an earlier local authority: " + e.Path)
		}
	}
	return nil
}
