package dns

import (
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// ResolvConf and ResolvedConf are where hosts name their resolvers.
	ResolvConf   = "/etc/resolv.conf"
	ResolvedConf = "/run/systemd/resolve/resolv.conf"
	// lookAgain is how often the host's files are looked at, if there are queries.
	lookAgain = 2 * time.Second
	// dnsPort is where resolvers listen.
	dnsPort = 53
)

// hostUpstreams are the resolvers of this host, as its files name them now.
type hostUpstreams struct {
	paths [2]string
	fixed []netip.AddrPort // instead of the files
	own   func(netip.AddrPort) bool

	mu     sync.Mutex
	looked time.Time
	stamp  [2]fileStamp
	found  []netip.AddrPort
}

// A fileStamp tells versions of a file apart.
type fileStamp struct {
	size     int64
	modified time.Time
}

// list returns the resolvers to ask.
func (h *hostUpstreams) list() []netip.AddrPort {
	if len(h.fixed) > 0 {
		return h.fixed
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.looked.IsZero() && time.Since(h.looked) < lookAgain {
		return h.found
	}
	stamp := [2]fileStamp{stampOf(h.paths[0]), stampOf(h.paths[1])}
	if h.looked.IsZero() || stamp != h.stamp {
		h.stamp, h.found = stamp, h.read()
	}
	h.looked = time.Now()
	return h.found
}

// read reads the files. The stub of systemd-resolved is passed over for those that it
// asks itself, if they can be had.
func (h *hostUpstreams) read() []netip.AddrPort {
	found := nameservers(h.paths[0])
	var others []netip.AddrPort
	stub := false
	for _, a := range found {
		if a.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 53}) || a.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 54}) {
			stub = true
		} else if !h.own(a) {
			others = append(others, a)
		}
	}
	if !stub || len(others) > 0 {
		return others
	}
	if behind := nameservers(h.paths[1]); len(behind) > 0 {
		return behind
	}
	return found
}

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.Size(), info.ModTime()}
}

// nameservers returns the resolvers that a file in the form of resolv.conf names.
func nameservers(path string) []netip.AddrPort {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // whoever asks learns that there is nobody to ask
	}
	var out []netip.AddrPort
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, dnsPort))
		}
	}
	return out
}

// HostUpstreams returns the resolvers that the host's files name now.
func HostUpstreams(resolvConf, resolvedConf string) []netip.AddrPort {
	h := &hostUpstreams{paths: [2]string{resolvConf, resolvedConf}, own: func(netip.AddrPort) bool { return false }}
	return h.list()
}
