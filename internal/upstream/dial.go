package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

const (
	dialTimeout   = 10 * time.Second
	lookupTimeout = 4 * time.Second        // a miss during a DNS failure ends within 5 s
	headStart     = 250 * time.Millisecond // of each address over the next (RFC 8305)
	keepAlive     = 30 * time.Second
)

// dial connects to host:port. Names are resolved here, each address is checked, and the
// checked address itself is dialled: a second, different answer of the DNS is never used.
func (c *Client) dial(ctx context.Context, hostport string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, portName, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: write host:port", ErrBlocked, hostport)
	}
	port, err := strconv.ParseUint(portName, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%w: %s: port is not a number from 1 to 65535", ErrBlocked, hostport)
	}
	host = canonicalHost(host)
	addrs, err := c.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var allowed []netip.AddrPort
	var refused error
	for _, a := range addrs {
		to := netip.AddrPortFrom(a, uint16(port))
		if err := c.check(ctx, host, net.JoinHostPort(host, portName), to); err != nil {
			refused = cmp.Or(refused, err)
			continue
		}
		allowed = append(allowed, to)
	}
	if len(allowed) == 0 {
		return nil, refused
	}
	dialOne := c.connect
	if dialOne == nil {
		dialOne = connect
	}
	return race(ctx, interleave(allowed), dialOne)
}

// lookup returns the addresses of a host, at least one.
func (c *Client) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	resolve := c.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return new(net.Resolver).LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := resolve(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	if err != nil {
		// Asking again at once gives the same answer, and the waiting client has a limit.
		return nil, final{unresolved(host, err)}
	}
	return addrs, nil
}

// unresolved names the host, unless the error does.
func unresolved(host string, err error) error {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return err
	}
	return fmt.Errorf("look up %s: %w", host, err)
}

// connect dials one checked address.
func connect(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAlive: keepAlive}
	return d.DialContext(ctx, "tcp", to.String())
}

// interleave orders addresses so that the two families alternate, in their order, the
// family of the first address first: when one family leads nowhere, the second try is of the other.
func interleave(addrs []netip.AddrPort) []netip.AddrPort {
	var first, other []netip.AddrPort
	for _, a := range addrs {
		if a.Addr().Unmap().Is4() == addrs[0].Addr().Unmap().Is4() {
			first = append(first, a)
		} else {
			other = append(other, a)
		}
	}
	out := make([]netip.AddrPort, 0, len(addrs))
	for i := range max(len(first), len(other)) {
		if i < len(first) {
			out = append(out, first[i])
		}
		if i < len(other) {
			out = append(out, other[i])
		}
	}
	return out
}

// dialed is how one attempt of race ended.
type dialed struct {
	conn net.Conn
	err  error
}

// race tries addresses in order, each with a head start over the next, and returns the
// first connection. It returns when every attempt has ended.
func race(ctx context.Context, addrs []netip.AddrPort, one func(context.Context, netip.AddrPort) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialed, len(addrs))
	next := time.NewTimer(0)
	defer next.Stop()
	var errs []error
	for started := 0; len(errs) < len(addrs); {
		select {
		case <-next.C:
			if started < len(addrs) {
				to := addrs[started]
				go func() {
					conn, err := one(ctx, to)
					results <- dialed{conn, err}
				}()
				started++
				next.Reset(headStart)
			}
		case r := <-results:
			if r.err == nil {
				cancel()
				discard(results, started-len(errs)-1)
				return r.conn, nil
			}
			errs = append(errs, r.err)
			next.Reset(0)
		}
	}
	return nil, errors.Join(errs...)
}

// discard waits for n attempts that came too late, and closes what they opened.
func discard(results <-chan dialed, n int) {
	for range n {
		if r := <-results; r.err == nil {
			_ = r.conn.Close() // nothing was sent on it
		}
	}
}
