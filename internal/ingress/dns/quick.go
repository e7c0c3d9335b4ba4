package dns

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"

	miekg "github.com/miekg/dns"
)

// Places and bits in a message (RFC 1035, 4.1.1).
const (
	headerSize  = 12
	optSize     = 11 // of an OPT record without options
	bitResponse = 1 << 15
	bitAA       = 1 << 10
	bitRD       = 1 << 8
	bitRA       = 1 << 7
	bitCD       = 1 << 4
	bitAD       = 1 << 5
	bitDO       = 1 << 15
)

// quick answers what nearly all clients ask about intercepted hosts, from the bytes of the
// query and into out, without memory of its own. nil means that [Resolver.handle] has to
// answer, which gives the same answer.
func (r *Resolver) quick(ctx context.Context, query, out []byte, client, at netip.Addr) []byte {
	end, qtype, ok := plainQuestion(query)
	if !ok || !interceptedType(qtype) || qtype == miekg.TypeANY {
		return nil
	}
	var buffer [256]byte
	name, ok := appendName(buffer[:0], query[headerSize:end-4])
	if !ok {
		return nil
	}
	if f := r.table.find(name, false); !f.intercepted || !r.clients.allows(client) || r.options.Log.Enabled(ctx, slog.LevelDebug) {
		return nil
	}
	if r.options.Address.IsValid() {
		at = r.options.Address
	}
	at = at.Unmap()
	out = append(out, query[:end]...)
	flags := binary.BigEndian.Uint16(query[2:])
	binary.BigEndian.PutUint16(out[2:], bitResponse|bitAA|bitRA|flags&(bitRD|bitCD))
	result, answers := "empty", uint16(0)
	if at.Is4() && qtype == miekg.TypeA || at.Is6() && qtype == miekg.TypeAAAA {
		result, answers = "ok", 1
		address := at.AsSlice()
		out = append(out, 0xc0, headerSize) // the name is that of the question
		out = binary.BigEndian.AppendUint16(out, qtype)
		out = append(out, 0, miekg.ClassINET, 0, 0, 0, 0, 0, byte(len(address)))
		out = append(out, address...)
	}
	binary.BigEndian.PutUint16(out[6:], answers)
	if len(query) > end {
		out = append(out, 0, 0, byte(miekg.TypeOPT), maxUDP>>8, maxUDP&0xff, 0, 0, query[end+7]&(bitDO>>8), 0, 0, 0)
	}
	r.options.Count(Intercepted, result)
	return out
}

// still reports whether a query is answered from configured records alone, so that whoever
// answers it in place never waits for others.
func (r *Resolver) still(query []byte) bool {
	end, _, ok := plainQuestion(query)
	if !ok {
		return false
	}
	var buffer [256]byte
	name, ok := appendName(buffer[:0], query[headerSize:end-4])
	if !ok {
		return false
	}
	f := r.table.find(name, false)
	return !f.intercepted && !f.service && f.zone.kind == Static && !f.zone.follows
}

// plainQuestion returns where the one question of a query ends and its type, if the query
// has nothing else but perhaps an OPT record of version 0 without options.
func plainQuestion(q []byte) (end int, qtype uint16, ok bool) {
	if len(q) < headerSize {
		return 0, 0, false
	}
	if flags := binary.BigEndian.Uint16(q[2:]); flags&^(bitRD|bitAD|bitCD) != 0 {
		return 0, 0, false // an answer, another operation, or bits that say nothing in a query
	}
	extra := binary.BigEndian.Uint16(q[10:])
	if binary.BigEndian.Uint16(q[4:]) != 1 || binary.BigEndian.Uint32(q[6:]) != 0 || extra > 1 {
		return 0, 0, false
	}
	at := headerSize
	for at < len(q) && q[at] != 0 {
		if q[at] > 63 {
			return 0, 0, false // a pointer has no business in a question
		}
		at += 1 + int(q[at])
	}
	end = at + 5
	if end > len(q) || at-headerSize > 254 || binary.BigEndian.Uint16(q[end-2:]) != miekg.ClassINET {
		return 0, 0, false
	}
	if extra == 1 && !plainOPT(q[end:]) || extra == 0 && len(q) != end {
		return 0, 0, false
	}
	return end, binary.BigEndian.Uint16(q[end-4:]), true
}

// plainOPT reports whether b is an OPT record of version 0 without options.
func plainOPT(b []byte) bool {
	return len(b) == optSize && b[0] == 0 && binary.BigEndian.Uint16(b[1:]) == miekg.TypeOPT && b[5] == 0 && b[6] == 0 && b[9] == 0 && b[10] == 0
}

// appendName appends a name in wire form as lower-case text without a dot at its end. Names
// that text writes with escapes are refused.
func appendName(to, wire []byte) ([]byte, bool) {
	for len(wire) > 0 && wire[0] != 0 {
		n := int(wire[0])
		if len(to) > 0 {
			to = append(to, '.')
		}
		for _, c := range wire[1 : 1+n] {
			switch {
			case c >= 'A' && c <= 'Z':
				c += 'a' - 'A'
			case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			default:
				return nil, false
			}
			to = append(to, c)
		}
		wire = wire[1+n:]
	}
	return to, true
}
