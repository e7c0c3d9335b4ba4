package dns

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	miekg "github.com/miekg/dns"
)

const (
	// maxTTL and maxNegativeTTL cap how long answers of others are kept: builds are short, and
	// whoever repairs a name wants to see it.
	maxTTL         = time.Minute
	maxNegativeTTL = 5 * time.Second
	// maxAnswers bounds how many are kept.
	maxAnswers = 8192
)

// A key says what is asked, by everything that other resolvers get to see.
type key struct {
	name                       string
	qtype                      uint16
	recurse, dnssec, unchecked bool
	first                      netip.AddrPort // of the resolvers that are asked
}

func keyOf(q query, upstreams []netip.AddrPort) key {
	k := key{name: q.name, qtype: q.question.Qtype, recurse: q.msg.RecursionDesired, unchecked: q.msg.CheckingDisabled}
	if o := q.msg.IsEdns0(); o != nil {
		k.dnssec = o.Do()
	}
	if len(upstreams) > 0 {
		k.first = upstreams[0]
	}
	return k
}

// String returns k for the group of identical queries.
func (k key) String() string {
	return fmt.Sprint(k.name, " ", k.qtype, k.recurse, k.dnssec, k.unchecked, k.first)
}

// A cache keeps answers of other resolvers for as long as they allow. The zero cache is empty.
type cache struct {
	mu      sync.RWMutex
	answers map[key]answer
}

// An answer is a message that may be sent again until it expires.
type answer struct {
	msg     *miekg.Msg
	stored  time.Time
	expires time.Time
}

// get returns a copy of a kept answer, with what is left of its TTLs, or nil.
func (c *cache) get(k key, now time.Time) *miekg.Msg {
	c.mu.RLock()
	a, ok := c.answers[k]
	c.mu.RUnlock()
	if !ok || !now.Before(a.expires) {
		return nil
	}
	m := a.msg.Copy()
	age := uint32(now.Sub(a.stored) / time.Second)
	for _, section := range [...][]miekg.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != miekg.TypeOPT {
				h.Ttl -= min(age, h.Ttl)
			}
		}
	}
	return m
}

// put keeps an answer; OPT is between two neighbours and is taken off it.
func (c *cache) put(k key, m *miekg.Msg, now time.Time) {
	extra := m.Extra[:0:0]
	for _, rr := range m.Extra {
		if rr.Header().Rrtype != miekg.TypeOPT {
			extra = append(extra, rr)
		}
	}
	m.Extra = extra
	keep := lifetime(m)
	if keep <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil {
		c.answers = map[key]answer{}
	}
	c.trim(now)
	c.answers[k] = answer{msg: m.Copy(), stored: now, expires: now.Add(keep)}
}

// trim makes room: what has expired goes, and if that is nothing, anything.
func (c *cache) trim(now time.Time) {
	if len(c.answers) < maxAnswers {
		return
	}
	for k, a := range c.answers {
		if !now.Before(a.expires) {
			delete(c.answers, k)
		}
	}
	for k := range c.answers {
		if len(c.answers) < maxAnswers {
			return
		}
		delete(c.answers, k)
	}
}

// lifetime returns how long an answer may be kept: the smallest TTL, or for a negative
// answer what the zone's SOA says (RFC 2308); without one, not at all.
func lifetime(m *miekg.Msg) time.Duration {
	if m.Truncated || m.Rcode != miekg.RcodeSuccess && m.Rcode != miekg.RcodeNameError {
		return 0
	}
	if m.Rcode == miekg.RcodeNameError || len(m.Answer) == 0 {
		for _, rr := range m.Ns {
			if soa, ok := rr.(*miekg.SOA); ok {
				return min(time.Duration(min(soa.Minttl, soa.Hdr.Ttl))*time.Second, maxNegativeTTL)
			}
		}
		return 0
	}
	least := maxTTL
	for _, section := range [...][]miekg.RR{m.Answer, m.Ns} {
		for _, rr := range section {
			least = min(least, time.Duration(rr.Header().Ttl)*time.Second)
		}
	}
	return least
}
