package dns

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

func TestTruncatedAsksAgainOverTCP(t *testing.T) {
	up := upstream(t, func(m *miekg.Msg, q miekg.Question, tcp bool) bool {
		if !tcp {
			m.Truncated = true
			return true
		}
		return always("192.0.2.1")(m, q, tcp)
	})
	r := resolver(t, Options{Upstreams: []netip.AddrPort{up.at}})
	if got := brief(asks(t, r, "x.example", miekg.TypeA)); got != "NOERROR 192.0.2.1" || up.tcp.Load() != 1 {
		t.Errorf("%s after %d questions over TCP", got, up.tcp.Load())
	}
}

func TestFailover(t *testing.T) {
	good := upstream(t, always("192.0.2.1"))
	refuses := upstream(t, func(m *miekg.Msg, _ miekg.Question, _ bool) bool { m.Rcode = miekg.RcodeRefused; return true })
	silent := upstream(t, func(*miekg.Msg, miekg.Question, bool) bool { return false })
	closed := freePort(t)
	for name, first := range map[string]netip.AddrPort{"closed": closed, "silent": silent.at, "refuses": refuses.at} {
		r := resolver(t, Options{Upstreams: []netip.AddrPort{first, good.at}})
		started := time.Now()
		if got := brief(asks(t, r, "x.example", miekg.TypeA)); got != "NOERROR 192.0.2.1" {
			t.Errorf("%s: %s", name, got)
		}
		if took := time.Since(started); took > headStart+time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
	r := resolver(t, Options{Upstreams: []netip.AddrPort{closed, refuses.at}})
	if m := asks(t, r, "x.example", miekg.TypeA); m.Rcode != miekg.RcodeRefused {
		t.Errorf("nobody knows: %s", m)
	}
	r = resolver(t, Options{Upstreams: []netip.AddrPort{closed}})
	if m := asks(t, r, "x.example", miekg.TypeA); m.Rcode != miekg.RcodeServerFailure {
		t.Errorf("nobody answers: %s", m)
	}
}

// TestForged checks that an answer with another id or question is not taken for one, but
// does not end the wait for the real one.
func TestForged(t *testing.T) {
	for name, forge := range map[string]func(*miekg.Msg){
		"id":       func(m *miekg.Msg) { m.Id++ },
		"question": func(m *miekg.Msg) { m.Question[0].Name = "y.example." },
	} {
		up := upstream(t, func(m *miekg.Msg, q miekg.Question, tcp bool) bool {
			always("192.0.2.66")(m, q, tcp)
			forge(m)
			return true
		})
		r := resolver(t, Options{Upstreams: []netip.AddrPort{up.at, upstream(t, always("192.0.2.1")).at}})
		if got := brief(asks(t, r, "x.example", miekg.TypeA)); got != "NOERROR 192.0.2.1" {
			t.Errorf("another %s: %s", name, got)
		}
	}
}

// TestPortsAndIDs checks that questions come from many ports with many ids.
func TestPortsAndIDs(t *testing.T) {
	var mu sync.Mutex
	ids := map[uint16]bool{}
	up := upstream(t, func(m *miekg.Msg, _ miekg.Question, _ bool) bool {
		mu.Lock()
		defer mu.Unlock()
		ids[m.Id] = true
		return true
	})
	r := resolver(t, Options{Upstreams: []netip.AddrPort{up.at}})
	for range 40 {
		asks(t, r, "x.example", miekg.TypeA) // an empty answer without SOA is not kept
	}
	mu.Lock()
	defer mu.Unlock()
	ports := 0
	up.ports.Range(func(any, any) bool { ports++; return true })
	if len(ids) < 35 || ports < 35 {
		t.Errorf("40 questions had %d ids and came from %d ports", len(ids), ports)
	}
}

func TestCache(t *testing.T) {
	var n atomic.Int64
	up := upstream(t, func(m *miekg.Msg, q miekg.Question, tcp bool) bool {
		n.Add(1)
		if q.Name == "none.example." {
			m.Rcode = miekg.RcodeNameError
			m.Ns = []miekg.RR{rr(t, "example. 3600 IN SOA a. b. 1 2 3 4 3600")}
			return true
		}
		return always("192.0.2.1")(m, q, tcp)
	})
	r := resolver(t, Options{Upstreams: []netip.AddrPort{up.at}})
	for _, name := range []string{"x.example", "X.EXAMPLE", "none.example", "none.example"} {
		asks(t, r, name, miekg.TypeA)
	}
	if n.Load() != 2 {
		t.Errorf("%d questions, want 2", n.Load())
	}
	m := asks(t, r, "x.example", miekg.TypeA, func(m *miekg.Msg) { m.SetEdns0(1232, false) })
	if o := m.IsEdns0(); o == nil || n.Load() != 2 {
		t.Errorf("EDNS is not answered with EDNS: %s", m)
	}
}

func TestLifetime(t *testing.T) {
	var c cache
	now := time.Now()
	m := new(miekg.Msg)
	m.SetQuestion("x.example.", miekg.TypeA)
	m.Answer = []miekg.RR{rr(t, "x.example. 30 IN A 192.0.2.1"), rr(t, "x.example. 3600 IN A 192.0.2.2")}
	k := key{name: "x.example"}
	c.put(k, m, now)
	if got := c.get(k, now.Add(10*time.Second)); got == nil || got.Answer[0].Header().Ttl != 20 {
		t.Errorf("after 10 s: %v", got)
	}
	if got := c.get(k, now.Add(30*time.Second)); got != nil {
		t.Errorf("after 30 s: %v", got)
	}
	m.Answer[0].Header().Ttl = 7200
	c.put(k, m, now)
	if got := c.get(k, now.Add(maxTTL)); got != nil {
		t.Errorf("kept longer than %s", maxTTL)
	}
	for i := range maxAnswers + 10 {
		c.put(key{name: "x", qtype: uint16(i)}, m, now)
	}
	if len(c.answers) > maxAnswers {
		t.Errorf("%d answers are kept", len(c.answers))
	}
}

// TestMerged checks that many who want the same at the same time cause one question.
func TestMerged(t *testing.T) {
	release := make(chan struct{})
	up := upstream(t, func(m *miekg.Msg, q miekg.Question, tcp bool) bool {
		<-release
		return always("192.0.2.1")(m, q, tcp)
	})
	r := resolver(t, Options{Upstreams: []netip.AddrPort{up.at}})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { asks(t, r, "x.example", miekg.TypeA) })
	}
	for up.udp.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(release)
	all.Wait()
	if n := up.udp.Load(); n > 2 {
		t.Errorf("%d questions for one name", n)
	}
}
