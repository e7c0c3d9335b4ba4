package ingress

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// When a client is believed to insist on the origin's own certificate.
const (
	doubtAfter  = 3                // handshakes broken off
	doubtWithin = 10 * time.Minute // of each other
	doubtFor    = 30 * time.Minute // how long connections are tunnelled then
	maxDoubts   = 1024             // pairs of client and host that are remembered
)

// A Doubt is a host whose connections are tunnelled for a while although it is one to intercept.
type Doubt struct {
	Host  string
	Peer  netip.Addr // the client; the zero Addr: all of them
	Until time.Time
	Why   string
}

// doubts remember which clients broke handshakes off. The memory is bounded.
type doubts struct {
	now func() time.Time

	mu    sync.Mutex
	known map[doubtful]*doubt
}

// doubtful is what a doubt is about.
type doubtful struct {
	peer netip.Addr
	host string
}

// A doubt counts failures.
type doubt struct {
	failures int
	last     time.Time
	until    time.Time // of tunnelling
	why      string
}

// failed notes a handshake that a client broke off, and reports whether its connections to
// the host are tunnelled from now on.
func (d *doubts) failed(peer netip.Addr, host, why string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, k := d.now(), doubtful{peer, host}
	e := d.known[k]
	if e == nil {
		e = d.add(k, now)
	}
	if e.until.IsZero() && now.Sub(e.last) > doubtWithin {
		e.failures = 0
	}
	e.failures, e.last, e.why = e.failures+1, now, why
	if e.failures < doubtAfter {
		return false
	}
	e.until = now.Add(doubtFor)
	return true
}

// demanded notes that a host asks for certificates of clients, which only they have. It
// reports whether that is new.
func (d *doubts) demanded(host string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, k := d.now(), doubtful{host: host}
	e := d.known[k]
	if e == nil {
		e = d.add(k, now)
	}
	fresh := now.After(e.until)
	e.last, e.until, e.why = now, now.Add(doubtFor), "the origin asks for a client certificate"
	return fresh
}

// add makes room for a doubt and returns it. The caller has locked mu.
func (d *doubts) add(k doubtful, now time.Time) *doubt {
	if d.known == nil {
		d.known = map[doubtful]*doubt{}
	}
	for len(d.known) >= maxDoubts {
		var oldest doubtful
		var at time.Time
		for k, e := range d.known {
			if at.IsZero() || e.last.Before(at) {
				oldest, at = k, e.last
			}
		}
		delete(d.known, oldest)
	}
	e := &doubt{last: now}
	d.known[k] = e
	return e
}

// holds reports whether connections of a client to a host are tunnelled.
func (d *doubts) holds(peer netip.Addr, host string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known) == 0 {
		return false
	}
	now := d.now()
	for _, k := range [...]doubtful{{peer, host}, {host: host}} {
		if e := d.known[k]; e != nil && now.Before(e.until) {
			return true
		}
	}
	return false
}

// list returns the doubts that hold, by host.
func (d *doubts) list() []Doubt {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []Doubt
	for k, e := range d.known {
		if d.now().Before(e.until) {
			out = append(out, Doubt{Host: k.host, Peer: k.peer, Until: e.until, Why: e.why})
		}
	}
	slices.SortFunc(out, func(a, b Doubt) int {
		if c := strings.Compare(a.Host, b.Host); c != 0 {
			return c
		}
		return a.Peer.Compare(b.Peer)
	})
	return out
}

// Alerts by which clients say that they do not like a certificate (RFC 8446, section 6).
const (
	alertBadCertificate     = 42
	alertCertificateUnknown = 46
	alertUnknownCA          = 48
)

// plainAlert begins a fatal alert in the clear. OpenSSL sends what it has against the
// certificate of a TLS 1.3 server that way, which crypto/tls takes for a damaged record.
const plainAlert = "\x15\x03\x03\x00\x02\x02"

// distrust returns what a client said against the certificate, or "" if the handshake
// failed for another reason. tail is what it sent last. crypto/tls does not export the type
// of alerts that it received.
func distrust(err error, tail []byte) string {
	var op *net.OpError
	if !errors.As(err, &op) {
		return ""
	}
	v := reflect.ValueOf(op.Err)
	alert, inClear := bytes.CutPrefix(tail, []byte(plainAlert))
	switch {
	case op.Op == "remote error" && v.Kind() == reflect.Uint8:
		return objection(uint8(v.Uint()))
	case op.Op == "local error" && inClear && len(alert) == 1:
		return objection(alert[0])
	}
	return ""
}

// objection returns an alert in words if it is about a certificate, else "".
func objection(alert uint8) string {
	switch alert {
	case alertBadCertificate, alertCertificateUnknown, alertUnknownCA:
		return strings.TrimPrefix(tls.AlertError(alert).Error(), "tls: ")
	}
	return ""
}
