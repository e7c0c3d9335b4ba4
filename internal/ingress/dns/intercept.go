package dns

import (
	miekg "github.com/miekg/dns"
)

// interceptedType reports whether a type says where a host is, so that an answer from
// elsewhere would lead past sutler.
func interceptedType(t uint16) bool {
	switch t {
	case miekg.TypeA, miekg.TypeAAAA, miekg.TypeHTTPS, miekg.TypeSVCB, miekg.TypeCNAME, miekg.TypeDNAME, miekg.TypeANY:
		return true
	}
	return false
}

// intercept answers for an intercepted host: sutler's address for the family that it has,
// and consistently nothing for the rest.
func intercept(q query) *miekg.Msg {
	m := local(q, miekg.RcodeSuccess)
	switch at := q.at.Unmap(); {
	case q.question.Qtype == miekg.TypeANY && !q.tcp:
		return minimal(q)
	case at.Is4() && (q.question.Qtype == miekg.TypeA || q.question.Qtype == miekg.TypeANY):
		m.Answer = []miekg.RR{&miekg.A{Hdr: header(q.question.Name, miekg.TypeA), A: at.AsSlice()}}
	case at.Is6() && (q.question.Qtype == miekg.TypeAAAA || q.question.Qtype == miekg.TypeANY):
		m.Answer = []miekg.RR{&miekg.AAAA{Hdr: header(q.question.Name, miekg.TypeAAAA), AAAA: at.WithZone("").AsSlice()}}
	}
	return m
}
