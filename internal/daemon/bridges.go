package daemon

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"sutler/internal/ingress/dns"
)

// podmanNetworks is where podman describes its networks.
const podmanNetworks = "/etc/containers/networks"

// A bridge is one of the IPv4 addresses of a container bridge.
type bridge struct {
	name  string
	index int // of the interface: another one of that name is another bridge
	addr  netip.Addr
	near  netip.Prefix // of the network on it
}

// bridges returns the container bridges of this machine.
func bridges() ([]bridge, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []bridge
	for _, i := range all {
		if !dns.IsBridge(i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				out = append(out, bridge{i.Name, i.Index, p.Addr(), p.Masked()})
			}
		}
	}
	return out, nil
}

// closed knows which bridges are of internal networks: their containers are to reach nothing
// outside, and so must not by way of sutler.
type closed struct {
	engine dns.Engine
	podman string // podmanNetworks

	mu    sync.Mutex
	known map[int]bool // by the index of the interface; it never changes
}

func newClosed(engine dns.Engine, podman string) *closed {
	if !strings.HasPrefix(engine.URL, "unix:") {
		engine = dns.Engine{URL: usualEngine} // the other is perhaps on another machine
	}
	return &closed{engine: engine, podman: podman, known: map[int]bool{}}
}

// is reports whether a bridge is of an internal network; certain is false if its engine could
// not be asked.
func (c *closed) is(ctx context.Context, b bridge) (internal, certain bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if internal, certain = c.known[b.index]; certain {
		return internal, true
	}
	if strings.HasPrefix(b.name, "br-") {
		networks, err := dns.Networks(ctx, c.engine)
		if internal, certain = networks[b.name]; err != nil || !certain {
			return false, false
		}
	} else {
		internal = c.byPodman(b.name)
	}
	c.known[b.index] = internal
	return internal, true
}

// byPodman reports whether podman says that the network of an interface is internal.
func (c *closed) byPodman(name string) bool {
	files, _ := filepath.Glob(filepath.Join(c.podman, "*.json")) // the pattern is in order
	for _, f := range files {
		var n struct {
			Interface string `json:"network_interface"`
			Internal  bool   `json:"internal"`
		}
		if text, err := os.ReadFile(f); err == nil && json.Unmarshal(text, &n) == nil && n.Interface == name {
			return n.Internal
		}
	}
	return false
}
