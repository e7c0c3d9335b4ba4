package dns

import (
	"net"
	"net/netip"
	"sync"
)

// places bound what is done at once, for all clients together and for each alone. They are
// safe for concurrent use.
type places struct {
	all, each int

	mu     sync.Mutex
	taken  int
	client map[netip.Addr]int
}

func newPlaces(all, each int) *places {
	return &places{all: all, each: each, client: map[netip.Addr]int{}}
}

// take takes a place for a client, unless there is none.
func (p *places) take(client netip.Addr) bool {
	client = whose(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	// Those two are the many programs of this machine.
	own := client == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || client == netip.IPv6Loopback()
	if p.taken >= p.all || p.client[client] >= p.each && !own {
		return false
	}
	p.taken++
	p.client[client]++
	return true
}

// free gives a place back.
func (p *places) free(client netip.Addr) {
	client = whose(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.client[client]--; p.client[client] == 0 {
		delete(p.client, client)
	}
}

// whose returns what stands for a client: over IPv6 one has as many addresses as it likes.
func whose(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}

// A fairListener hangs up on a client that has its share of connections already.
type fairListener struct {
	net.Listener
	places *places
}

// Accept implements net.Listener.
func (l fairListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at, ok := c.RemoteAddr().(*net.TCPAddr)
		if ok && l.places.take(at.AddrPort().Addr()) {
			return &placed{Conn: c, free: sync.OnceFunc(func() { l.places.free(at.AddrPort().Addr()) })}, nil
		}
		_ = c.Close() // nothing was sent
	}
}

// A placed connection gives its place back when it is closed.
type placed struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (c *placed) Close() error {
	defer c.free()
	return c.Conn.Close()
}
