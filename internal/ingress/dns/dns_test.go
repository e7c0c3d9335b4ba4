package dns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestZones(t *testing.T) {
	elsewhere := upstream(t, always("192.0.2.99"))
	corp := upstream(t, always("192.0.2.7"))
	r := resolver(t, Options{
		Intercept: []string{"dl.example", "*.files.example", "own.corp.example", "both.example", "1.2.3.4"},
		Upstreams: []netip.AddrPort{elsewhere.at},
		Zones: []Zone{
			{Name: "corp.example", Kind: Forwarded, Upstreams: []netip.AddrPort{corp.at}},
			{Name: "both.example", Kind: Static, Records: []string{"A 10.0.0.5"}},
			{Name: "s.example", Kind: Static, Records: []string{"A 10.0.0.6", "AAAA 2001:db8::6", `TXT "a b" "c"`, "SRV 1 2 80 t.example.", "PTR p.example."}},
			{Name: "alias.example", Kind: Static, Records: []string{"CNAME x.corp.example."}},
			{Name: "loop.example", Kind: Static, Records: []string{"CNAME loop.example."}},
			{Name: "to.example", Kind: Static, Records: []string{"CNAME dl.example."}},
		},
	})
	for _, tt := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"dl.example", miekg.TypeA, "NOERROR 10.9.0.1"},
		{"DL.eXample", miekg.TypeA, "NOERROR 10.9.0.1"},
		{"dl.example", miekg.TypeAAAA, "NOERROR"},
		{"dl.example", miekg.TypeHTTPS, "NOERROR"},
		{"dl.example", miekg.TypeSVCB, "NOERROR"},
		{"dl.example", miekg.TypeCNAME, "NOERROR"},
		{"dl.example", miekg.TypeANY, `NOERROR "RFC8482" ""`},
		{"_http._tcp.dl.example", miekg.TypeSRV, "NXDOMAIN"},
		{"_https._tcp.dl.example", miekg.TypeSRV, "NXDOMAIN"},
		{"_https._tcp.a.files.example", miekg.TypeSRV, "NXDOMAIN"},
		{"x.dl.example", miekg.TypeA, "NOERROR 192.0.2.99"},
		{"a.b.files.example", miekg.TypeA, "NOERROR 10.9.0.1"},
		{"files.example", miekg.TypeA, "NOERROR 192.0.2.99"},
		{"x.corp.example", miekg.TypeA, "NOERROR 192.0.2.7"},
		{"xcorp.example", miekg.TypeA, "NOERROR 192.0.2.99"},
		{"own.corp.example", miekg.TypeA, "NOERROR 10.9.0.1"},
		{"both.example", miekg.TypeA, "NOERROR 10.0.0.5"},
		{"_http._tcp.both.example", miekg.TypeSRV, "NOERROR"},
		{"s.example", miekg.TypeA, "NOERROR 10.0.0.6"},
		{"below.s.example", miekg.TypeAAAA, "NOERROR 2001:db8::6"},
		{"s.example", miekg.TypeTXT, `NOERROR "a b" "c"`},
		{"s.example", miekg.TypeSRV, "NOERROR 1 2 80 t.example."},
		{"s.example", miekg.TypePTR, "NOERROR p.example."},
		{"s.example", miekg.TypeMX, "NOERROR"},
		{"s.example", miekg.TypeANY, `NOERROR "RFC8482" ""`},
		{"alias.example", miekg.TypeA, "NOERROR x.corp.example. 192.0.2.7"},
		{"to.example", miekg.TypeA, "NOERROR dl.example. 10.9.0.1"},
		{"other.example", miekg.TypeA, "NOERROR 192.0.2.99"},
	} {
		m := asks(t, r, tt.name, tt.qtype)
		if got := brief(m); got != tt.want {
			t.Errorf("%s %s = %s, want %s", tt.name, miekg.TypeToString[tt.qtype], got, tt.want)
		}
		if m.Question[0].Name != tt.name+"." {
			t.Errorf("question %s came back as %s", tt.name, m.Question[0].Name)
		}
	}
	if m := asks(t, r, "loop.example", miekg.TypeA); len(m.Answer) > maxDepth+1 {
		t.Errorf("a CNAME to itself was followed %d times", len(m.Answer))
	}
	if m := asks(t, r, "dl.example", miekg.TypeA); m.Answer[0].Header().Ttl != 0 {
		t.Error("the address of an intercepted host may be kept")
	}
}

func TestIPv6Listener(t *testing.T) {
	r := resolver(t, Options{Intercept: []string{"dl.example"}, Address: netip.MustParseAddr("fd00::1")})
	if got := brief(asks(t, r, "dl.example", miekg.TypeAAAA)); got != "NOERROR fd00::1" {
		t.Error(got)
	}
	if got := brief(asks(t, r, "dl.example", miekg.TypeA)); got != "NOERROR" {
		t.Error(got)
	}
}

func TestStrangersAndOddities(t *testing.T) {
	r := resolver(t, Options{Intercept: []string{"dl.example"}})
	m := new(miekg.Msg)
	m.SetQuestion("dl.example.", miekg.TypeA)
	query, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	stranger := netip.MustParseAddr("198.51.100.1")
	if got := r.quick(t.Context(), query, nil, stranger, gateway()); got != nil {
		t.Errorf("a stranger got %x", got)
	}
	wire := r.handle(t.Context(), query, stranger, gateway())
	if err := m.Unpack(wire); err != nil || m.Rcode != miekg.RcodeRefused || len(wire) > len(query) {
		t.Errorf("a stranger got %s (%v)", m, err)
	}
	for name, tt := range map[string]struct {
		change func(*miekg.Msg)
		want   int
	}{
		"other class":   {func(m *miekg.Msg) { m.Question[0].Qclass = miekg.ClassCHAOS }, miekg.RcodeRefused},
		"update":        {func(m *miekg.Msg) { m.Opcode = miekg.OpcodeUpdate }, miekg.RcodeNotImplemented},
		"two questions": {func(m *miekg.Msg) { m.Question = append(m.Question, m.Question[0]) }, miekg.RcodeFormatError},
		"EDNS 1":        {func(m *miekg.Msg) { m.SetEdns0(4096, false).IsEdns0().SetVersion(1) }, miekg.RcodeBadVers},
	} {
		got := asks(t, r, "dl.example", miekg.TypeA, tt.change)
		rcode := got.Rcode
		if rcode != tt.want {
			t.Errorf("%s: %s, want %s", name, miekg.RcodeToString[rcode], miekg.RcodeToString[tt.want])
		}
	}
	m.SetQuestion("dl.example.", miekg.TypeA)
	m.Response = true
	query, _ = m.Pack()
	if got := r.handle(t.Context(), query, netip.MustParseAddr("127.0.0.1"), gateway()); got != nil {
		t.Error("an answer was answered")
	}
}

func TestContainers(t *testing.T) {
	fake, e := engine(t,
		fakeContainer{id: "aaaa00000000111122223333", name: "web", networks: map[string]string{"bridge": "172.17.0.2", "n1": "10.1.0.2 fd00::2 www"}},
		fakeContainer{id: "dbdb00000000111122223333", name: "shop-db-1", labels: map[string]string{composeService: "db", composeProject: "shop"},
			networks: map[string]string{"shop": "10.2.0.2 store db"}},
		fakeContainer{id: "cccc00000000111122223333", name: "blog-db-1", labels: map[string]string{composeService: "db", composeProject: "blog"},
			networks: map[string]string{"blog": "10.3.0.2 db store"}, links: []string{"/app/mysql"}},
		fakeContainer{id: "ddda00000000111122223333", name: "off", stopped: true, networks: map[string]string{"bridge": ""}},
		fakeContainer{id: "eeee00000000111122223333", name: "My.Name", networks: map[string]string{"bridge": "172.17.0.9"}},
	)
	r := resolver(t, Options{Zones: []Zone{{Name: "docker", Kind: Containers, Engine: e}}, ResolvConf: os.DevNull})
	for _, tt := range []struct {
		name  string
		qtype uint16
		want  []string // the code, then addresses in any order
	}{
		{"web.docker", miekg.TypeA, []string{"NOERROR", "172.17.0.2", "10.1.0.2"}},
		{"web.docker", miekg.TypeAAAA, []string{"NOERROR", "fd00::2"}},
		{"web.docker", miekg.TypeMX, []string{"NOERROR"}},
		{"aaaa00000000111122223333.docker", miekg.TypeA, []string{"NOERROR", "172.17.0.2", "10.1.0.2"}},
		{"aaaa.docker", miekg.TypeA, []string{"NOERROR", "172.17.0.2", "10.1.0.2"}},
		{"www.docker", miekg.TypeA, []string{"NOERROR", "10.1.0.2"}},
		{"db.docker", miekg.TypeA, []string{"NOERROR", "10.2.0.2", "10.3.0.2"}}, // not the id that begins so
		{"dbdb.docker", miekg.TypeA, []string{"NOERROR", "10.2.0.2"}},
		{"db.shop.docker", miekg.TypeA, []string{"NOERROR", "10.2.0.2"}},
		{"mysql.app.docker", miekg.TypeA, []string{"NOERROR", "10.3.0.2"}},
		{"store.docker", miekg.TypeA, []string{"NOERROR", "10.2.0.2", "10.3.0.2"}},
		{"off.docker", miekg.TypeA, []string{"NOERROR"}},
		{"my.name.DOCKER", miekg.TypeA, []string{"NOERROR", "172.17.0.9"}},
		{"nobody.docker", miekg.TypeA, []string{"NXDOMAIN"}},
		{"docker", miekg.TypeA, []string{"NOERROR"}},
		{`a\/b.docker`, miekg.TypeA, []string{"NXDOMAIN"}},
	} {
		got := strings.Fields(brief(asks(t, r, tt.name, tt.qtype)))
		if len(got) != len(tt.want) {
			t.Errorf("%s = %v, want %v", tt.name, got, tt.want)
		}
		for _, w := range tt.want {
			if !strings.Contains(strings.Join(got, " ")+" ", w+" ") {
				t.Errorf("%s = %v, want %v", tt.name, got, tt.want)
			}
		}
	}
	if got := brief(asks(t, r, "2.0.2.10.in-addr.arpa", miekg.TypePTR)); got != "NOERROR shop-db-1.docker." {
		t.Errorf("PTR = %s", got)
	}
	reverse := reverseName(netip.MustParseAddr("fd00::2"))
	if got := brief(asks(t, r, reverse, miekg.TypePTR)); got != "NOERROR web.docker." {
		t.Errorf("PTR of %s = %s", reverse, got)
	}
	fake.mu.Lock()
	defer fake.mu.Unlock()
	for _, p := range fake.asked {
		if strings.Contains(p, "a/b") {
			t.Errorf("the engine was asked for %s", p)
		}
	}
}

func TestEngineGone(t *testing.T) {
	r := resolver(t, Options{Zones: []Zone{{Name: "docker", Kind: Containers, Engine: Engine{URL: "unix:///nonexistent"}}}})
	if m := asks(t, r, "web.docker", miekg.TypeA); m.Rcode != miekg.RcodeServerFailure {
		t.Error(m)
	}
}

// TestLookup asks as sutler itself does: Go's own resolver takes the answers, and no host is
// intercepted.
func TestLookup(t *testing.T) {
	real := upstream(t, always("192.0.2.1"))
	r := resolver(t, Options{Intercept: []string{"dl.example"}, Upstreams: []netip.AddrPort{real.at}})
	got, err := r.Lookup(t.Context(), "dl.example")
	if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("Lookup = %v, %v", got, err)
	}
	if got, err := r.Lookup(t.Context(), "localhost"); err != nil || !got[0].IsLoopback() {
		t.Errorf("Lookup(localhost) = %v, %v", got, err)
	}
}

// TestServe asks over sockets: Go's resolver for all types of an intercepted host, and TCP.
func TestServe(t *testing.T) {
	at := freePort(t)
	r := resolver(t, Options{Listen: []netip.AddrPort{at}, Intercept: []string{"dl.example"}, ResolvConf: os.DevNull,
		Zones: []Zone{{Name: "big.example", Kind: Static, Records: many(200)}}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	for len(r.Bound()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := r.Alive(ctx, at); err != nil {
		t.Fatal(err)
	}
	inner := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at.String())
	}}
	got, err := inner.LookupNetIP(ctx, "ip", "dl.example")
	if err != nil || len(got) != 1 || got[0] != at.Addr() {
		t.Errorf("Go's resolver: %v, %v", got, err)
	}
	m := new(miekg.Msg)
	m.SetQuestion("big.example.", miekg.TypeA)
	for _, tt := range []struct {
		edns uint16
		size int
	}{{0, 512}, {100, 512}, {800, 800}, {65535, maxUDP}} {
		m.Extra = nil
		if tt.edns > 0 {
			m.SetEdns0(tt.edns, false)
		}
		c := miekg.Client{UDPSize: 65535}
		udp, _, err := c.ExchangeContext(ctx, m, at.String())
		if err != nil {
			t.Fatal(err)
		}
		udp.Compress = true
		if !udp.Truncated || udp.Len() > tt.size || len(udp.Answer) == 0 {
			t.Errorf("EDNS size %d: %d bytes, truncated %v", tt.edns, udp.Len(), udp.Truncated)
		}
	}
	c := miekg.Client{Net: "tcp"}
	all, _, err := c.ExchangeContext(ctx, m, at.String())
	if err != nil || len(all.Answer) != 200 {
		t.Errorf("over TCP: %v, %v", all, err)
	}
}

// many returns n different A records.
func many(n int) []string {
	var out []string
	for i := range n {
		out = append(out, AddressRecord(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})))
	}
	return out
}

func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestHostUpstreams(t *testing.T) {
	dir := t.TempDir()
	main, resolved := filepath.Join(dir, "main"), filepath.Join(dir, "resolved")
	h := &hostUpstreams{paths: [2]string{main, resolved}, own: func(a netip.AddrPort) bool { return a.Addr() == gateway() }}
	for _, tt := range []struct{ main, resolved, want string }{
		{"nameserver 10.0.0.1\nnameserver 10.0.0.2\noptions edns0\n", "", "[10.0.0.1:53 10.0.0.2:53]"},
		{"nameserver 127.0.0.53\n", "nameserver 10.0.0.3\n", "[10.0.0.3:53]"},
		{"nameserver 127.0.0.53\n", "", "[127.0.0.53:53]"},
		{"nameserver 10.9.0.1\nnameserver 10.0.0.4\n", "", "[10.0.0.4:53]"},
		{"search x\n", "nameserver 10.0.0.3\n", "[]"},
		{"nameserver fe80::1%eth0\n", "", "[[fe80::1%eth0]:53]"},
	} {
		for path, text := range map[string]string{main: tt.main, resolved: tt.resolved} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h.looked = h.looked.Add(-2 * lookAgain) // time has passed
		h.stamp = [2]fileStamp{}                // whatever the file system's clock says
		if got := h.list(); strings.Join(texts(got), " ") != strings.Trim(tt.want, "[") && "["+strings.Join(texts(got), " ")+"]" != tt.want {
			t.Errorf("%q: %v, want %s", tt.main, got, tt.want)
		}
	}
}

func texts(all []netip.AddrPort) []string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return out
}

func TestRawdns(t *testing.T) {
	zones, err := ReadRawdns([]byte(`{
		"docker.": {"type": "containers", "socket": "unix:///var/run/docker.sock"},
		"corp.example.": {"type": "forwarding", "nameservers": ["10.0.0.1", "10.0.0.2:5353"], "randomize": false},
		"s.example.": {"type": "static", "addrs": ["10.0.0.6", "2001:db8::6"], "cnames": ["t.example"], "ptrs": ["p.example"],
			"txts": [["a \\ \"b\"", "c"]], "srvs": [{"priority": 1, "weight": 2, "port": 80, "target": "t.example."}], "nameservers": ["10.0.0.1"]},
		".": {"type": "forwarding", "nameservers": ["192.0.2.1", "192.0.2.2"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, z := range zones {
		if z.Kind == Containers {
			continue
		}
		if _, err := New(Options{Log: resolver(t, Options{}).options.Log, Count: func(Kind, string) {}, Trouble: func(error) {}, Zones: []Zone{z}}); err != nil {
			t.Errorf("%s: %v", z.Name, err)
		}
	}
	if len(zones) != 4 || zones[0].Name != "" || len(zones[3].Records) != 6 {
		t.Errorf("ReadRawdns = %+v", zones)
	}
	for _, bad := range []string{`{"x.": {"type": "magic"}}`, `{"x.": {"type": "static", "addrs": ["x"]}}`, `[]`, `{"x.": {"type": "forwarding", "nameservers": ["x"]}}`} {
		if _, err := ReadRawdns([]byte(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func TestParse(t *testing.T) {
	zones, err := ParseStatic([]string{"db.example A 10.0.0.7", "DB.example. TXT \"x\"", "10.0.0.7 PTR db.example."})
	if err != nil || len(zones) != 2 || zones[1].Name != "7.0.0.10.in-addr.arpa" || len(zones[0].Records) != 2 {
		t.Errorf("ParseStatic = %+v, %v", zones, err)
	}
	for _, bad := range []string{"", "x", "x A", "x A y", "x A 1.2.3.4\ny A 1.2.3.4", "x $INCLUDE /etc/passwd"} {
		if z, err := ParseStatic([]string{bad}); err == nil {
			t.Errorf("ParseStatic(%q) = %+v", bad, z)
		}
	}
	for _, bad := range []string{"", "x", "x=", "x=y", "*.x=10.0.0.1"} {
		if _, err := ParseZone(bad); err == nil {
			t.Errorf("ParseZone(%q) is no error", bad)
		}
	}
}

func TestStill(t *testing.T) {
	r := resolver(t, Options{Intercept: []string{"dl.example", "in.s.example"}, Zones: []Zone{
		{Name: "s.example", Kind: Static, Records: []string{"A 10.0.0.1", `TXT "x"`}},
		{Name: "c.example", Kind: Static, Records: []string{"CNAME elsewhere.example."}},
		{Name: "docker", Kind: Containers, Engine: Engine{URL: "unix:///nowhere"}}}})
	for name, want := range map[string]bool{"s.example.": true, "X.S.example.": true, "in.s.example.": false, "c.example.": false, "web.docker.": false, "dl.example.": false, "other.example.": false} {
		m := new(miekg.Msg)
		m.SetQuestion(name, miekg.TypeTXT)
		query, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if got := r.still(query); got != want {
			t.Errorf("still(%s) = %v, want %v", name, got, want)
		}
	}
}
