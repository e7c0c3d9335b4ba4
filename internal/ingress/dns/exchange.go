package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

// errOtherQuestion says that an answer is to another question than was asked.
var errOtherQuestion = errors.New("the answer is to another question")

// exchange asks one resolver: over UDP, and again over TCP if the answer was cut short. One
// that does not know EDNS is asked without.
func exchange(ctx context.Context, m *miekg.Msg, to netip.AddrPort) (*miekg.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	got, err := ask(ctx, m, "udp", to)
	if err == nil && (got.Rcode == miekg.RcodeFormatError || got.Rcode == miekg.RcodeNotImplemented) && got.IsEdns0() == nil {
		m = m.Copy()
		m.Extra = nil
		got, err = ask(ctx, m, "udp", to)
	}
	if err == nil && got.Truncated {
		return ask(ctx, m, "tcp", to)
	}
	return got, err
}

// ask sends a message once and waits for its answer. Each question has a socket of its
// own, so its port is the system's choice and its peer is checked by the system; what does
// not carry the id and the question is not heard.
func ask(ctx context.Context, m *miekg.Msg, network string, to netip.AddrPort) (*miekg.Msg, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, to.String())
	if err != nil {
		return nil, err
	}
	c := miekg.Conn{Conn: conn, UDPSize: miekg.MaxMsgSize}
	defer func() { _ = c.Close() }()                                              // all is read that matters
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // a race was lost, or time is up
	defer stop()
	if err := c.WriteMsg(m); err != nil {
		return nil, because(ctx, err)
	}
	for {
		got, err := c.ReadMsg()
		var broken *miekg.Error
		switch {
		case err == nil && answers(got, m):
			return got, nil
		case network == "udp" && (err == nil || errors.As(err, &broken)):
			continue // a forgery, or a late answer: the real one may still come
		case err == nil:
			return nil, errOtherQuestion
		}
		return nil, because(ctx, err)
	}
}

// because returns what ended ctx, if that is why an operation failed.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// answers reports whether got is an answer to m.
func answers(got, m *miekg.Msg) bool {
	if !got.Response || got.Id != m.Id || got.Opcode != m.Opcode {
		return false
	}
	if len(got.Question) == 0 { // some leave it out when they refuse
		return got.Rcode != miekg.RcodeSuccess && got.Rcode != miekg.RcodeNameError
	}
	a, b := got.Question[0], m.Question[0]
	return len(got.Question) == 1 && a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}
