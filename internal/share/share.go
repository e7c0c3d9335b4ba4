// Package share bounds what clients may use at once, all together and each alone, so that
// one of them does not take everything from the others.
package share

import (
	"net"
	"net/netip"
	"sync"
)

// Shares count what clients use. They are safe for concurrent use.
// A nil *Shares bounds nothing; only Accept and Listener work with it.
type Shares struct {
	all, each int
	full      func(client netip.Addr)

	mu     sync.Mutex
	taken  int
	client map[netip.Addr]*client
}

// A client is one that uses something.
type client struct {
	taken int
	told  bool // that it has all that it may have
}

// New returns shares for that many uses by all clients together, and by each of them. full,
// if it is not nil, is called when a client gets nothing for want of a share, and not
// again before that client has given back all that it had.
func New(all, each int, full func(client netip.Addr)) *Shares {
	if full == nil {
		full = func(netip.Addr) {}
	}
	return &Shares{all: all, each: each, full: full, client: map[netip.Addr]*client{}}
}

// Take takes one for a client, unless there is none; then it returns false. The loopback
// addresses 127.0.0.1 and ::1 are many programs, and bound by what there is for all alone.
func (s *Shares) Take(addr netip.Addr) bool {
	addr = whose(addr)
	ok, tell := s.take(addr)
	if tell {
		s.full(addr)
	}
	return ok
}

func (s *Shares) take(addr netip.Addr) (ok, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.client[addr]
	if c == nil {
		if s.taken >= s.all {
			return false, false
		}
		c = &client{}
		s.client[addr] = c
	}
	own := addr == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr == netip.IPv6Loopback()
	if s.taken >= s.all || c.taken >= s.each && !own {
		tell, c.told = !c.told, true
		return false, tell
	}
	s.taken++
	c.taken++
	return true, false
}

// Free gives back what Take took for a client.
func (s *Shares) Free(addr netip.Addr) {
	addr = whose(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	c := s.client[addr]
	if c.taken--; c.taken == 0 {
		delete(s.client, addr)
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

// Accept waits for the next TCP connection of a client that may have one, and hangs up on
// all others. The caller calls free, as often as it likes, when the connection is closed.
func (s *Shares) Accept(l net.Listener) (c net.Conn, free func(), err error) {
	for {
		if c, err = l.Accept(); err != nil {
			return nil, nil, err
		}
		if s == nil {
			return c, func() {}, nil
		}
		if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			addr := at.AddrPort().Addr()
			if s.Take(addr) {
				return c, sync.OnceFunc(func() { s.Free(addr) }), nil
			}
		}
		_ = c.Close() // nothing was sent
	}
}

// Listener returns l, which listens on TCP, with the connections of Accept.
func (s *Shares) Listener(l net.Listener) net.Listener { return listener{l, s} }

type listener struct {
	net.Listener
	shares *Shares
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, free, err := l.shares.Accept(l.Listener)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, free: free}, nil
}

// A conn gives its share back when it is closed.
type conn struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
