package forward

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sutler/internal/ingress"
	"sutler/internal/ingress/ingresstest"
	"sutler/internal/policy"
)

func TestTunnel(t *testing.T) {
	question, answer := bytes.Repeat([]byte("q"), 3<<20), bytes.Repeat([]byte("a"), 5<<20)
	h := ingresstest.Far(t, func(c *net.TCPConn) {
		got, err := io.ReadAll(c) // until the client has closed its half
		if err != nil || !bytes.Equal(got, question) {
			return
		}
		_, _ = c.Write(answer)
	})
	g := newRig(t, network{"far.example:443": h.Addr().String()}, nil)
	c, r, resp := g.connect(t, "Far.example:443", string(question[:100])) // some of it ahead of the answer
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	if _, err := c.Write(question[100:]); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, answer) {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(answer))
	}
	l := g.receipts.next(t)
	if l.Ecosystem != ingress.Tunnel || l.URL != "far.example:443" || l.Method != "CONNECT" || l.Build != "ab12" || l.Outcome != "bypass" ||
		l.Bytes != 5<<20 || l.Upstream != 5<<20 || l.Size != -1 || l.Error != "" || l.Note == "" {
		t.Errorf("receipt line %+v", l)
	}
	for _, want := range []string{`sutler_tunnels_total{result="opened"} 1`, "sutler_tunnels_open 0",
		`sutler_tunnel_bytes_total{direction="received"} 5.24288e+06`, `sutler_tunnel_bytes_total{direction="sent"} 3.145728e+06`} {
		if !strings.Contains(g.shown(t), want) {
			t.Errorf("missing: %s", want)
		}
	}
}

func TestRefusedTunnels(t *testing.T) {
	h := ingresstest.Far(t, func(*net.TCPConn) {})
	anywhere := network{"far.example:443": h.Addr().String(), "far.example:22": h.Addr().String(), "192.0.2.1:443": h.Addr().String(), "inner.example:443": ""}
	strict := func(o *options) { o.Rules = policy.Rules{RefuseUnknown: true} }
	open := func(o *options) { o.Respond.Local = func(string, netip.Addr) bool { return true } }
	for _, tt := range []struct {
		name, to string
		options  func(*options)
		status   int
		outcome  string
		says     string
	}{
		{"allowed", "far.example:443", nil, 200, "bypass", ""},
		{"other port", "far.example:22", nil, 403, "refused", "NO_PROXY"},
		{"other port allowed", "far.example:22", open, 200, "bypass", ""},
		{"address", "192.0.2.1:443", nil, 403, "refused", "NO_PROXY"},
		{"address allowed", "192.0.2.1:443", open, 200, "bypass", ""},
		{"by rule", "far.example:443", strict, 403, "refused", "policy.unknown_hosts); change the rule"},
		{"intercepted host, other port", "npm.example:8443", nil, 403, "refused", "NO_PROXY"},
		{"by the guard", "inner.example:443", nil, 403, "refused", "upstream.allow_private_hosts"},
		{"unreachable", "nowhere.example:443", nil, 502, "error", "no such host; try again"},
		{"no port", "far.example", nil, 400, "", "host:port"},
		{"no host", ":443", nil, 400, "", "host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, anywhere, tt.options)
			c, r, resp := g.connect(t, tt.to, "")
			var body []byte
			if resp.StatusCode != 200 {
				resp.Body = io.NopCloser(io.LimitReader(r, resp.ContentLength))
				var err error
				if body, err = io.ReadAll(resp.Body); err != nil {
					t.Fatal(err)
				}
			}
			if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.says) {
				t.Errorf("%d %q, want %d with %q", resp.StatusCode, body, tt.status, tt.says)
			}
			_ = c.Close()
			if tt.outcome == "" {
				return
			}
			if l := g.receipts.next(t); l.Outcome != tt.outcome || l.Ecosystem != ingress.Tunnel || (l.Error == "") != (tt.status == 200) {
				t.Errorf("receipt line %+v", l)
			}
		})
	}
}

func TestTermsOfABuild(t *testing.T) {
	h := ingresstest.Far(t, func(*net.TCPConn) {})
	for _, tt := range []struct {
		terms         policy.Terms
		outcome, says string
		status        int
	}{
		{policy.Terms{}, "bypass", "", 200},
		{policy.Terms{Strict: true}, "refused", "policy.strict", 403},
		{policy.Terms{Offline: true}, "error", "offline", 502},
	} {
		g := newRig(t, network{"far.example:443": h.Addr().String()}, func(o *options) {
			o.Respond.Terms = func(build string) policy.Terms {
				if build != "ab12" {
					return policy.Terms{}
				}
				return tt.terms
			}
		})
		c, _, resp := g.connect(t, "far.example:443", "")
		_ = c.Close()
		if l := g.receipts.next(t); resp.StatusCode != tt.status || l.Outcome != tt.outcome || !strings.Contains(l.Error, tt.says) {
			t.Errorf("%+v: %d, %+v; want %d, %s", tt.terms, resp.StatusCode, l, tt.status, tt.outcome)
		}
	}
}

func TestBrokenTunnelIsNoGoodEnd(t *testing.T) {
	h := ingresstest.Far(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "half of it")
		_, _ = io.ReadFull(c, make([]byte, 1)) // the client has it
		_ = c.SetLinger(0)                     // so that the close below is a reset
	})
	g := newRig(t, network{"far.example:443": h.Addr().String()}, nil)
	c, r, _ := g.connect(t, "far.example:443", "")
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the client sees %v, want a reset", err)
	}
	if l := g.receipts.next(t); l.Error == "" || strings.Contains(l.Error, "closed network") {
		t.Errorf("receipt line %+v, want the cause", l)
	}
}

func TestIdleTunnelEnds(t *testing.T) {
	const limit = 400 * time.Millisecond
	h := ingresstest.Far(t, func(c *net.TCPConn) {
		tick := time.NewTicker(limit / 4)
		defer tick.Stop()
		for range 8 { // twice the limit in one direction only
			<-tick.C
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
		}
		_, _ = c.Read(make([]byte, 1)) // until the tunnel ends
	})
	g := newRig(t, network{"far.example:443": h.Addr().String()}, func(o *options) { o.IdleTimeout = limit })
	began := time.Now()
	_, r, _ := g.connect(t, "far.example:443", "")
	got, err := io.ReadAll(r)
	if err == nil || string(got) != "xxxxxxxx" {
		t.Errorf("%q, %v, want all of it and then a reset", got, err)
	}
	if took := time.Since(began); took < 3*limit-limit/2 {
		t.Errorf("ended after %v", took)
	}
	if l := g.receipts.next(t); l.Error != "idle for too long" {
		t.Errorf("receipt line %+v", l)
	}
}

func TestShutdownEndsTunnels(t *testing.T) {
	h := ingresstest.Far(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)) })
	g := newRig(t, network{"far.example:443": h.Addr().String()}, nil)
	_, r, _ := g.connect(t, "far.example:443", "")
	inside := g.client(t, true, "")
	if _, _, err := ingresstest.Get(t, inside, "https://npm.example/x"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := g.Conduit.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the tunnel goes on")
	}
	if l := g.receipts.next(t); l.Outcome != "bypass" {
		t.Errorf("receipt line %+v", l)
	}
}
