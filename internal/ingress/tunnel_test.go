package ingress

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func BenchmarkTunnel(b *testing.B) {
	e, other := pipe(b), pipe(b)
	go func() { _, _ = move(other[0], e[1], newWatch(time.Hour, func() {})) }()
	const size = 1 << 20
	go func() {
		buf := make([]byte, size)
		for {
			if _, err := e[0].Write(buf); err != nil {
				return
			}
		}
	}()
	b.SetBytes(size)
	buf := make([]byte, size)
	for b.Loop() {
		if _, err := io.ReadFull(other[1], buf); err != nil {
			b.Fatal(err)
		}
	}
}

// pipe returns the two ends of a TCP connection.
func pipe(tb testing.TB) [2]net.Conn {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	b, err := l.Accept()
	if err := errors.Join(err, l.Close()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return [2]net.Conn{a, b}
}
