package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	miekg "github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/netutil"

	"sutler/internal/share"
)

const (
	// bindAgain is how often an address is tried that cannot be listened on: the bridge may
	// come up later, the other program may go.
	bindAgain = time.Second
	// maxConns bounds connections over TCP at once, maxConnsEach those of one client, maxIdle
	// how long one may be silent.
	maxConns, maxConnsEach = 256, 32
	maxIdle                = 8 * time.Second
	// batch is how many messages are read or written by one system call.
	batch = 64
	// maxQuery is the largest query over UDP that is read.
	maxQuery = 4096
)

// Run listens and answers until ctx is done, and returns when everything it started has
// ended. An address that cannot be listened on is tried again and again, and told of once.
func (r *Resolver) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, a := range r.options.Listen {
		all.Go(func() { r.listen(ctx, a, netip.Addr{}) })
	}
	all.Wait()
	r.serving.Wait()
}

// Listen listens on one address more until ctx is done, as [Resolver.Run] does. Who asks
// there gets standIn for intercepted hosts, or this place if standIn is not valid, unless
// the options name an address for all.
func (r *Resolver) Listen(ctx context.Context, at netip.AddrPort, standIn netip.Addr) {
	r.listen(ctx, at, standIn)
}

// listen serves on one address until ctx is done; own is given for intercepted hosts, if valid.
func (r *Resolver) listen(ctx context.Context, at netip.AddrPort, own netip.Addr) {
	tick := time.NewTicker(bindAgain)
	defer tick.Stop()
	for told := false; ; {
		err := r.serve(ctx, at, own)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !told {
			told = true
			r.options.Trouble(explain(at, err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// explain says what to do about an address that cannot be listened on.
func explain(at netip.AddrPort, err error) error {
	why := "trying again every second"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		why = fmt.Sprintf("another program has it (`ss -lntup 'sport = :%d'` shows which): stop that, or set dns.listen to another port and dns.redirect to the bridge; trying again every second", at.Port())
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		why = "no interface has this address yet; waiting for it"
	case errors.Is(err, syscall.EACCES):
		why = "ports below 1024 need root, or CAP_NET_BIND_SERVICE"
	}
	return fmt.Errorf("dns.listen %s: %w; %s", at, err, why)
}

// serve serves on one address, over UDP and TCP, until ctx is done or one of them breaks.
func (r *Resolver) serve(ctx context.Context, at netip.AddrPort, own netip.Addr) error {
	var lc net.ListenConfig
	packets, err := lc.ListenPacket(ctx, "udp", at.String())
	if err != nil {
		return err
	}
	conn, ok := packets.(*net.UDPConn)
	if !ok {
		return errors.Join(fmt.Errorf("%T is no UDP socket", packets), packets.Close())
	}
	_ = conn.SetReadBuffer(1 << 20) // as much as the system gives
	stream, err := lc.Listen(ctx, "tcp", at.String())
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	if !own.IsValid() {
		own = r.place(at.Addr())
	}
	tcp := &miekg.Server{Listener: share.New(maxConns, maxConnsEach, nil).Listener(netutil.LimitListener(stream, maxConns)), Handler: r.handler(ctx, own),
		ReadTimeout: maxIdle, WriteTimeout: maxIdle, IdleTimeout: func() time.Duration { return maxIdle }}
	failed := make(chan error, 2)
	var both sync.WaitGroup
	both.Go(func() { failed <- r.serveUDP(ctx, conn, own) })
	both.Go(func() { failed <- tcp.ActivateAndServe() })
	r.setBound(at, true)
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	r.setBound(at, false)
	_ = tcp.Shutdown() // not started yet, or ended: closed either way
	_ = stream.Close() // likewise
	_ = conn.Close()   // ends serveUDP
	both.Wait()
	return err
}

func (r *Resolver) setBound(at netip.AddrPort, open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if open {
		r.bound[at] = true
	} else {
		delete(r.bound, at)
	}
}

// Bound returns the addresses that are listened on now.
func (r *Resolver) Bound() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []netip.AddrPort
	for a := range r.bound {
		out = append(out, a)
	}
	return out
}

// pulse is the name by which [Resolver.Alive] asks; it is answered at once and not counted.
const pulse = "alive.sutler."

// aliveWithin bounds that question.
const aliveWithin = 500 * time.Millisecond

// Alive asks a listener as a client would, and returns why it does not answer.
func (r *Resolver) Alive(ctx context.Context, at netip.AddrPort) error {
	m := new(miekg.Msg)
	m.SetQuestion(pulse, miekg.TypeANY)
	ctx, cancel := context.WithTimeout(ctx, aliveWithin)
	defer cancel()
	_, err := ask(ctx, m, "udp", at)
	return err
}

// handler answers messages that came over TCP.
func (r *Resolver) handler(ctx context.Context, at netip.Addr) miekg.Handler {
	return miekg.HandlerFunc(func(w miekg.ResponseWriter, msg *miekg.Msg) {
		client, err := netip.ParseAddrPort(w.RemoteAddr().String())
		if err != nil {
			return
		}
		if m := r.respond(ctx, msg, client.Addr(), at, true); m != nil {
			_ = w.WriteMsg(m) // the client has gone
		}
	})
}

// serveUDP answers messages from a socket until that is closed. What is known at once is
// answered in place, many messages by one system call; the rest by goroutines.
func (r *Resolver) serveUDP(ctx context.Context, conn *net.UDPConn, at netip.Addr) error {
	packets := ipv4.NewPacketConn(conn) // its batches serve both families
	in, out, buffers := messages(maxQuery), make([]ipv4.Message, 0, batch), messages(maxUDP)
	for {
		n, err := packets.ReadBatch(in, 0)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		out = out[:0]
		for i := range in[:n] {
			from, ok := in[i].Addr.(*net.UDPAddr)
			if !ok {
				continue
			}
			query := in[i].Buffers[0][:in[i].N]
			answer := r.quick(ctx, query, buffers[i].Buffers[0][:0], from.AddrPort().Addr(), at)
			if answer == nil && r.still(query) {
				answer = r.handle(ctx, query, from.AddrPort().Addr(), at)
			}
			if answer != nil {
				out = append(out, ipv4.Message{Buffers: [][]byte{answer}, Addr: from})
				continue
			}
			r.slow(ctx, conn, append([]byte(nil), query...), from.AddrPort(), at)
		}
		writeAll(packets, out)
	}
}

// messages makes a batch of messages with buffers of that size.
func messages(size int) []ipv4.Message {
	out := make([]ipv4.Message, batch)
	for i := range out {
		out[i].Buffers = [][]byte{make([]byte, size)}
	}
	return out
}

// writeAll sends messages; one that cannot be sent is passed over.
func writeAll(packets *ipv4.PacketConn, out []ipv4.Message) {
	for len(out) > 0 {
		n, err := packets.WriteBatch(out, 0)
		if err != nil {
			n = max(n, 0) + 1 // its client is not there, or will ask again
		}
		out = out[min(n, len(out)):]
	}
}

// slow answers a message in a goroutine, unless there are too many already.
func (r *Resolver) slow(ctx context.Context, conn *net.UDPConn, query []byte, client netip.AddrPort, at netip.Addr) {
	if !r.busy.Take(client.Addr()) {
		return // the client will ask again
	}
	r.serving.Go(func() {
		defer r.busy.Free(client.Addr())
		if wire := r.handle(ctx, query, client.Addr(), at); wire != nil {
			_, _ = conn.WriteToUDPAddrPort(wire, client) // the client has gone
		}
	})
}

// handle answers a message in wire form; nil is no answer at all.
func (r *Resolver) handle(ctx context.Context, query []byte, client, at netip.Addr) []byte {
	msg := new(miekg.Msg)
	if err := msg.Unpack(query); err != nil {
		return nil // whoever sends such things gets nothing to amplify
	}
	m := r.respond(ctx, msg, client, at, false)
	if m == nil {
		return nil
	}
	wire, err := m.Pack()
	if err != nil || len(wire) > maxUDP {
		m = reply(msg, miekg.RcodeServerFailure)
		finish(m, msg, miekg.MinMsgSize)
		if wire, err = m.Pack(); err != nil {
			return nil // cannot be: it has a header and the question
		}
	}
	return wire
}
