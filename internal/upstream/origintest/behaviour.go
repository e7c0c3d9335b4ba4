package origintest

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Behaviour answers a request in its own way.
type Behaviour func(*Answer)

// An Answer is what a Behaviour works with.
type Answer struct {
	W       http.ResponseWriter
	R       *http.Request
	Content Content // of the place
	origin  *Origin
}

// fields sets the header that the content has.
func (a *Answer) fields() {
	h := a.W.Header()
	maps.Copy(h, a.Content.Header)
	h.Set("Content-Type", "application/octet-stream")
	if a.Content.Type != "" {
		h.Set("Content-Type", a.Content.Type)
	}
	if tag := a.Content.etag(); tag != "" {
		h.Set("ETag", tag)
	}
	if m := a.Content.modified(); m.Unix() != 0 {
		h.Set("Last-Modified", m.UTC().Format(http.TimeFormat))
	}
}

// Serve answers as a good origin does, with ranges and conditions.
func (a *Answer) Serve() {
	a.fields()
	http.ServeContent(a.W, a.R, "", a.Content.modified(), strings.NewReader(a.Content.Body))
}

// Flush sends what was written.
func (a *Answer) Flush() { _ = http.NewResponseController(a.W).Flush() } // fails if the client is gone

// Abort breaks the answer off.
func (a *Answer) Abort() { panic(http.ErrAbortHandler) }

// start sends the header of a 200 that announces all of the content.
func (a *Answer) start() {
	a.fields()
	a.W.Header().Set("Content-Length", strconv.Itoa(len(a.Content.Body)))
	a.W.WriteHeader(http.StatusOK)
}

// Truncate announces the content and breaks off after n bytes. Requests for a range are
// answered well, so that a fetch can be continued; see TruncateAlways.
func Truncate(n int) Behaviour {
	return func(a *Answer) {
		if a.R.Header.Get("Range") != "" {
			a.Serve()
			return
		}
		TruncateAlways(n)(a)
	}
}

// TruncateAlways breaks off after n bytes of the content, whatever is asked for.
func TruncateAlways(n int) Behaviour {
	return func(a *Answer) {
		a.start()
		_, _ = io.WriteString(a.W, a.Content.Body[:n]) // the client may be gone
		a.Flush()
		a.Abort()
	}
}

// Pieces answers every request, for a range too, and breaks off after n bytes each time.
func Pieces(n int) Behaviour {
	return func(a *Answer) {
		a.W = &cutter{ResponseWriter: a.W, left: n}
		a.Serve()
	}
}

// A cutter breaks an answer off.
type cutter struct {
	http.ResponseWriter
	left int
}

// Write writes what is left, and then breaks off.
func (c *cutter) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])                // the client may be gone
	_ = http.NewResponseController(c.ResponseWriter).Flush() // as above
	panic(http.ErrAbortHandler)
}

// Drip sends the content in pieces of n bytes with a pause after each.
func Drip(n int, pause time.Duration) Behaviour {
	return func(a *Answer) {
		a.start()
		for piece := range slices.Chunk([]byte(a.Content.Body), n) {
			_, _ = a.W.Write(piece) // the client may be gone: the pause then ends it
			a.Flush()
			if !a.wait(time.After(pause)) {
				return
			}
		}
	}
}

// Delay waits before the first byte of the header.
func Delay(d time.Duration) Behaviour {
	return func(a *Answer) {
		if a.wait(time.After(d)) {
			a.Serve()
		}
	}
}

// wait waits for c, and reports whether the client lasted as long.
func (a *Answer) wait(c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	case <-a.R.Context().Done():
		return false
	}
}

// Length announces n bytes, over HTTP/1.1, and sends all of the content: more than that, or
// fewer and then closes.
func Length(n int) Behaviour {
	return func(a *Answer) {
		a.raw(func(conn net.Conn, w *bufio.Writer) {
			a.rawHeader(w, "200 OK", fmt.Sprintf("Content-Length: %d\r\n", n))
			_, _ = w.WriteString(a.Content.Body) // sticky in w
		})
	}
}

// Reset resets the connection, over HTTP/1.1, after the header and n bytes of the content.
func Reset(n int) Behaviour {
	return func(a *Answer) {
		a.raw(func(conn net.Conn, w *bufio.Writer) {
			a.rawHeader(w, "200 OK", fmt.Sprintf("Content-Length: %d\r\n", len(a.Content.Body)))
			_, _ = w.WriteString(a.Content.Body[:n]) // sticky in w
			_ = w.Flush()                            // the client may be gone
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset, not an end
			}
		})
	}
}

// Hangup closes the connection instead of answering.
func Hangup() Behaviour {
	return func(a *Answer) { a.raw(func(net.Conn, *bufio.Writer) {}) }
}

// Raw sends bytes as they are instead of an answer, and closes.
func Raw(answer string) Behaviour {
	return func(a *Answer) {
		a.raw(func(_ net.Conn, w *bufio.Writer) { _, _ = w.WriteString(answer) }) // sticky in w
	}
}

// raw lets write use the connection itself, and then closes it.
func (a *Answer) raw(write func(net.Conn, *bufio.Writer)) {
	conn, buf, err := http.NewResponseController(a.W).Hijack()
	if err != nil {
		a.origin.t.Errorf("origintest: %s: this behaviour needs HTTP/1.1: %v", a.R.URL, err)
		a.Abort()
	}
	defer conn.Close()
	write(conn, buf.Writer)
	_ = buf.Flush() // the client may be gone
}

// rawHeader writes the header of the content.
func (a *Answer) rawHeader(w io.Writer, status, more string) {
	a.fields()
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %s\r\nDate: %s\r\n", status, time.Now().UTC().Format(http.TimeFormat)) // sticky in w
	_ = a.W.Header().Write(w)                                                                              // as above
	_, _ = io.WriteString(w, more+"\r\n")                                                                  // as above
}

// Endless sends zeros, without announcing a length, until the client has had enough.
func Endless() Behaviour {
	return func(a *Answer) {
		a.fields()
		zeros := make([]byte, 64<<10)
		for a.R.Context().Err() == nil {
			if _, err := a.W.Write(zeros); err != nil {
				return
			}
		}
	}
}

// Wrong sends other bytes under the header of the content.
func Wrong(body string) Behaviour {
	return func(a *Answer) {
		a.fields()
		_, _ = io.WriteString(a.W, body) // the client may be gone
	}
}

// Login sends a page for people, as captive portals and expired sessions do.
func Login() Behaviour {
	return func(a *Answer) {
		a.W.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(a.W, "<!doctype html><title>Sign in</title><form method=post><input name=user></form>") // as above
	}
}

// Gzip compresses the content, whether or not that was asked for.
func Gzip() Behaviour {
	return func(a *Answer) {
		a.fields()
		a.W.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(a.W)
		_, _ = io.WriteString(z, a.Content.Body) // the client may be gone
		_ = z.Close()                            // as above
	}
}

// Fields serves the content with further header fields, given as name, value, name, value.
func Fields(fields ...string) Behaviour {
	return func(a *Answer) {
		a.set(fields)
		a.Serve()
	}
}

// set sets header fields.
func (a *Answer) set(fields []string) {
	for pair := range slices.Chunk(fields, 2) {
		a.W.Header().Add(pair[0], pair[1])
	}
}

// NotModified answers 304 to everything.
func NotModified() Behaviour {
	return func(a *Answer) {
		a.fields()
		a.W.WriteHeader(http.StatusNotModified)
	}
}

// Redirect answers 302 with a target as it is: a URL, or relative to the place.
func Redirect(to string) Behaviour { return Status(http.StatusFound, "Location", to) }

// Status answers with a status, header fields as for Fields, and a short body.
func Status(code int, fields ...string) Behaviour {
	return func(a *Answer) {
		a.set(fields)
		a.W.WriteHeader(code)
		_, _ = fmt.Fprintf(a.W, "status %d\n", code) // the client may be gone
	}
}

// Sequence behaves in turn as told, and then like the last for ever. A nil behaviour serves
// the content.
func Sequence(all ...Behaviour) Behaviour {
	var mu sync.Mutex
	n := 0
	return func(a *Answer) {
		mu.Lock()
		b := all[min(n, len(all)-1)]
		n++
		mu.Unlock()
		if b == nil {
			a.Serve()
			return
		}
		b(a)
	}
}

// Times behaves like b for the first n requests; later ones are served the content.
func Times(n int, b Behaviour) Behaviour {
	all := slices.Repeat([]Behaviour{b}, n)
	return Sequence(append(all, nil)...)
}

// ChangeAt sends n bytes of the content, changes it to another, and breaks off.
func ChangeAt(n int, where, body string) Behaviour {
	return func(a *Answer) {
		a.origin.Behave(where, nil)
		a.origin.File(where, body)
		TruncateAlways(n)(a)
	}
}

// A Gate keeps requests waiting until it is opened.
type Gate struct {
	arrived chan struct{}
	open    chan struct{}
	once    sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate {
	return &Gate{arrived: make(chan struct{}, 1<<16), open: make(chan struct{})}
}

// Arrived waits until n more requests have come to the gate, or timeout has passed, and
// reports which.
func (g *Gate) Arrived(n int, timeout time.Duration) bool {
	late := time.After(timeout)
	for range n {
		select {
		case <-g.arrived:
		case <-late:
			return false
		}
	}
	return true
}

// Open lets all requests pass, now and later.
func (g *Gate) Open() { g.once.Do(func() { close(g.open) }) }

// After sends n bytes and keeps the rest waiting.
func (g *Gate) After(n int) Behaviour {
	return func(a *Answer) {
		a.start()
		_, _ = io.WriteString(a.W, a.Content.Body[:n]) // the client may be gone
		a.Flush()
		if g.pass(a) {
			_, _ = io.WriteString(a.W, a.Content.Body[n:]) // as above
		}
	}
}

// pass waits at the gate, and reports whether the client lasted as long.
func (g *Gate) pass(a *Answer) bool {
	g.arrived <- struct{}{}
	select {
	case <-g.open:
		return true
	case <-a.R.Context().Done():
		return false
	}
}
