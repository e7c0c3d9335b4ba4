package dns

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	miekg "github.com/miekg/dns"
)

// A fakeUpstream is a resolver on loopback, UDP and TCP on one port.
type fakeUpstream struct {
	at       netip.AddrPort
	udp, tcp atomic.Int64                                        // questions
	ports    sync.Map                                            // from which they came
	answer   func(m *miekg.Msg, q miekg.Question, tcp bool) bool // false for no answer at all
}

// upstream starts a resolver; what answer does not touch is an empty answer.
func upstream(t testing.TB, answer func(m *miekg.Msg, q miekg.Question, tcp bool) bool) *fakeUpstream {
	t.Helper()
	f := &fakeUpstream{answer: answer}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.at = l.Addr().(*net.TCPAddr).AddrPort()
	p, err := net.ListenPacket("udp", f.at.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*miekg.Server{{Listener: l, Handler: f}, {PacketConn: p, Handler: f}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		ended := make(chan error, 1)
		go func() { ended <- s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-ended
		})
	}
	return f
}

// ServeDNS implements miekg.Handler.
func (f *fakeUpstream) ServeDNS(w miekg.ResponseWriter, r *miekg.Msg) {
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	f.ports.Store(w.RemoteAddr().String(), true)
	if tcp {
		f.tcp.Add(1)
	} else {
		f.udp.Add(1)
	}
	m := new(miekg.Msg).SetReply(r)
	if f.answer(m, r.Question[0], tcp) {
		_ = w.WriteMsg(m)
	}
}

// rr reads a record.
func rr(t testing.TB, text string) miekg.RR {
	t.Helper()
	r, err := miekg.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// always answers every A with one address.
func always(address string) func(*miekg.Msg, miekg.Question, bool) bool {
	return func(m *miekg.Msg, q miekg.Question, _ bool) bool {
		if q.Qtype == miekg.TypeA {
			m.Answer = []miekg.RR{&miekg.A{Hdr: miekg.RR_Header{Name: q.Name, Rrtype: miekg.TypeA, Class: miekg.ClassINET, Ttl: 60}, A: net.ParseIP(address)}}
		}
		return true
	}
}

// A fakeEngine is the part of a container engine's API that names need.
type fakeEngine struct {
	mu    sync.Mutex
	list  []map[string]any
	byID  map[string]map[string]any
	asked []string
}

// engine starts a container engine on a unix socket.
func engine(t testing.TB, containers ...fakeContainer) (*fakeEngine, Engine) {
	t.Helper()
	f := &fakeEngine{byID: map[string]map[string]any{}}
	for _, c := range containers {
		f.add(c)
	}
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: f}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return f, Engine{URL: "unix://" + path}
}

// A fakeContainer is one container; networks are "name" → "address address alias alias".
type fakeContainer struct {
	id, name string
	links    []string
	labels   map[string]string
	networks map[string]string
	stopped  bool
}

func (f *fakeEngine) add(c fakeContainer) {
	short, long := map[string]any{}, map[string]any{}
	for n, text := range c.networks {
		e := map[string]any{"IPAddress": "", "GlobalIPv6Address": ""}
		var aliases []string
		for _, w := range strings.Fields(text) {
			switch a, err := netip.ParseAddr(w); {
			case err != nil:
				aliases = append(aliases, w)
			case a.Is4():
				e["IPAddress"] = w
			default:
				e["GlobalIPv6Address"] = w
			}
		}
		short[n] = e
		long[n] = map[string]any{"IPAddress": e["IPAddress"], "GlobalIPv6Address": e["GlobalIPv6Address"], "Aliases": aliases}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.byID[c.id] = map[string]any{"Id": c.id, "Name": "/" + c.name, "NetworkSettings": map[string]any{"IPAddress": "", "Networks": long}}
	if !c.stopped {
		f.list = append(f.list, map[string]any{"Id": c.id, "Names": append([]string{"/" + c.name}, c.links...), "Labels": c.labels,
			"NetworkSettings": map[string]any{"Networks": short}})
	}
}

// ServeHTTP implements http.Handler. As in the real one, what is no name is the beginning
// of an id.
func (f *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.URL.Path)
	name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/containers/"), "/json")
	if !ok {
		_ = json.NewEncoder(w).Encode(f.list)
		return
	}
	var some []map[string]any
	for id, c := range f.byID {
		if c["Name"] == "/"+name {
			_ = json.NewEncoder(w).Encode(c)
			return
		}
		if strings.HasPrefix(id, name) {
			some = append(some, c)
		}
	}
	switch len(some) {
	case 0:
		http.Error(w, "{}", http.StatusNotFound)
	case 1:
		_ = json.NewEncoder(w).Encode(some[0])
	default:
		http.Error(w, "{}", http.StatusBadRequest)
	}
}

// resolver makes a resolver that everybody may ask.
func resolver(t testing.TB, o Options) *Resolver {
	t.Helper()
	o.Log, o.Trouble = slog.New(slog.DiscardHandler), func(error) {}
	if o.Count == nil {
		o.Count = func(Kind, string) {}
	}
	if o.Clients == nil {
		o.Clients = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Wait)
	return r
}

// gateway is the address that tests ask.
func gateway() netip.Addr { return netip.MustParseAddr("10.9.0.1") }

// asks asks a resolver in wire form, as over UDP, and returns the answer.
func asks(t testing.TB, r *Resolver, name string, qtype uint16, change ...func(*miekg.Msg)) *miekg.Msg {
	t.Helper()
	m := new(miekg.Msg)
	m.SetQuestion(miekg.Fqdn(name), qtype)
	for _, c := range change {
		c(m)
	}
	query, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	client := netip.MustParseAddr("127.0.0.1")
	wire := r.quick(t.Context(), query, nil, client, gateway())
	if wire == nil {
		wire = r.handle(t.Context(), query, client, gateway())
	}
	out := new(miekg.Msg)
	if err := out.Unpack(wire); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if out.Id != m.Id || !out.Response || !out.RecursionAvailable {
		t.Errorf("%s: bad head: %+v", name, out.MsgHdr)
	}
	return out
}

// brief writes an answer in a line: the code, then the data of the answers.
func brief(m *miekg.Msg) string {
	parts := []string{miekg.RcodeToString[m.Rcode]}
	for _, r := range m.Answer {
		parts = append(parts, strings.TrimPrefix(r.String(), r.Header().String()))
	}
	return strings.Join(parts, " ")
}
