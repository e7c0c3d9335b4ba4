package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/upstream/origintest"
)

func TestPlaceOf(t *testing.T) {
	for want, list := range map[place]string{
		nowhere: `0.0.0.0 0.1.2.3 169.254.1.1 169.254.169.254 224.0.0.1 239.255.255.250 255.255.255.255
			100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254
			:: fe80::1 fe80::1%eth0 ff02::1 ff0e::1
			::ffff:0.0.0.0 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe
			64:ff9b::169.254.169.254 64:ff9b::0.0.0.0 64:ff9b:1::127.0.0.1 64:ff9b:1::169.254.169.254
			::127.0.0.1 ::169.254.169.254 2002:7f00:1:: 2002:a9fe:a9fe::1 2001:0:0:0:0:0:5601:5601`,
		loopback: `127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 64:ff9b::127.0.0.1`,
		private: `10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255
			192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.80 240.0.0.1 255.255.255.254
			fc00::1 fd12:3456::1 fec0::1 2001:db8::1 3fff::1 2001::1 2001:20::1 2002:808:808::1 100::1 5f00::1 4000::1
			::ffff:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::8.8.8.8 64:ff9b::203.0.113.80 ::8.8.8.8`,
		public: `8.8.8.8 1.1.1.1 172.15.255.255 172.32.0.1 100.63.255.255 100.128.0.1 192.0.1.1 198.17.0.1 223.255.255.255
			2606:4700::1 2001:4860:4860::8888 2a00::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8`,
	} {
		for s := range strings.FieldsSeq(list) {
			if got := placeOf(netip.MustParseAddr(s)); got != want {
				t.Errorf("placeOf(%s) = %d, want %d", s, got, want)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	c := &Client{
		Known:         func(h string) bool { return h == "known.example" || h == "10.1.1.1" },
		AllowLoopback: func(hp string) bool { return hp == "local.example:4873" },
		Own:           func(a netip.AddrPort) bool { return a.Port() == 7885 && a.Addr().Is4() },
	}
	c.proxies.Store("proxy.example:3128", true)
	for _, tt := range []struct {
		host, port, addr string
		ok               bool
	}{
		{"other.example", "443", "8.8.8.8", true},
		{"other.example", "443", "10.0.0.1", false},
		{"other.example", "443", "203.0.113.80", false},
		{"other.example", "443", "127.0.0.1", false},
		{"known.example", "443", "8.8.8.8", true},
		{"known.example", "443", "10.0.0.1", true},
		{"known.example", "443", "203.0.113.80", true},
		{"known.example", "443", "fd12::1", true},
		{"known.example", "443", "127.0.0.1", false},
		{"known.example", "443", "::ffff:127.0.0.1", false},
		{"known.example", "443", "169.254.169.254", false},
		{"known.example", "443", "fe80::1%lo", false},
		{"known.example", "443", "0.0.0.0", false},
		{"known.example", "443", "224.0.0.1", false},
		{"known.example", "443", "100.100.100.200", false},
		{"known.example", "7885", "10.0.0.1", false},
		{"known.example", "7885", "::ffff:10.0.0.1", false},
		{"10.1.1.1", "80", "10.1.1.1", true},
		{"10.1.1.2", "80", "10.1.1.2", false},
		{"local.example", "4873", "127.0.0.1", true},
		{"local.example", "4873", "::1", true},
		{"local.example", "4874", "127.0.0.1", false},
		{"local.example", "4873", "169.254.169.254", false},
		{"proxy.example", "3128", "127.0.0.1", true},
		{"proxy.example", "3129", "127.0.0.1", false},
	} {
		err := c.check(t.Context(), tt.host, net.JoinHostPort(tt.host, tt.port), netip.MustParseAddrPort(net.JoinHostPort(tt.addr, tt.port)))
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrBlocked) {
			t.Errorf("check(%s:%s at %s) = %v, want ok %v", tt.host, tt.port, tt.addr, err, tt.ok)
		}
	}
	var zero Client
	if err := zero.check(t.Context(), "x.example", "x.example:80", netip.MustParseAddrPort("10.0.0.1:80")); !errors.Is(err, ErrBlocked) {
		t.Errorf("zero client: %v", err)
	}
}

func TestCheckHost(t *testing.T) {
	var c Client
	c.proxies.Store("proxy.example:3128", true)
	for hostport, ok := range map[string]bool{
		"registry.example:443": true, "xn--bcher-kva.example:80": true, "8.8.8.8:80": true, "0xbeef.example:80": true,
		"[2606:4700::1]:443": true, "1.2.3.4.example:80": true,
		"localhost:80": false, "a.localhost:80": false, "127.0.0.1:80": false, "[::1]:80": false, "127.1:80": false,
		"2130706433:80": false, "0x7f.1:80": false, "a.0x7f000001:80": false, "10.0.0.256:80": false, "017700000001:80": false,
		"[::ffff:10.0.0.1]:80": false, "proxy.example:3128": false, ":80": false, "registry.example": false, "8.8.8.8:http": false,
	} {
		if err := c.checkHost(t.Context(), hostport); (err == nil) != ok {
			t.Errorf("checkHost(%q) = %v, want ok %v", hostport, err, ok)
		}
	}
}

// A name is looked up once for each connection, and what was checked is dialled.
func TestRebinding(t *testing.T) {
	o := origintest.New(t)
	port, _ := o.Ports()
	o.File("/x", "body")
	var mu sync.Mutex
	answers := [][]netip.Addr{
		{netip.MustParseAddr("10.0.0.7")},
		{netip.MustParseAddr("127.0.0.1")},
		{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("::1")},
	}
	asked := 0
	c := &Client{Resolve: func(context.Context, string) ([]netip.Addr, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return answers[(asked-1)%len(answers)], nil
	}}
	defer c.Close()
	for i := range answers {
		res := ecosystem.Resource{URL: fmt.Sprintf("http://rebind.example:%d/x", port)}
		if _, err := c.Fetch(t.Context(), res, freshness.Validator{}); !errors.Is(err, ErrBlocked) {
			t.Errorf("Fetch = %v, want ErrBlocked", err)
		}
		if asked != i+1 {
			t.Errorf("looked up %d times, want %d", asked, i+1)
		}
	}
	if o.Conns() != 0 {
		t.Errorf("%d connections were made", o.Conns())
	}
}

// Of several addresses those that are allowed are tried, in turn.
func TestMixedAddresses(t *testing.T) {
	o := origintest.New(t)
	port, _ := o.Ports()
	o.File("/x", "body")
	c := &Client{
		AllowLoopback: func(hostport string) bool { return hostport == fmt.Sprintf("local.example:%d", port) },
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
		},
	}
	defer c.Close()
	resp, err := c.Fetch(t.Context(), ecosystem.Resource{URL: fmt.Sprintf("http://LOCAL.example.:%d/x", port)}, freshness.Validator{})
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLookupFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name    string
			resolve func(context.Context, string) ([]netip.Addr, error)
		}{
			{"no such name", func(context.Context, string) ([]netip.Addr, error) {
				return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
			}},
			{"no address", func(context.Context, string) ([]netip.Addr, error) { return nil, nil }},
			{"no answer", func(ctx context.Context, _ string) ([]netip.Addr, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}},
		} {
			c := &Client{Resolve: tt.resolve}
			start := time.Now()
			_, err := c.Fetch(t.Context(), ecosystem.Resource{URL: "http://x.example/"}, freshness.Validator{})
			if took := time.Since(start); !errors.Is(err, ErrUnavailable) || took > 5*time.Second {
				t.Errorf("%s: %v after %v, want ErrUnavailable within 5s", tt.name, err, took)
			}
			c.Close()
		}
	})
}

// fakeConn is a connection that remembers whether it was closed.
type fakeConn struct {
	net.Conn
	closed bool
}

func (f *fakeConn) Close() error {
	f.closed = true
	return nil
}

func TestRace(t *testing.T) {
	never := 24 * time.Hour
	for _, tt := range []struct {
		name string
		ends []time.Duration // of each attempt, after its start; negative: with an error
		want int             // index, -1 for none
		took time.Duration
	}{
		{"first", []time.Duration{10 * time.Millisecond, 1}, 0, 10 * time.Millisecond},
		{"first is slow", []time.Duration{time.Second, 10 * time.Millisecond}, 1, headStart + 10*time.Millisecond},
		{"first leads nowhere", []time.Duration{never, 10 * time.Millisecond}, 1, headStart + 10*time.Millisecond},
		{"first refuses", []time.Duration{-10 * time.Millisecond, 10 * time.Millisecond}, 1, 20 * time.Millisecond},
		{"all refuse", []time.Duration{-10 * time.Millisecond, -10 * time.Millisecond}, -1, 20 * time.Millisecond},
		{"all lead nowhere", []time.Duration{never, never}, -1, dialTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), dialTimeout)
				defer cancel()
				conns := make([]*fakeConn, len(tt.ends))
				var addrs []netip.AddrPort
				for i := range tt.ends {
					conns[i] = &fakeConn{}
					addrs = append(addrs, netip.AddrPortFrom(netip.MustParseAddr("8.8.8.8"), uint16(i)))
				}
				start := time.Now()
				got, err := race(ctx, addrs, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
					end := tt.ends[to.Port()]
					if !sleep(ctx, max(end, -end)) {
						return nil, ctx.Err()
					}
					if end < 0 {
						return nil, errors.New("refused")
					}
					return conns[to.Port()], nil
				})
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if tt.want < 0 {
					if err == nil {
						t.Errorf("race = %v, want an error", got)
					}
					return
				}
				if got != net.Conn(conns[tt.want]) {
					t.Errorf("race = %v, %v, want attempt %d", got, err, tt.want)
				}
			})
		})
	}
}

func TestRaceClosesLosers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conns := []*fakeConn{{}, {}}
		addrs := []netip.AddrPort{netip.MustParseAddrPort("8.8.8.8:1"), netip.MustParseAddrPort("8.8.4.4:1")}
		_, err := race(t.Context(), addrs, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			if to == addrs[1] {
				return conns[1], nil
			}
			<-ctx.Done() // too late to fail: connected at the same moment
			return conns[0], nil
		})
		if err != nil || !conns[0].closed || conns[1].closed {
			t.Errorf("race = %v, closed %v and %v", err, conns[0].closed, conns[1].closed)
		}
	})
}

func TestInterleave(t *testing.T) {
	var in []netip.AddrPort
	for _, s := range []string{"[2606::1]:1", "[2606::2]:1", "[2606::3]:1", "8.8.8.8:1", "8.8.4.4:1"} {
		in = append(in, netip.MustParseAddrPort(s))
	}
	want := "[[2606::1]:1 8.8.8.8:1 [2606::2]:1 8.8.4.4:1 [2606::3]:1]"
	if got := fmt.Sprint(interleave(in)); got != want {
		t.Errorf("interleave = %s, want %s", got, want)
	}
}

// TestBehalf lets a client have what it could reach itself, and nothing else.
func TestBehalf(t *testing.T) {
	c := &Client{Reaches: func(client, to netip.Addr) bool {
		return client == netip.MustParseAddr("172.17.0.3") && to == netip.MustParseAddr("10.0.0.2")
	}}
	for _, tt := range []struct {
		client, to string
		ok         bool
	}{
		{"172.17.0.3", "10.0.0.2:8443", true}, {"172.17.0.4", "10.0.0.2:8443", false}, {"172.17.0.3", "10.0.0.3:80", false},
		{"172.17.0.3", "127.0.0.1:80", false}, {"172.17.0.3", "169.254.169.254:80", false}, {"::ffff:172.17.0.3", "10.0.0.2:80", true},
	} {
		err := c.check(Behalf(t.Context(), netip.MustParseAddr(tt.client)), "x.example", "x.example", netip.MustParseAddrPort(tt.to))
		if (err == nil) != tt.ok {
			t.Errorf("%s to %s: %v", tt.client, tt.to, err)
		}
	}
	if c.transportFor(Behalf(t.Context(), netip.MustParseAddr("172.17.0.3"))) == c.transportFor(t.Context()) {
		t.Error("a fetch may get a connection that was made on behalf of a client")
	}
}
