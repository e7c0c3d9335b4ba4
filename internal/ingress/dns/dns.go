// Package dns answers names for builds: hosts of ecosystems with sutler's own address,
// NAME.docker from the container engine, configured records, and everything else by asking
// other resolvers.
//
// The most specific zone wins, names are compared without regard to case. What is answered
// here has TTL 0, because sutler may be gone a second later. A [Resolver] listens only where
// it is told, answers only clients in its networks, and sends over UDP never more than the
// client said it can take. Sutler's own lookups go by [Resolver.Lookup], in which no host
// has sutler's address.
package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	miekg "github.com/miekg/dns"

	"sutler/internal/share"
)

// Options say what a Resolver answers, and to whom. Log, Count and Trouble are required.
type Options struct {
	Listen  []netip.AddrPort
	Clients []netip.Prefix // who is answered; if empty, the private networks of this machine's bridges and listeners
	Address netip.Addr     // what intercepted hosts resolve to; if not valid, the address that was asked

	Intercept []string         // hosts in lower case, or "*.name" for all names below
	Zones     []Zone           // besides the intercepted hosts
	Upstreams []netip.AddrPort // who is asked for what lies in no zone; if empty, those of the host

	// ResolvConf is read for Upstreams; ResolvedConf instead, if the former names only the
	// stub of systemd-resolved. Both are looked at again when they change.
	ResolvConf, ResolvedConf string

	Log     *slog.Logger
	Count   func(zone Kind, result string) // called once for each answer, must not block
	Trouble func(error)                    // somebody may have to act
}

// A Kind says how names of a zone are answered.
type Kind string

// The kinds. Intercepted and Refused are no kinds of configured zones.
const (
	Intercepted Kind = "intercepted" // sutler's address
	Containers  Kind = "containers"  // addresses from the container engine
	Static      Kind = "static"      // configured records
	Forwarded   Kind = "forwarded"   // asked elsewhere
	Refused     Kind = "refused"     // not for this client, or not a question
)

// Kinds lists all kinds, for metric labels.
func Kinds() []string {
	return []string{string(Intercepted), string(Containers), string(Static), string(Forwarded), string(Refused)}
}

// Results lists what an answer can be: an answer, none for that type, no such name, failed,
// refused.
func Results() []string { return []string{"ok", "empty", "nxdomain", "servfail", "refused"} }

// A Zone is a name with all names below it.
type Zone struct {
	Name      string           // without a dot at its end; "" is the root
	Kind      Kind             // Containers, Static or Forwarded
	Engine    Engine           // of Containers
	Records   []string         // of Static: "A 10.0.0.7", as in a zone file
	Upstreams []netip.AddrPort // of Forwarded; of Static: where its CNAMEs are looked up, if not here
}

// A Resolver answers queries. It is safe for concurrent use.
type Resolver struct {
	options  Options
	table    table
	clients  clients
	upstream *forwarder
	busy     *share.Shares // one for each query that is being worked on
	serving  sync.WaitGroup

	mu    sync.Mutex
	bound map[netip.AddrPort]bool // listeners that are open
}

const (
	// maxBusy bounds the queries that are worked on at once; more are dropped, and asked again.
	// maxBusyEach bounds those of one client: names that nobody answers take seconds each, and
	// one container with many of them must not take the names from all others.
	maxBusy, maxBusyEach = 1024, 128
	// maxUDP is the largest answer over UDP that needs no fragments on any usual network.
	maxUDP = 1232
	// answerWithin bounds the work on one query.
	answerWithin = 8 * time.Second
)

// New returns a resolver that does not listen yet. Errors name the zone or record that is
// wrong.
func New(o Options) (*Resolver, error) {
	if o.Log == nil || o.Count == nil || o.Trouble == nil {
		return nil, errors.New("dns: Log, Count and Trouble are required")
	}
	r := &Resolver{options: o, busy: share.New(maxBusy, maxBusyEach, nil), bound: map[netip.AddrPort]bool{}}
	r.clients = clients{configured: o.Clients, listen: o.Listen}
	r.upstream = newForwarder(r.isOwn, o.Trouble)
	host := &hostUpstreams{paths: [2]string{o.ResolvConf, o.ResolvedConf}, fixed: o.Upstreams, own: r.isOwn}
	t, err := newTable(o, r.upstream, host)
	if err != nil {
		return nil, err
	}
	r.table = t
	return r, nil
}

// isOwn reports whether an address is one that the resolver listens on: asking it would
// never end.
func (r *Resolver) isOwn(a netip.AddrPort) bool {
	r.mu.Lock()
	bound := r.bound[a]
	r.mu.Unlock()
	if bound {
		return true
	}
	for _, l := range r.options.Listen {
		if l == a {
			return true
		}
	}
	return false
}

// A query is one question, and who asks.
type query struct {
	question miekg.Question
	name     string // of the question, in lower case, without the dot at its end
	msg      *miekg.Msg
	at       netip.Addr // the address that was asked
	tcp      bool
	own      bool // sutler itself asks: no host has its address
	depth    int  // of CNAMEs followed so far
}

// respond answers a message from a client; nil is no answer at all.
func (r *Resolver) respond(ctx context.Context, msg *miekg.Msg, client, at netip.Addr, tcp bool) *miekg.Msg {
	started := time.Now()
	kind, answer := Refused, (*miekg.Msg)(nil)
	switch {
	case !r.clients.allows(client):
		answer = reply(msg, miekg.RcodeRefused)
	default:
		kind, answer = r.answer(ctx, msg, at, tcp)
	}
	if answer == nil {
		return nil
	}
	size := miekg.MaxMsgSize
	if !tcp {
		size = udpSize(msg)
	}
	finish(answer, msg, size)
	if kind != Refused && msg.Question[0].Name == pulse {
		return answer
	}
	r.options.Count(kind, result(answer))
	r.log(ctx, msg, client, kind, answer, started)
	return answer
}

// log writes the one line of a query.
func (r *Resolver) log(ctx context.Context, msg *miekg.Msg, client netip.Addr, kind Kind, answer *miekg.Msg, started time.Time) {
	if !r.options.Log.Enabled(ctx, slog.LevelDebug) || len(msg.Question) != 1 {
		return
	}
	q := msg.Question[0]
	r.options.Log.LogAttrs(ctx, slog.LevelDebug, "name asked", slog.String("name", q.Name), slog.String("type", miekg.Type(q.Qtype).String()),
		slog.String("client", client.String()), slog.String("zone", string(kind)), slog.String("result", result(answer)), slog.Duration("took", time.Since(started)))
}

// answer answers a message of somebody who may ask.
func (r *Resolver) answer(ctx context.Context, msg *miekg.Msg, at netip.Addr, tcp bool) (Kind, *miekg.Msg) {
	switch o := msg.IsEdns0(); {
	case msg.Response:
		return Refused, nil // an answer to an answer may never end
	case msg.Opcode != miekg.OpcodeQuery:
		return Refused, reply(msg, miekg.RcodeNotImplemented)
	case len(msg.Question) != 1:
		return Refused, reply(msg, miekg.RcodeFormatError)
	case o != nil && o.Version() != 0:
		return Refused, reply(msg, miekg.RcodeBadVers)
	case msg.Question[0].Qclass != miekg.ClassINET:
		return Refused, reply(msg, miekg.RcodeRefused)
	}
	q := query{question: msg.Question[0], name: lower(msg.Question[0].Name), msg: msg, at: at, tcp: tcp}
	if r.options.Address.IsValid() {
		q.at = r.options.Address
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return r.resolve(ctx, q)
}

// resolve answers a question from the zone that it lies in.
func (r *Resolver) resolve(ctx context.Context, q query) (Kind, *miekg.Msg) {
	found := r.table.find([]byte(q.name), q.own)
	switch {
	case found.service:
		return Intercepted, local(q, miekg.RcodeNameError)
	case found.intercepted && interceptedType(q.question.Qtype):
		return Intercepted, intercept(q)
	case q.question.Qtype == miekg.TypeANY && (!q.tcp || found.zone.kind == Forwarded):
		return found.zone.kind, minimal(q)
	}
	switch z := found.zone; z.kind {
	case Containers:
		return Containers, z.containers.answer(ctx, q, z.name)
	case Static:
		return Static, r.static(ctx, z, q)
	default:
		if q.question.Qtype == miekg.TypePTR && r.table.engine != nil {
			if m := r.table.engine.reverse(ctx, q, r.table.domain); m != nil {
				return Containers, m
			}
		}
		return Forwarded, r.upstream.answer(ctx, q, z.upstreams())
	}
}

// Lookup returns the addresses of a host for sutler itself: as the host's own resolver
// would, /etc/hosts and search domains included, but by this one's zones, and with no host
// intercepted.
func (r *Resolver) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	inner := net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		r.serving.Go(func() { r.serveSelf(context.WithoutCancel(ctx), there) })
		return here, nil
	}}
	return inner.LookupNetIP(ctx, "ip", host)
}

// serveSelf answers what sutler itself asks on a connection, until that is closed.
func (r *Resolver) serveSelf(ctx context.Context, conn net.Conn) {
	c := miekg.Conn{Conn: conn}
	defer func() { _ = c.Close() }() // a pipe
	for {
		msg, err := c.ReadMsg()
		if err != nil || len(msg.Question) != 1 {
			return
		}
		q := query{question: msg.Question[0], name: lower(msg.Question[0].Name), msg: msg, tcp: true, own: true}
		within, cancel := context.WithTimeout(ctx, answerWithin)
		_, answer := r.resolve(within, q)
		cancel()
		finish(answer, msg, miekg.MaxMsgSize)
		if c.WriteMsg(answer) != nil {
			return
		}
	}
}

// Wait returns when every lookup and listener has ended.
func (r *Resolver) Wait() { r.serving.Wait() }
