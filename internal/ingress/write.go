package ingress

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/index"
)

// maxRanges bounds the parts of one answer; a request for more gets the whole body.
const maxRanges = 64

// errShort means that a body ended before the length that was announced.
var errShort = errors.New("body ended early")

// Values of response fields that many answers share. They are never changed: net/http
// reads them only.
var (
	bytesUnit   = []string{"bytes"}
	octets      = []string{"application/octet-stream"}
	byAccept    = []string{"Accept"}
	immutable   = []string{"max-age=31536000, immutable"}
	revalidate  = []string{"no-cache"}
	neverStored = []string{"no-store"}
	// Clients of container registries show a warning of this code.
	staleWarning = []string{`299 sutler "the origin cannot be reached; this comes from the store and may be old"`}
)

// cacheStatus has the Cache-Status field (RFC 9211) of each outcome.
var cacheStatus = map[engine.Outcome][]string{
	engine.Hit:         {"sutler; hit"},
	engine.Revalidated: {"sutler; fwd=stale; fwd-status=304"},
	engine.Miss:        {"sutler; fwd=miss; stored"},
	engine.Joined:      {"sutler; fwd=miss; stored; collapsed"},
	engine.Stale:       {`sutler; fwd=stale; detail="origin unavailable"`},
	engine.Bypass:      {"sutler; fwd=bypass"},
	engine.Refused:     {"sutler; detail=refused"},
	engine.Bad:         {"sutler; fwd=miss; detail=bad"},
	engine.Error:       {"sutler; fwd=miss; detail=error"},
}

// write sends a to the client and returns how many bytes of its body were sent, whether
// the client has seen anything of the answer, and the error that ended the transfer.
func write(w http.ResponseWriter, r *http.Request, a *engine.Answer) (n int64, sent bool, err error) {
	describe(w.Header(), a)
	if a.Body == nil && plain(r) {
		n, err := writeBytes(w, r, a.Bytes)
		return n, true, err
	}
	s := newSender(w, r)
	if a.Size < 0 {
		s.WriteHeader(http.StatusOK)
		if r.Method != http.MethodHead {
			_, err = s.ReadFrom(a.Body) // not io.Copy, which would rather use the WriteTo that a body may have
		}
	} else {
		body, end := seekable(a)
		if strings.Count(r.Header.Get("Range"), ",") >= maxRanges {
			r.Header.Del("Range")
		}
		http.ServeContent(s, r, "", a.Modified, body)
		err = end()
	}
	err = s.finish(err)
	return s.sent, s.committed, err
}

// describe sets the fields that say what a is and where it came from. All values are in
// one allocation, for the sake of small answers.
func describe(h http.Header, a *engine.Answer) {
	v := new([5]string)
	set := func(i int, key, value string) {
		v[i] = value
		h[key] = v[i : i+1 : i+1]
	}
	h["Content-Type"] = octets
	if a.Type != "" {
		set(0, "Content-Type", a.Type)
	}
	if a.ETag != "" {
		set(1, "Etag", a.ETag)
	}
	if !a.Modified.IsZero() {
		set(2, "Last-Modified", a.Modified.UTC().Format(http.TimeFormat))
	}
	age := int64(a.Age / time.Second)
	if a.Outcome == engine.Hit || a.Outcome == engine.Stale {
		set(3, "Age", strconv.FormatInt(age, 10))
	}
	if a.Size >= 0 {
		h["Accept-Ranges"] = bytesUnit
	}
	h["Cache-Status"] = cacheStatus[a.Outcome]
	for _, f := range a.Header {
		h.Set(f.Name, f.Value)
	}
	if a.Outcome == engine.Stale {
		h["Warning"] = staleWarning
	}
	switch {
	case a.Outcome == engine.Bypass:
		h["Cache-Control"] = neverStored
	case a.Resource.Kind == ecosystem.Artifact:
		if a.Trust == index.Signed || a.Trust == index.Stated {
			h["Cache-Control"] = immutable
		}
	case a.Lifetime < time.Second:
		h["Cache-Control"], h["Vary"] = revalidate, byAccept
	default:
		// A client subtracts Age from max-age, so max-age is the whole lifetime, unless the
		// ecosystem knows what its clients had better be told.
		if h["Cache-Control"] == nil {
			set(4, "Cache-Control", "max-age="+strconv.FormatInt(age+int64(a.Lifetime/time.Second), 10))
		}
		h["Vary"] = byAccept
	}
}

// undescribe removes what describe and http.ServeContent set, for another answer: nothing
// else sets fields before.
func undescribe(h http.Header) { clear(h) }

// plain reports whether r wants the whole body, whatever it may have already.
func plain(r *http.Request) bool {
	h := r.Header
	return h["Range"] == nil && h["If-None-Match"] == nil && h["If-Modified-Since"] == nil &&
		h["If-Match"] == nil && h["If-Unmodified-Since"] == nil &&
		(r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// writeBytes sends a small body: the path that most requests take.
func writeBytes(w http.ResponseWriter, r *http.Request, body []byte) (int64, error) {
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	if r.Method == http.MethodHead || len(body) == 0 {
		w.WriteHeader(http.StatusOK)
		return 0, nil
	}
	announce(r, len(body))
	n, err := w.Write(body)
	return int64(n), err
}

// seekable returns the body of an answer whose size is known, and a function that ends its
// use and returns the error of the first read that failed. A stored blob that was verified
// comes as the *os.File itself, which lets net/http send it by sendfile.
func seekable(a *engine.Answer) (io.ReadSeeker, func() error) {
	if a.Body == nil {
		return bytes.NewReader(a.Bytes), func() error { return nil }
	}
	if a.Blob != nil {
		if f := a.Blob.File(); f != nil {
			return f, func() error { return nil }
		}
	}
	g := &guarded{body: a.Body}
	return g, g.end
}

// guarded keeps a body from being read after its use has ended. http.ServeContent sends
// several ranges from a goroutine that it does not wait for, and hides read errors.
type guarded struct {
	mu    sync.Mutex
	body  io.ReadSeeker
	err   error // of the first read that failed
	ended bool
}

// Read reads the body.
func (g *guarded) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return 0, net.ErrClosed
	}
	n, err := g.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && g.err == nil {
		g.err = err
	}
	return n, err
}

// Seek moves the place to read from.
func (g *guarded) Seek(offset int64, whence int) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return 0, net.ErrClosed
	}
	return g.body.Seek(offset, whence)
}

// end waits for a read that is under way and lets no other begin.
func (g *guarded) end() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	return g.err
}

// abort breaks the answer off so that no client can take it for complete. Over HTTP/1.1
// and HTTP/2 a panic with http.ErrAbortHandler does that: it is net/http's way to close
// the connection in the middle of a body, or to reset the stream. An HTTP/1.0 client that
// was told no length takes the end of the connection for the end of the body, so it gets a
// reset instead.
func abort(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && r.ProtoMinor == 0 {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			reset(c)
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// reset closes c with a TCP reset.
func reset(c net.Conn) {
	if inner, ok := c.(*tls.Conn); ok { // TLS would say good-bye first
		c = inner.NetConn()
	}
	if t, ok := tcp(c).(*net.TCPConn); ok {
		_ = t.SetLinger(0) // on failure the close below still ends it
	}
	_ = c.Close()
}

// shortBy describes a body that ended early.
func shortBy(sent, announced int64) error {
	return fmt.Errorf("%w: %d of %d bytes", errShort, sent, announced)
}
