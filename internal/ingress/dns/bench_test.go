package dns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

// benchResolver serves one name of each kind over UDP.
func benchResolver(b *testing.B) (at netip.AddrPort) {
	b.Helper()
	_, e := engine(b, fakeContainer{id: "aaaa", name: "web", networks: map[string]string{"bridge": "172.17.0.2"}})
	up := upstream(b, always("192.0.2.1"))
	at = freePort(b)
	r := resolver(b, Options{Listen: []netip.AddrPort{at}, Intercept: []string{"dl.example"}, ResolvConf: os.DevNull, Upstreams: []netip.AddrPort{up.at},
		Zones: []Zone{{Name: "docker", Kind: Containers, Engine: e}, {Name: "s.example", Kind: Static, Records: []string{"A 10.0.0.1"}}}})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	b.Cleanup(func() { cancel(); <-ended })
	for len(r.Bound()) == 0 {
		time.Sleep(time.Millisecond)
	}
	return at
}

// BenchmarkQuery measures whole questions over UDP on loopback, with the client's work in
// the time, and reports the 99th percentile of one.
func BenchmarkQuery(b *testing.B) {
	at := benchResolver(b)
	for _, kind := range []struct{ name, host string }{{"intercepted", "dl.example."}, {"static", "s.example."}, {"containers", "web.docker."}, {"forwarded", "x.other.example."}} {
		b.Run(kind.name, func(b *testing.B) {
			m := new(miekg.Msg)
			m.SetQuestion(kind.host, miekg.TypeA)
			query, err := m.Pack()
			if err != nil {
				b.Fatal(err)
			}
			conn, err := net.Dial("udp", at.String())
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			took, buffer := make([]time.Duration, 0, b.N), make([]byte, 1500)
			for b.Loop() {
				started := time.Now()
				if _, err := conn.Write(query); err != nil {
					b.Fatal(err)
				}
				if n, err := conn.Read(buffer); err != nil || n <= len(query) {
					b.Fatal(n, err)
				}
				took = append(took, time.Since(started))
			}
			slices.Sort(took)
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "queries/s")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkQuick measures the answer itself.
func BenchmarkQuick(b *testing.B) {
	r := resolver(b, Options{Intercept: []string{"dl.example"}})
	m := new(miekg.Msg)
	m.SetQuestion("dl.example.", miekg.TypeA)
	query, err := m.Pack()
	if err != nil {
		b.Fatal(err)
	}
	out, client := make([]byte, 0, maxUDP), netip.MustParseAddr("127.0.0.1")
	b.ReportAllocs()
	for b.Loop() {
		if r.quick(b.Context(), query, out, client, gateway()) == nil {
			b.Fatal("no answer")
		}
	}
}
