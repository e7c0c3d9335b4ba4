package dns

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	miekg "github.com/miekg/dns"
)

// maxDepth bounds how many CNAMEs are followed.
const maxDepth = 8

// parseRecords reads the records of a static zone: "TYPE DATA", as in a zone file.
func parseRecords(texts []string) ([]miekg.RR, error) {
	var out []miekg.RR
	for _, text := range texts {
		if len(strings.Fields(text)) < 2 || strings.ContainsAny(text, "\n\r$") {
			return nil, fmt.Errorf("record %q: write one type and its data, for example \"A 10.0.0.7\"", text)
		}
		rr, err := miekg.NewRR(". 0 IN " + text)
		if err != nil || rr == nil {
			return nil, fmt.Errorf("record %q: write one type and its data, for example \"A 10.0.0.7\"", text)
		}
		out = append(out, rr)
	}
	return out, nil
}

// static answers from configured records. A CNAME is followed if the client wants that.
func (r *Resolver) static(ctx context.Context, z *zone, q query) *miekg.Msg {
	m := local(q, miekg.RcodeSuccess)
	for _, rr := range z.records {
		rr = miekg.Copy(rr)
		rr.Header().Name = q.question.Name
		add(q, m, rr)
		target, ok := rr.(*miekg.CNAME)
		if !ok || !q.msg.RecursionDesired || q.question.Qtype == miekg.TypeCNAME || q.question.Qtype == miekg.TypeANY || q.depth >= maxDepth {
			continue
		}
		next := q
		next.question.Name, next.name, next.depth = target.Target, lower(target.Target), q.depth+1
		var more *miekg.Msg
		if z.upstreams != nil {
			more = r.upstream.answer(ctx, next, z.upstreams())
		} else {
			_, more = r.resolve(ctx, next)
		}
		m.Answer = append(m.Answer, more.Answer...)
		m.Rcode = more.Rcode
	}
	return m
}

// reverseName returns the name under which PTR records of an address are.
func reverseName(a netip.Addr) string {
	name, err := miekg.ReverseAddr(a.WithZone("").String())
	if err != nil {
		return "" // cannot be: it is an address
	}
	return lower(name)
}

// reverseAddr returns the address that a name of in-addr.arpa or ip6.arpa stands for.
func reverseAddr(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(rest, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
		return a, err == nil
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 32 {
		return netip.Addr{}, false
	}
	var b strings.Builder
	for i := range parts {
		if i > 0 && i%4 == 0 {
			b.WriteByte(':')
		}
		b.WriteString(parts[31-i])
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil
}
