package share

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestShares(t *testing.T) {
	var told []string
	s := New(3, 2, func(a netip.Addr) { told = append(told, a.String()) })
	take := func(client string, want bool) {
		t.Helper()
		if got := s.Take(netip.MustParseAddr(client)); got != want {
			t.Errorf("Take(%s) = %v", client, got)
		}
	}
	take("172.17.0.2", true)
	take("::ffff:172.17.0.2", true)
	take("172.17.0.2", false)
	take("172.17.0.2", false)
	take("fd00::1", true)
	take("172.17.0.3", false)
	s.Free(netip.MustParseAddr("172.17.0.2"))
	take("fd00::2", true)
	s.Free(netip.MustParseAddr("172.17.0.2"))
	take("fd00::3", false)
	take("127.0.0.1", true)
	if len(s.client) != 2 {
		t.Errorf("%v", s.client)
	}
	for range 2 {
		s.Free(netip.MustParseAddr("fd00::2"))
	}
	take("fd00::4", true)
	take("fd00::4", true)
	take("fd00::4", false)
	if want := []string{"172.17.0.2", "fd00::", "fd00::"}; !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}

// TestAccept has a client with more connections than it may have be hung up on, until one
// of them is closed, however often.
func TestAccept(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(10, 1, nil)
	l := s.Listener(plain)
	t.Cleanup(func() { _ = l.Close() })
	dial := func(client string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}, Timeout: 10 * time.Second}
		c, err := d.Dial("tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	accept := func(want net.Conn) net.Conn {
		t.Helper()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if c.RemoteAddr().String() != want.LocalAddr().String() {
			t.Fatalf("accepted %s, want %s", c.RemoteAddr(), want.LocalAddr())
		}
		return c
	}
	first := accept(dial("127.0.0.66"))
	dial("127.0.0.66")
	other := accept(dial("127.0.0.77"))
	for range 2 {
		_ = first.Close()
	}
	again := accept(dial("127.0.0.66"))
	for _, c := range []net.Conn{other, again} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(s.client) != 0 || s.taken != 0 {
		t.Errorf("%d taken, %v", s.taken, s.client)
	}
}
