package control

import (
	"bytes"
	"io"
	"net/http"
)

// NewLocal returns a client that is answered by a handler of this process.
func NewLocal(h http.Handler) *Client {
	c := &Client{socket: "this process"}
	c.http.Transport = local{h}
	return c
}

// local is a transport to a handler.
type local struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (l local) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &answer{header: http.Header{}, status: http.StatusOK}
	l.handler.ServeHTTP(w, r)
	return &http.Response{Status: http.StatusText(w.status), StatusCode: w.status, Header: w.header, Body: io.NopCloser(&w.body), Request: r}, nil
}

// answer collects what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter, as do the next two.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader takes the status.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write takes a part of the body.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
