package ingress

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/policy"
)

// pair returns the two ends of a TCP connection, the first as Listener gives it.
func pair(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listener(plain, nil)
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err := errors.Join(err, l.Close(), far.SetDeadline(time.Now().Add(10*time.Second))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near.(*conn), far
}

func TestGathering(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n\r\n"
	for _, tt := range []struct {
		name   string
		body   int
		writes []string
		then   func(c *conn) error // what net/http does next
	}{
		{"complete in one piece", 3, []string{head + "abc"}, nil},
		{"complete in two", 3, []string{head + "a", "bc"}, nil},
		{"complete in many", 5, []string{head, "a", "b", "c", "de"}, nil},
		{"more than announced", 1, []string{head + "abc", "def"}, nil},
		{"nothing announced", 0, []string{head, "abc"}, nil},
		{"no end of the head", 3, []string{"HTTP/1.1 200 OK\r\n", "\r\nabc"}, nil},
		{"less than announced, next request", 9, []string{head, "abc"}, func(c *conn) error { return c.SetReadDeadline(time.Time{}) }},
		{"less than announced, taken over", 9, []string{head, "abc"}, func(c *conn) error { return c.SetDeadline(time.Time{}) }},
		{"less than announced, end", 9, []string{head, "abc"}, func(c *conn) error { return c.CloseWrite() }},
		{"less than announced, file", 9, []string{head, "abc"}, func(c *conn) error {
			_, err := c.ReadFrom(strings.NewReader(""))
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near, far := pair(t)
			near.body = tt.body
			for _, w := range tt.writes {
				if n, err := near.Write([]byte(w)); err != nil || n != len(w) {
					t.Fatalf("Write = %d, %v", n, err)
				}
			}
			if tt.then != nil {
				if err := tt.then(near); err != nil {
					t.Fatal(err)
				}
			}
			want := strings.Join(tt.writes, "")
			got := make([]byte, len(want))
			if _, err := io.ReadFull(far, got); err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			if near.held != nil || near.body != 0 {
				t.Error("something is still held")
			}
		})
	}
}

func TestPipelinedRequests(t *testing.T) {
	g := newRig(t, map[string]func(ecosystem.Request) (*engine.Answer, error){
		"/a": fixed(with(artifact(), func(a *engine.Answer) { a.Bytes, a.Size = []byte(strings.Repeat("a", 5000)), 5000 }), nil),
		"/b": fixed(with(artifact(), func(a *engine.Answer) { a.Bytes, a.Size = []byte("b"), 1 }), nil),
		"/f": stored(t, strings.Repeat("f", 100_000), true),
	}, policy.Rules{})
	var request string
	for _, p := range []string{"/a", "/b", "/f", "/missing", "/a"} {
		request += "GET " + p + " HTTP/1.1\r\nHost: h\r\n\r\n"
	}
	got, err := raw(t, serve(t, g.front("deb.example"), false), request+"HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(got, "HTTP/1.1 ") != 6 || strings.Count(got, strings.Repeat("a", 5000)) != 2 || strings.Count(got, "f") < 100_000 {
		t.Errorf("%d answers, %d bytes", strings.Count(got, "HTTP/1.1 "), len(got))
	}
}

func TestBare(t *testing.T) {
	near, far := pair(t)
	if Bare(near) != net.Conn(near.TCPConn) || Bare(far) != far {
		t.Error("Bare does not give the TCP connection")
	}
}
