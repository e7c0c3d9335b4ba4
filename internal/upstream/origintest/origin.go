// Package origintest is an origin for tests that behaves, or misbehaves as told.
//
// It serves real HTTP and HTTPS (HTTP/2 where offered, under a CA of its own) on loopback,
// and is a proxy that stands for every host on the internet, so that tests can use
// realistic names. It stops when its test ends.
package origintest

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// An Origin serves what it was given with File and Put; anything else is a 404. Places are
// named by a path, for every host ("/pool/a.deb"), or by a URL, for one host when it is
// used as a proxy ("https://registry.example/left-pad"); either may have a query.
// All methods are safe for concurrent use.
type Origin struct {
	t      testing.TB
	ca     *authority
	plain  *httptest.Server
	secure *httptest.Server

	mu      sync.Mutex
	places  map[string]*place
	calls   map[string][]Request
	conns   int
	all     Behaviour // of every place, known or not, if not nil
	tunnels sync.WaitGroup
}

// A Content is what a place holds.
type Content struct {
	Body     string
	Type     string      // Content-Type; if empty, application/octet-stream
	ETag     string      // with quotes; if empty, made from the body; "-" for none
	Modified time.Time   // if zero, 2026-01-01; time.Unix(0, 0) for none
	Header   http.Header // further fields
}

// A Request is one that was received.
type Request struct {
	Method string
	URL    string // with scheme and host
	Header http.Header
	Body   string
	Proto  string
}

// place is a content and how it is served.
type place struct {
	content   Content
	behaviour Behaviour
}

// New starts an origin that stops at the end of t.
func New(t testing.TB) *Origin {
	t.Helper()
	o := &Origin{t: t, ca: newAuthority(t), places: map[string]*place{}, calls: map[string][]Request{}}
	o.plain = httptest.NewUnstartedServer(http.HandlerFunc(o.serve))
	o.secure = httptest.NewUnstartedServer(http.HandlerFunc(o.serve))
	o.secure.TLS = o.ca.config()
	o.secure.EnableHTTP2 = true
	for _, s := range []*httptest.Server{o.plain, o.secure} {
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // misbehaviour is on purpose
		s.Config.ConnState = o.count
	}
	o.plain.Start()
	o.secure.StartTLS()
	t.Cleanup(o.stop)
	return o
}

// stop ends both servers and all that they do.
func (o *Origin) stop() {
	for _, s := range []*httptest.Server{o.plain, o.secure} {
		s.CloseClientConnections()
		s.Close()
	}
	o.tunnels.Wait()
}

// count counts connections.
func (o *Origin) count(_ net.Conn, s http.ConnState) {
	if s == http.StateNew {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.conns++
	}
}

// Conns returns how many connections were accepted.
func (o *Origin) Conns() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns
}

// DropConnections closes every connection, as a server does that is restarted.
func (o *Origin) DropConnections() {
	o.plain.CloseClientConnections()
	o.secure.CloseClientConnections()
}

// File makes where hold body. It keeps how the place behaves.
func (o *Origin) File(where, body string) { o.Put(where, Content{Body: body}) }

// Put makes where hold c. It keeps how the place behaves.
func (o *Origin) Put(where string, c Content) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at(where).content = c
}

// Behave makes where behave; nil makes it serve what it holds again.
func (o *Origin) Behave(where string, b Behaviour) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at(where).behaviour = b
}

// BehaveAll makes every place behave, known or not; nil ends that. An origin that is down
// is BehaveAll(Hangup()).
func (o *Origin) BehaveAll(b Behaviour) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = b
}

// Remove makes where answer 404.
func (o *Origin) Remove(where string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.places, where)
}

// at returns the place, made if need be. The caller holds o.mu.
func (o *Origin) at(where string) *place {
	p := o.places[where]
	if p == nil {
		p = &place{}
		o.places[where] = p
	}
	return p
}

// Calls returns how often where was asked for.
func (o *Origin) Calls(where string) int { return len(o.Requests(where)) }

// Requests returns the requests for where, in order. Tunnels through o as a proxy are at
// "CONNECT host:port".
func (o *Origin) Requests(where string) []Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Request(nil), o.calls[where]...)
}

// URL returns the http URL of a path.
func (o *Origin) URL(path string) string { return o.plain.URL + path }

// SecureURL returns the https URL of a path; its certificate is of o's CA.
func (o *Origin) SecureURL(path string) string { return o.secure.URL + path }

// Owns reports whether host:port is one of o's two addresses. It fits a client's option
// to allow loopback.
func (o *Origin) Owns(hostport string) bool {
	return hostport == o.plain.Listener.Addr().String() || hostport == o.secure.Listener.Addr().String()
}

// Ports returns the port of the http and of the https server.
func (o *Origin) Ports() (plain, secure int) {
	return o.plain.Listener.Addr().(*net.TCPAddr).Port, o.secure.Listener.Addr().(*net.TCPAddr).Port
}

// Proxy makes o stand for every host, if it is used as http.Transport.Proxy.
func (o *Origin) Proxy(*http.Request) (*url.URL, error) { return url.Parse(o.plain.URL) }

// Client returns a client that finds every host at o, directly by o's own addresses and
// as a proxy otherwise, believes its CA, and stops with its test.
func (o *Origin) Client() *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.Roots(), MinVersion: tls.VersionTLS12}}
	transport.Proxy = func(r *http.Request) (*url.URL, error) {
		if o.Owns(r.URL.Host) {
			return nil, nil
		}
		return o.Proxy(r)
	}
	o.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// serve answers one request as its place says.
func (o *Origin) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		o.note([]string{"CONNECT " + r.Host}, Request{Method: r.Method, URL: r.Host, Header: r.Header.Clone(), Proto: r.Proto})
		o.connect(w)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client hung up
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	names := namesOf(r)
	p, ok := o.note(names, Request{
		Method: r.Method, URL: names[0], Header: r.Header.Clone(), Body: string(body), Proto: r.Proto,
	})
	if !ok {
		http.Error(w, "no such place", http.StatusNotFound)
		return
	}
	a := &Answer{W: w, R: r, Content: p.content, origin: o}
	if p.behaviour != nil {
		p.behaviour(a)
		return
	}
	a.Serve()
}

// namesOf returns the names that a request's place may have, the exact one first.
func namesOf(r *http.Request) []string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	whole := scheme + "://" + strings.TrimSuffix(strings.TrimSuffix(r.Host, ":80"), ":443")
	path, query := r.URL.EscapedPath(), ""
	if r.URL.RawQuery != "" {
		query = "?" + r.URL.RawQuery
	}
	return []string{whole + path + query, whole + path, path + query, path}
}

// note records a request under each of its names, and returns its place.
func (o *Origin) note(names []string, r Request) (place, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	recorded := map[string]bool{}
	for _, n := range names {
		if !recorded[n] {
			recorded[n] = true
			o.calls[n] = append(o.calls[n], r)
		}
	}
	for _, n := range names {
		if p := o.places[n]; p != nil {
			found := *p
			if o.all != nil {
				found.behaviour = o.all
			}
			return found, true
		}
	}
	return place{behaviour: o.all}, o.all != nil
}

// connect opens a tunnel to o itself, whatever host was asked for.
func (o *Origin) connect(w http.ResponseWriter) {
	client, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	o.tunnels.Add(1)
	defer o.tunnels.Done()
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return // the client hung up
	}
	first, err := buf.Peek(1)
	if err != nil {
		return // the client hung up
	}
	server := o.plain
	if first[0] == 0x16 { // a TLS handshake
		server = o.secure
	}
	backend, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		return // o has stopped
	}
	defer backend.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(backend, buf) // ends with either connection
		_ = backend.Close()          // makes the other direction end
	}()
	_, _ = io.Copy(client, backend) // ends with either connection
	_ = client.Close()              // makes the other direction end
	<-done
}

// etag returns the field for c.
func (c Content) etag() string {
	switch c.ETag {
	case "":
		sum := sha256.Sum256([]byte(c.Body))
		return `"` + hex.EncodeToString(sum[:8]) + `"`
	case "-":
		return ""
	}
	return c.ETag
}

// modified returns the time of c, in the past so that it is a strong validator.
func (c Content) modified() time.Time {
	if c.Modified.IsZero() {
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return c.Modified
}
