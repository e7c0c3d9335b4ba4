package dns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

// serving runs a resolver on a port until the test ends.
func serving(t *testing.T, o Options) netip.AddrPort {
	t.Helper()
	at := freePort(t)
	o.Listen, o.ResolvConf = []netip.AddrPort{at}, os.DevNull
	r := resolver(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	for len(r.Bound()) == 0 {
		time.Sleep(time.Millisecond)
	}
	return at
}

// from connects from one of the addresses of loopback that are not this machine's own.
func from(t *testing.T, client, network string, at netip.AddrPort) net.Conn {
	t.Helper()
	local, err := net.ResolveUDPAddr("udp", client+":0")
	if err != nil {
		t.Fatal(err)
	}
	d := net.Dialer{LocalAddr: local}
	if network == "tcp" {
		d.LocalAddr = &net.TCPAddr{IP: local.IP}
	}
	c, err := d.DialContext(t.Context(), network, at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestOneClientAmongMany has one client take as much as it gets of names that are
// answered late, and of connections: others are answered all the same.
func TestOneClientAmongMany(t *testing.T) {
	release := make(chan struct{})
	late := upstream(t, func(_ *miekg.Msg, q miekg.Question, _ bool) bool {
		if q.Name != "db.example." {
			<-release
		}
		return true
	})
	at := serving(t, Options{Upstreams: []netip.AddrPort{late.at}})
	t.Cleanup(func() { close(release) })
	bad := from(t, "127.0.0.66", "udp", at)
	for n := range 2 * maxBusy {
		m := new(miekg.Msg)
		m.SetQuestion(miekg.Fqdn(string(rune('a'+n%26))+time.Duration(n).String()+".slow.example"), miekg.TypeA)
		query, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bad.Write(query); err != nil {
			t.Fatal(err)
		}
		if n%64 == 0 {
			time.Sleep(time.Millisecond) // or the socket's queue is what is full
		}
	}
	for range maxConns {
		from(t, "127.0.0.66", "tcp", at)
	}
	for _, network := range []string{"udp", "tcp"} {
		c := miekg.Conn{Conn: from(t, "127.0.0.77", network, at)}
		m := new(miekg.Msg)
		m.SetQuestion("db.example.", miekg.TypeA)
		if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := c.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadMsg(); err != nil {
			t.Errorf("another client over %s: %v", network, err)
		}
	}
}
