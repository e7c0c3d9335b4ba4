// Package ingresstest has what tests of several ways in need: an engine that answers with
// what it was asked, and the hosts at both ends of a connection.
package ingresstest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/share"
)

// Patience bounds everything that waits for a peer.
const Patience = 10 * time.Second

// An Echo is an engine that answers with what it was asked. A path that begins with /bad has
// a body that fails after its first 100 kB.
type Echo struct{}

// Classify knows nothing.
func (Echo) Classify(ecosystem.Request) (ecosystem.Resource, ecosystem.Ecosystem, error) {
	return ecosystem.Resource{}, nil, ecosystem.ErrUnknown
}

// Serve answers "METHOD URL build".
func (Echo) Serve(_ context.Context, req ecosystem.Request) (*engine.Answer, error) {
	if strings.HasPrefix(req.URL.Path, "/bad") {
		r := io.MultiReader(strings.NewReader(strings.Repeat("x", 100<<10)), failing{})
		return &engine.Answer{Outcome: engine.Miss, Size: -1, Body: forwardOnly{r}}, nil
	}
	b := []byte(fmt.Sprintf("%s %s %s", req.Method, req.URL, req.Build))
	return &engine.Answer{Outcome: engine.Hit, Bytes: b, Size: int64(len(b))}, nil
}

// failing is the end of a body that turned out wrong.
type failing struct{}

// Read fails.
func (failing) Read([]byte) (int, error) { return 0, digest.ErrMismatch }

// forwardOnly cannot seek.
type forwardOnly struct{ io.Reader }

// Seek fails.
func (forwardOnly) Seek(int64, int) (int64, error) { return 0, errors.New("seek") }

// NoPass is a Passer that passes nothing.
type NoPass struct{}

// Pass fails.
func (NoPass) Pass(context.Context, *http.Request) (*http.Response, error) {
	return nil, errors.New("unexpected pass")
}

// Get asks for a URL and returns the answer, whose body is closed, and the body.
func Get(t *testing.T, c *http.Client, target string) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// Dial connects to an address. The connection ends with the test.
func Dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// Far starts a host at the other end of a tunnel, which does f with each connection and then
// closes it, and returns its listener. It ends with the test.
func Far(t *testing.T, f func(c *net.TCPConn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed by the clean-up
			}
			group.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(Patience)) // what f does fails if this does
				f(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); group.Wait() })
	return l
}

// clients are how many connections Shares bounds, and those of each client.
const clients, each = 1 << 10, 2

// Shares returns what bounds the connections of a listener, and checks at the end of the
// test that all were given back. It is called before what closes the connections is
// registered as clean-up.
func Shares(t *testing.T) *share.Shares {
	t.Helper()
	s := share.New(clients, each, nil)
	t.Cleanup(func() {
		for n := range clients {
			if !s.Take(netip.AddrFrom4([4]byte{127, 0, 0, 1})) {
				t.Errorf("%d shares were not given back", clients-n)
				return
			}
		}
	})
	return s
}

// Crowd checks that an address with a listener of Shares hangs up on a client that has its
// share of connections, that others are served all the same, and that client again when
// it has ended one.
func Crowd(t *testing.T, address string) {
	t.Helper()
	const bad, good = "127.0.0.66", "127.0.0.77"
	ask := func(client string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
		c, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(c, "GET http://npm.example/a HTTP/1.1\r\nHost: npm.example\r\n\r\n"); err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return nil, err
		}
		return c, resp.Body.Close()
	}
	var last net.Conn
	for range each {
		c, err := ask(bad)
		if err != nil {
			t.Fatal(err)
		}
		last = c
	}
	if _, err := ask(bad); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("one connection more than its share: %v", err)
	}
	if _, err := ask(good); err != nil {
		t.Errorf("another client: %v", err)
	}
	_ = last.Close()
	for end := time.Now().Add(Patience); ; { // until the server has noticed
		_, err := ask(bad)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after one has ended: %v", err)
		}
	}
}
