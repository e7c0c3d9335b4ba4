package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// An exchange is what one request took.
type exchange struct {
	first, total time.Duration
	size         int64
	err          error
}

// A client is one keep-alive connection; as small as can be, so that little of what is
// measured is the measuring.
type client struct {
	conn net.Conn
	r    *bufio.Reader
}

func dial(ctx context.Context, addr string) (*client, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

// get sends one request and reads the answer to its end.
func (c *client) get(target, host string) (x exchange) {
	start := time.Now()
	_, x.err = fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n\r\n", target, host)
	if x.err != nil {
		return x
	}
	var want int64
	if want, x.err = c.head(); x.err != nil {
		return x
	}
	if _, x.err = c.r.Peek(1); x.err != nil {
		return x
	}
	x.first = time.Since(start)
	x.size, x.err = io.CopyN(io.Discard, c.r, want)
	x.total = time.Since(start)
	if x.err == nil && x.size != want {
		x.err = errShort
	}
	return x
}

// head reads status line and fields, and returns the length of the body.
func (c *client) head() (int64, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return 0, fmt.Errorf("status %q", bytes.TrimSpace(line))
	}
	length := int64(-1)
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, fmt.Errorf("no Content-Length")
	}
	return length, nil
}

// hammer sends n requests over conns connections.
func hammer(ctx context.Context, c contestant, path string, conns, n int) error {
	errs := make(chan error, conns)
	var group sync.WaitGroup
	for range conns {
		group.Go(func() {
			errs <- func() error {
				cl, err := dial(ctx, c.addr)
				if err != nil {
					return err
				}
				defer cl.conn.Close()
				for range n / conns {
					if x := cl.get(c.target(path), c.host); x.err != nil {
						return x.err
					}
				}
				return ctx.Err()
			}()
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// burst sends one request over each of n new connections at once.
func burst(ctx context.Context, c contestant, path string, n int) []exchange {
	out := make([]exchange, n)
	var group sync.WaitGroup
	for i := range out {
		group.Go(func() { out[i] = once(ctx, c, path) })
	}
	group.Wait()
	return out
}

// once sends one request over a new connection.
func once(ctx context.Context, c contestant, path string) exchange {
	cl, err := dial(ctx, c.addr)
	if err != nil {
		return exchange{err: err}
	}
	defer cl.conn.Close()
	return cl.get(c.target(path), c.host)
}
