package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"slices"
)

const (
	// clientHello is the first byte of every TLS connection: a record of type handshake.
	clientHello = 0x16
	// extensionECH is the number of the extension encrypted_client_hello (RFC 9849).
	extensionECH = 0xfe0d
	// maxHello bounds what is read before it is known where a connection leads, bytes.
	// crypto/tls takes a message of 64 KiB, and clients may cut it into tiny records.
	maxHello = 256 << 10
)

var (
	// errHello means that a client began with more than any ClientHello has.
	errHello = errors.New("the client begins with more than a ClientHello can have")
	// errSeen ends the handshake that only looks.
	errSeen = errors.New("seen")
)

// A Hello is what the first bytes of a client say.
type Hello struct {
	TLS    bool
	Name   string // the server name; "" if there is none, or if the message makes no sense
	Hidden bool   // the client may have encrypted another name (ECH), or pretends to
	Protos []string
}

// HTTP reports whether the client may want to speak HTTP inside.
func (h Hello) HTTP() bool {
	return len(h.Protos) == 0 || slices.Contains(h.Protos, "h2") || slices.Contains(h.Protos, "http/1.1")
}

// Hello looks at what the client sends first, and puts it back: whoever reads next gets
// every byte. It fails if the client sends nothing, not all, or far too much of it; the
// deadline is that of the connection. The parser is that of crypto/tls.
func (t *Taken) Hello(ctx context.Context) (Hello, error) {
	r := &recorder{Taken: t}
	var first [1]byte
	_, err := io.ReadFull(r, first[:])
	r.putBack()
	if err != nil || first[0] != clientHello {
		return Hello{}, err
	}
	h := Hello{TLS: true}
	look := &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		h.Name, h.Protos = i.ServerName, i.SupportedProtos
		h.Hidden = slices.Contains(i.Extensions, extensionECH)
		return nil, errSeen
	}}
	err = tls.Server(r, look).HandshakeContext(ctx)
	r.putBack()
	if r.err != nil {
		return Hello{}, r.err
	}
	if !errors.Is(err, errSeen) {
		h = Hello{TLS: true} // no message that makes sense
	}
	return h, ctx.Err()
}

// A recorder keeps what is read, and sends nothing.
type recorder struct {
	*Taken
	seen []byte
	err  error // that ended the reading
}

// Read reads from the connection.
func (r *recorder) Read(b []byte) (int, error) {
	if len(r.seen) >= maxHello {
		r.err = errHello
		return 0, errHello
	}
	n, err := r.Taken.Read(b)
	r.seen = append(r.seen, b[:n]...)
	if err != nil {
		r.err = err
	}
	return n, err
}

// Write keeps the alert of the handshake that only looks from the client.
func (r *recorder) Write([]byte) (int, error) { return 0, errSeen }

// putBack makes what was read the next to be read again.
func (r *recorder) putBack() {
	r.Taken.ahead = append(r.seen, r.Taken.ahead...)
	r.seen = nil
}
