package dns

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	miekg "github.com/miekg/dns"
)

// FuzzQuery sends bytes as a query: whatever they are, the answer is well formed, has the
// question's id, is not larger than the client may be sent, and the quick way answers just
// as the other one.
func FuzzQuery(f *testing.F) {
	for _, q := range []struct {
		name  string
		qtype uint16
		edns  bool
	}{{"dl.example.", miekg.TypeA, false}, {"DL.example.", miekg.TypeHTTPS, true}, {"s.example.", miekg.TypeA, true}, {"_http._tcp.dl.example.", miekg.TypeSRV, false},
		{"x.files.example.", miekg.TypeAAAA, true}, {"x.docker.", miekg.TypeA, false}, {"4.3.2.1.in-addr.arpa.", miekg.TypePTR, false}} {
		m := new(miekg.Msg)
		m.SetQuestion(q.name, q.qtype)
		if q.edns {
			m.SetEdns0(4096, true)
		}
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	r := resolver(f, Options{Intercept: []string{"dl.example", "*.files.example"}, Upstreams: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")},
		Zones: []Zone{{Name: "s.example", Kind: Static, Records: many(200)}, {Name: "docker", Kind: Containers, Engine: Engine{URL: "unix:///nonexistent"}}}})
	client := netip.MustParseAddr("127.0.0.1")
	f.Fuzz(func(t *testing.T, query []byte) {
		quick := r.quick(t.Context(), query, nil, client, gateway())
		slow := r.handle(t.Context(), query, client, gateway())
		if slow == nil && quick == nil {
			return
		}
		var msg, a, b miekg.Msg
		if err := msg.Unpack(query); err != nil {
			t.Fatalf("%x was answered", query)
		}
		if err := a.Unpack(slow); err != nil || a.Id != msg.Id || !a.Response || len(slow) > udpSize(&msg) {
			t.Fatalf("%x: %d bytes, %v: %s", query, len(slow), err, &a)
		}
		if quick == nil {
			return
		}
		if err := b.Unpack(quick); err != nil {
			t.Fatalf("%x: %v", quick, err)
		}
		if diff := cmp.Diff(a.String(), b.String()); diff != "" {
			t.Errorf("the quick answer differs: %s", diff)
		}
	})
}

func FuzzReverse(f *testing.F) {
	f.Add("4.3.2.1.in-addr.arpa")
	f.Add(reverseName(netip.MustParseAddr("2001:db8::1")))
	f.Fuzz(func(t *testing.T, name string) {
		if a, ok := reverseAddr(name); ok {
			if again, ok := reverseAddr(reverseName(a)); !ok || again != a {
				t.Errorf("%s is %s, whose name is %s", name, a, reverseName(a))
			}
		}
	})
}
