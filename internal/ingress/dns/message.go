package dns

import (
	"strings"

	miekg "github.com/miekg/dns"
)

// lower returns a name in lower case without the dot at its end, as zones are kept.
func lower(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// reply returns an answer without records.
func reply(msg *miekg.Msg, rcode int) *miekg.Msg {
	m := new(miekg.Msg)
	m.SetReply(msg)
	m.Rcode = rcode
	return m
}

// local returns an answer without records from what is known here.
func local(q query, rcode int) *miekg.Msg {
	m := reply(q.msg, rcode)
	m.Authoritative = true
	return m
}

// minimal answers ANY as RFC 8482 wants it: with next to nothing.
func minimal(q query) *miekg.Msg {
	m := local(q, miekg.RcodeSuccess)
	m.Answer = []miekg.RR{&miekg.HINFO{Hdr: header(q.question.Name, miekg.TypeHINFO), Cpu: "RFC8482"}}
	return m
}

// header returns the head of a record that nobody keeps.
func header(name string, rrtype uint16) miekg.RR_Header {
	return miekg.RR_Header{Name: name, Rrtype: rrtype, Class: miekg.ClassINET}
}

// add puts a record where it belongs: among the answers, or beside them.
func add(q query, m *miekg.Msg, rr miekg.RR) {
	t := rr.Header().Rrtype
	if q.question.Qtype == t || q.question.Qtype == miekg.TypeANY || t == miekg.TypeCNAME {
		m.Answer = append(m.Answer, rr)
		return
	}
	m.Extra = append(m.Extra, rr)
}

// udpSize returns how many bytes may go to a client over UDP.
func udpSize(msg *miekg.Msg) int {
	if o := msg.IsEdns0(); o != nil {
		return min(max(int(o.UDPSize()), miekg.MinMsgSize), maxUDP)
	}
	return miekg.MinMsgSize
}

// finish makes an answer fit for its client: recursion is on offer, EDNS is answered with
// EDNS, and nothing is larger than size.
func finish(m, msg *miekg.Msg, size int) {
	m.Id, m.Response, m.RecursionAvailable, m.RecursionDesired = msg.Id, true, true, msg.RecursionDesired
	if o := msg.IsEdns0(); o != nil {
		m.SetEdns0(maxUDP, o.Do())
	}
	m.Compress = true // without it Truncate compresses only what would not fit otherwise
	m.Truncate(size)
}

// result says in one word what an answer is.
func result(m *miekg.Msg) string {
	switch m.Rcode {
	case miekg.RcodeSuccess:
		if len(m.Answer) == 0 {
			return "empty"
		}
		return "ok"
	case miekg.RcodeNameError:
		return "nxdomain"
	case miekg.RcodeServerFailure:
		return "servfail"
	default:
		return "refused"
	}
}
