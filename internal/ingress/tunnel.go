package ingress

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"sutler/internal/engine"
	"sutler/internal/metrics"
	"sutler/internal/receipt"
)

// stretch is how many bytes are moved between two looks at the clock. Within a stretch
// the kernel moves them from socket to socket.
const stretch = 1 << 20

// errIdle ends a tunnel through which nothing went for too long.
var errIdle = errors.New("idle for too long")

// ends are the two connections of a tunnel.
type ends struct{ near, far net.Conn }

// breakOff resets both: neither side may take half a transfer for a whole one.
func (e ends) breakOff() {
	reset(e.near)
	reset(e.far)
}

// Tunnel moves bytes between client and host until both directions have ended, closes the
// host's connection, and records what went through. The caller releases the client's.
func (c *Conduit) Tunnel(ctx context.Context, near *Taken, far net.Conn, v Visit) {
	e := ends{near, far}
	c.Metrics.Tunnel(metrics.TunnelOpened)
	release := c.keep(e.far)
	defer release()
	idle := newWatch(c.IdleTimeout, e.breakOff)
	var sent, received int64
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { sent, errs[0] = move(e.far, e.near, idle); endOrBreak(e.far, e, errs[0]) })
	both.Go(func() { received, errs[1] = move(e.near, e.far, idle); endOrBreak(e.near, e, errs[1]) })
	both.Wait()
	err := cause(errs)
	if idle.end() {
		err = errIdle
	}
	c.Metrics.TunnelClosed(received, sent)
	l := c.line(v, engine.Bypass, err)
	l.Bytes, l.Upstream, l.Note = received, received, "tunnelled unseen"
	c.Receipts.Append(l)
	c.log(ctx, v, l)
}

// cause returns the error that ended a tunnel: breaking it off makes another of it.
func cause(errs [2]error) error {
	if errs[0] == nil || errors.Is(errs[0], net.ErrClosed) && errs[1] != nil {
		return errs[1]
	}
	return errs[0]
}

// A watch acts when a tunnel has been idle for too long.
type watch struct {
	limit time.Duration
	last  atomic.Int64 // when bytes moved last, Unix nanoseconds
	fired atomic.Bool
	timer *time.Timer
}

// newWatch returns a watch that calls act, once. The caller ends it.
func newWatch(limit time.Duration, act func()) *watch {
	w := &watch{limit: limit}
	w.moved()
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(limit, func() {
		<-ready
		if left := limit - time.Since(time.Unix(0, w.last.Load())); left > 0 {
			timer.Reset(left)
			return
		}
		w.fired.Store(true)
		act()
	})
	w.timer = timer
	close(ready)
	return w
}

// moved notes that bytes move.
func (w *watch) moved() { w.last.Store(time.Now().UnixNano()) }

// end stops the watch and reports whether it acted.
func (w *watch) end() bool {
	w.timer.Stop()
	return w.fired.Load()
}

// keep notes that far is open, so that Shutdown can close it, and returns the function
// that closes it.
func (c *Conduit) keep(far net.Conn) func() {
	c.mu.Lock()
	c.conns[far] = struct{}{}
	c.mu.Unlock()
	return func() {
		_ = far.Close() // all that mattered was moved
		c.mu.Lock()
		delete(c.conns, far)
		c.mu.Unlock()
	}
}

// move moves bytes until src ends. It only sets the deadline for reading, and often, to
// note progress: one that strikes loses nothing, whereas one that interrupts a write would
// lose what was read for it.
func move(dst, src net.Conn, w *watch) (int64, error) {
	var total int64
	for {
		if err := src.SetReadDeadline(time.Now().Add(w.limit / 4)); err != nil {
			return total, err
		}
		n, err := io.Copy(tcp(dst), &io.LimitedReader{R: bare(src), N: stretch})
		total += n
		if n > 0 {
			w.moved()
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return total, err
		case n == 0:
			return total, nil
		}
	}
}

// bare returns the connection itself if nothing is left that was read ahead of it: the
// kernel can move bytes between two TCP connections, but not out of a wrapper.
func bare(c net.Conn) io.Reader {
	if t, ok := c.(*Taken); ok && len(t.ahead) == 0 {
		return t.Conn
	}
	return c
}

// endOrBreak passes a good end on to dst, and breaks both ends off after any other.
func endOrBreak(dst net.Conn, e ends, err error) {
	h, ok := tcp(dst).(interface{ CloseWrite() error })
	if err != nil || !ok {
		e.breakOff()
		return
	}
	_ = h.CloseWrite() // a connection that has failed shows it to the other direction
}

// tcp returns the connection below one that was taken or comes from Listener.
func tcp(c net.Conn) net.Conn {
	switch t := c.(type) {
	case *opened:
		return t.Conn
	case *Taken:
		return t.Conn
	}
	return Bare(c)
}

// log writes the one record of a tunnel.
func (c *Conduit) log(ctx context.Context, v Visit, l receipt.Line) {
	level := slog.LevelInfo
	if l.Outcome != string(engine.Bypass) {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("build", v.Build), slog.String("ecosystem", l.Ecosystem), slog.String("resource", l.URL),
		slog.String("outcome", l.Outcome), slog.Int64("bytes", l.Bytes)}
	if l.Error != "" {
		attrs = append(attrs, slog.String("err", l.Error))
	}
	c.Log.LogAttrs(ctx, level, "served", attrs...)
}
