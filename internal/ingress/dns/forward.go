package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	miekg "github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

const (
	// headStart is what each resolver has over the next one in the list.
	headStart = 250 * time.Millisecond
	// tryWithin bounds one question to one resolver.
	tryWithin = 3 * time.Second
	// forwardWithin bounds the whole of one forwarded question.
	forwardWithin = 5 * time.Second
	// avoidFor is how long a resolver that did not answer is asked last.
	avoidFor = 30 * time.Second
)

// errNoUpstream says that there is nobody to ask.
var errNoUpstream = errors.New("no resolver to ask; set dns.upstreams")

// A forwarder asks other resolvers, keeps their answers for a while, and asks only once
// for what several clients want at the same time.
type forwarder struct {
	own     func(netip.AddrPort) bool
	trouble func(error)
	cache   cache
	group   singleflight.Group

	mu     sync.Mutex
	failed map[netip.AddrPort]time.Time
	warned time.Time
}

func newForwarder(own func(netip.AddrPort) bool, trouble func(error)) *forwarder {
	return &forwarder{own: own, trouble: trouble, failed: map[netip.AddrPort]time.Time{}}
}

// answer answers a query by asking these resolvers; SERVFAIL if none answers.
func (f *forwarder) answer(ctx context.Context, q query, upstreams []netip.AddrPort) *miekg.Msg {
	k := keyOf(q, upstreams)
	if m := f.cache.get(k, time.Now()); m != nil {
		m.Question = q.msg.Question // as the client spelled it
		return m
	}
	done := f.group.DoChan(k.String(), func() (any, error) {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), forwardWithin)
		defer cancel()
		m, err := f.race(within, question(k), f.order(upstreams))
		if err != nil {
			f.warn(err)
			return nil, err
		}
		f.cache.put(k, m, time.Now())
		return m, nil
	})
	select {
	case r := <-done:
		if m, ok := r.Val.(*miekg.Msg); ok {
			m = m.Copy()
			m.Question = q.msg.Question
			return m
		}
	case <-ctx.Done():
	}
	return reply(q.msg, miekg.RcodeServerFailure)
}

// question returns the message that is sent to other resolvers. It has an id of its own,
// and nothing of the client but what it wants to know.
func question(k key) *miekg.Msg {
	m := new(miekg.Msg)
	m.Id, m.RecursionDesired, m.CheckingDisabled = miekg.Id(), k.recurse, k.unchecked
	m.Question = []miekg.Question{{Name: miekg.Fqdn(k.name), Qtype: k.qtype, Qclass: miekg.ClassINET}}
	m.SetEdns0(maxUDP, k.dnssec)
	return m
}

// order returns the resolvers to ask: never ourselves, and those last that did not answer.
func (f *forwarder) order(all []netip.AddrPort) []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	var good, bad []netip.AddrPort
	for _, u := range all {
		switch at, failed := f.failed[u]; {
		case f.own(u):
		case failed && time.Since(at) < avoidFor:
			bad = append(bad, u)
		default:
			good = append(good, u)
		}
	}
	return append(good, bad...)
}

// mark notes whether a resolver answered.
func (f *forwarder) mark(u netip.AddrPort, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.failed, u)
	} else if !errors.Is(err, context.Canceled) {
		f.failed[u] = time.Now()
	}
}

// warn tells of a failure, but not of each.
func (f *forwarder) warn(err error) {
	f.mu.Lock()
	again := time.Since(f.warned) > time.Minute
	if again {
		f.warned = time.Now()
	}
	f.mu.Unlock()
	if again {
		f.trouble(fmt.Errorf("dns: names cannot be looked up: %w", err))
	}
}

// tried is how one resolver answered.
type tried struct {
	by  netip.AddrPort
	msg *miekg.Msg
	err error
}

// race asks resolvers in order, each with a head start over the next, which a failure cuts
// short, and returns the first answer that is one: SERVFAIL and REFUSED are only returned
// if nobody knows better.
func (f *forwarder) race(ctx context.Context, m *miekg.Msg, upstreams []netip.AddrPort) (*miekg.Msg, error) {
	if len(upstreams) == 0 {
		return nil, errNoUpstream
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan tried, len(upstreams))
	next := time.NewTimer(0)
	defer next.Stop()
	var poor *miekg.Msg
	var errs []error
	for started, ended := 0, 0; ended < len(upstreams); {
		select {
		case <-ctx.Done():
			return nil, errors.Join(append(errs, ctx.Err())...)
		case <-next.C:
			if started < len(upstreams) {
				u := upstreams[started]
				started++
				go func() {
					got, err := exchange(ctx, m, u)
					results <- tried{u, got, err}
				}()
				next.Reset(headStart)
			}
		case t := <-results:
			ended++
			f.mark(t.by, t.err)
			switch {
			case t.err != nil:
				errs = append(errs, fmt.Errorf("%s: %w", t.by, t.err))
			case t.msg.Rcode == miekg.RcodeSuccess || t.msg.Rcode == miekg.RcodeNameError:
				return t.msg, nil
			default:
				poor = t.msg
			}
			next.Reset(0)
		}
	}
	if poor != nil {
		return poor, nil
	}
	return nil, errors.Join(errs...)
}
