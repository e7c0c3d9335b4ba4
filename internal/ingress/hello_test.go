package ingress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// A script is a connection whose peer has sent all it will.
type script struct {
	net.Conn
	r io.Reader
}

func (s script) Read(b []byte) (int, error)       { return s.r.Read(b) }
func (s script) Write(b []byte) (int, error)      { return 0, errors.New("nothing may be sent") }
func (s script) Close() error                     { return nil }
func (s script) SetDeadline(time.Time) error      { return nil }
func (s script) SetReadDeadline(time.Time) error  { return nil }
func (s script) SetWriteDeadline(time.Time) error { return nil }

// FuzzHello checks that looking takes nothing away and sends nothing, whatever comes.
func FuzzHello(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 0)
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"), 3)
	var sent bytes.Buffer
	_ = tls.Client(recording{&sent}, &tls.Config{ServerName: "npm.example", NextProtos: []string{"h2"}}).HandshakeContext(f.Context()) // it gets no answer
	f.Add(sent.Bytes(), 0)
	f.Add(sent.Bytes()[:200], 7)
	f.Fuzz(func(t *testing.T, sent []byte, ahead int) {
		ahead = min(max(0, ahead), len(sent))
		c := &Taken{Conn: script{r: bytes.NewReader(sent[ahead:])}, ahead: bytes.Clone(sent[:ahead])}
		h, err := c.Hello(context.WithoutCancel(t.Context()))
		if h.TLS && (len(sent) == 0 || sent[0] != clientHello) || err != nil && (h.TLS || h.Name != "") {
			t.Errorf("%+v, %v", h, err)
		}
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes are left, %v, want %d", len(got), err, len(sent))
		}
	})
}

// recording is a connection that keeps what is sent and gives no answer.
type recording struct{ *bytes.Buffer }

func (recording) Read([]byte) (int, error)         { return 0, io.EOF }
func (recording) Close() error                     { return nil }
func (recording) LocalAddr() net.Addr              { return doorAddr{} }
func (recording) RemoteAddr() net.Addr             { return doorAddr{} }
func (recording) SetDeadline(time.Time) error      { return nil }
func (recording) SetReadDeadline(time.Time) error  { return nil }
func (recording) SetWriteDeadline(time.Time) error { return nil }

func TestHello(t *testing.T) {
	var sent bytes.Buffer
	_ = tls.Client(recording{&sent}, &tls.Config{ServerName: "npm.example", NextProtos: []string{"h2"}}).HandshakeContext(t.Context()) // it gets no answer
	c := &Taken{Conn: script{r: strings.NewReader("rest")}, ahead: sent.Bytes()}
	h, err := c.Hello(t.Context())
	if err != nil || !h.TLS || h.Name != "npm.example" || !h.HTTP() || h.Hidden {
		t.Errorf("%+v, %v", h, err)
	}
	endless := &Taken{Conn: script{r: io.MultiReader(strings.NewReader("\x16\x03\x01\x00\x05\x01\x00\xff\xff\x00"), records{})}}
	if h, err := endless.Hello(t.Context()); !errors.Is(err, errHello) {
		t.Errorf("endless: %+v, %v", h, err)
	}
	if n := len(endless.ahead); n < maxHello || n > maxHello+64<<10 {
		t.Errorf("%d bytes were kept, want about %d", n, maxHello)
	}
}

// records are endless records of one byte.
type records struct{}

func (records) Read(b []byte) (int, error) {
	n := len(b) / 6 * 6
	if n == 0 {
		return copy(b, "\x16\x03\x01\x00\x01\x00"), nil // misaligned from here on: it ends otherwise
	}
	copy(b, bytes.Repeat([]byte("\x16\x03\x01\x00\x01\x00"), n/6))
	return n, nil
}

// TestDoubts goes through the life of a doubt with a clock of its own.
func TestDoubts(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := doubts{now: func() time.Time { return now }}
	peer, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, tt := range []struct {
		pass time.Duration // before the failure
		want bool
	}{
		{0, false}, {time.Minute, false}, {doubtWithin + time.Second, false}, // too far apart: begins again
		{time.Second, false}, {time.Second, true},
		{doubtFor + time.Second, true}, // the next failure after a while is enough
	} {
		now = now.Add(tt.pass)
		if got := d.failed(peer, "npm.example", "why"); got != tt.want || d.holds(peer, "npm.example") != tt.want {
			t.Errorf("failure %d: %v, want %v", i, got, tt.want)
		}
	}
	if d.holds(other, "npm.example") || d.holds(peer, "other.example") {
		t.Error("a doubt is about one client and one host")
	}
	if !d.demanded("cert.example") || d.demanded("cert.example") || !d.holds(other, "cert.example") {
		t.Error("a host that asks for certificates is tunnelled for everybody, and noted once")
	}
	if l := d.list(); len(l) != 2 || l[0].Host != "cert.example" || l[1].Peer != peer || l[1].Why != "why" {
		t.Errorf("list = %+v", l)
	}
	now = now.Add(doubtFor + time.Second)
	if d.holds(peer, "npm.example") || len(d.list()) > 0 {
		t.Error("a doubt ends")
	}
	for i := range 2 * maxDoubts {
		now = now.Add(time.Millisecond)
		d.failed(peer, fmt.Sprint(i, ".example"), "why")
	}
	if len(d.known) != maxDoubts {
		t.Errorf("%d doubts are remembered, want %d", len(d.known), maxDoubts)
	}
}

func TestDistrust(t *testing.T) {
	for _, err := range []error{nil, io.EOF, &net.OpError{Op: "remote error", Err: io.EOF}, &net.OpError{Op: "read", Err: tls.AlertError(48)}, &net.OpError{Op: "remote error", Err: tls.AlertError(40)}} {
		if why := distrust(err, nil); why != "" {
			t.Errorf("distrust(%v) = %q", err, why)
		}
	}
	mac := &net.OpError{Op: "local error", Err: tls.AlertError(20)}
	for tail, want := range map[string]string{plainAlert + "\x30": "unknown certificate authority", plainAlert + "\x28": "", plainAlert: "", "x" + plainAlert: ""} {
		if why := distrust(mac, []byte(tail)); why != want {
			t.Errorf("distrust after %q = %q, want %q", tail, why, want)
		}
	}
	if why := distrust(&net.OpError{Op: "remote error", Err: tls.AlertError(48)}, nil); why != "unknown certificate authority" {
		t.Errorf("distrust = %q", why)
	}
}
