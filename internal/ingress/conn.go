package ingress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"sutler/internal/share"
)

// Listener returns l with what makes small answers cheap: net/http writes the head and the
// end of a body of 4 KiB in two system calls, and the connections of this listener join
// them into one. Large files still go by sendfile. Servers of NewServer work with any
// listener; this one makes small answers cost a fifth less. shares bound the connections.
func Listener(l net.Listener, shares *share.Shares) net.Listener { return gathering{l, shares} }

// gathering is a listener whose connections can gather.
type gathering struct {
	net.Listener
	shares *share.Shares
}

// Accept waits for the next connection.
func (g gathering) Accept() (net.Conn, error) {
	c, free, err := g.shares.Accept(g.Listener)
	if err != nil {
		return nil, err
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		free()
		return nil, errors.Join(fmt.Errorf("%T is no TCP connection", c), c.Close())
	}
	return &conn{TCPConn: t, free: free}, nil
}

// Bare returns the connection below one of Listener, which the kernel can move bytes
// from and to, or c itself if it is none. Whoever uses it closes c all the same.
func Bare(c net.Conn) net.Conn {
	if g, ok := c.(*conn); ok {
		return g.TCPConn
	}
	return c
}

// A conn holds the pieces of an announced answer back until it is complete. Everything
// that net/http does between two answers ends the holding, so that a wrong announcement
// costs time only. Gathering, writing and ending happen in the goroutine that serves the
// connection; the mutex is for Close and deadlines, which others may call.
type conn struct {
	*net.TCPConn
	free func() // gives the client's share back

	mu   sync.Mutex
	body int           // bytes of the body announced; 0 if nothing is to be held
	held *bytes.Buffer // what was written so far; nil if nothing
	todo int           // bytes still to come; 0 until the head is complete
}

// connKey is the key of the conn in the context of requests.
type connKey struct{}

// withConn puts a conn into the context of its requests.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if g, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, g)
	}
	return ctx
}

// buffers are for what connections hold.
var buffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 8<<10)) }}

// announce tells the connection of r that an answer with a body of n bytes follows, and
// that its head says so.
func announce(r *http.Request, n int) {
	g, ok := r.Context().Value(connKey{}).(*conn)
	if !ok || r.TLS != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.body = n
}

// Write sends p, together with what was held back if p completes the answer, or holds it.
func (g *conn) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.body == 0:
		return g.TCPConn.Write(p)
	case g.held == nil:
		head := bytes.Index(p, []byte("\r\n\r\n"))
		if head < 0 { // an unusually long head: not worth the trouble
			g.body = 0
			return g.TCPConn.Write(p)
		}
		g.todo = head + 4 + g.body
	}
	if g.todo -= len(p); g.todo > 0 {
		if g.held == nil {
			g.held = buffers.Get().(*bytes.Buffer)
		}
		return g.held.Write(p)
	}
	return len(p), g.flush(p)
}

// flush sends what is held, and then last, and holds nothing from then on. The caller has
// locked mu.
func (g *conn) flush(last []byte) error {
	held := g.held
	g.body, g.todo, g.held = 0, 0, nil
	if held == nil {
		if len(last) == 0 {
			return nil
		}
		_, err := g.TCPConn.Write(last)
		return err
	}
	defer func() { held.Reset(); buffers.Put(held) }()
	pieces := net.Buffers{held.Bytes(), last}
	_, err := pieces.WriteTo(g.TCPConn)
	return err
}

// end sends what is held.
func (g *conn) end() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flush(nil)
}

// ReadFrom sends a file or a stream.
func (g *conn) ReadFrom(r io.Reader) (int64, error) {
	if err := g.end(); err != nil {
		return 0, err
	}
	return g.TCPConn.ReadFrom(r)
}

// SetReadDeadline is called by net/http between two requests.
func (g *conn) SetReadDeadline(t time.Time) error {
	if err := g.end(); err != nil {
		return err
	}
	return g.TCPConn.SetReadDeadline(t)
}

// SetDeadline is called when the connection is taken over.
func (g *conn) SetDeadline(t time.Time) error {
	if err := g.end(); err != nil {
		return err
	}
	return g.TCPConn.SetDeadline(t)
}

// CloseWrite ends the sending direction.
func (g *conn) CloseWrite() error {
	if err := g.end(); err != nil {
		return err
	}
	return g.TCPConn.CloseWrite()
}

// Close closes the connection. What is held then was never completed and is dropped.
func (g *conn) Close() error {
	defer g.free()
	return g.TCPConn.Close()
}
