// Package upstream fetches resources from where they come from.
//
// It is the only package that opens outgoing connections. Requests are built from
// scratch: nothing that a client sent is forwarded unless a field is listed here.
package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
)

var (
	// ErrNotFound means that the origin says the resource does not exist (404, 410). Final.
	ErrNotFound = errors.New("not found at the origin")
	// ErrForbidden means that the origin refuses the resource (401, 402, 403, 451). Final.
	ErrForbidden = errors.New("refused by the origin")
	// ErrUnavailable means that the origin could not be asked, or is in trouble (connection,
	// TLS, 429, 5xx). A stale entry may stand in.
	ErrUnavailable = errors.New("origin unavailable")
	// ErrOffline means that sutler runs offline. It wraps ErrUnavailable's meaning: errors
	// that are ErrOffline are ErrUnavailable too.
	ErrOffline = errors.New("offline")
	// ErrBlocked means that the address may not be reached: it resolves to loopback,
	// link-local, private space or sutler itself and is not configured. Final.
	ErrBlocked = errors.New("address not allowed")
	// ErrInvalid means that the origin's answer breaks the protocol: an unasked content
	// encoding (but gzip of documents, which is unpacked), a 304 to an unconditional request,
	// an endless redirect. Final.
	ErrInvalid = errors.New("invalid answer from the origin")
)

// A StatusError is an answer of the origin that is not a success. It is one of
// ErrNotFound, ErrForbidden and ErrUnavailable by its status.
type StatusError struct {
	URL        string // without secrets
	Status     int
	RetryAfter time.Duration       // 0 if not said
	Header     []ecosystem.Setting // what Resource.Keep names, as far as the origin said it
}

// A Fetcher performs one GET, conditional if v is not the zero value, with retries,
// redirects and credentials as configured. Implementations are safe for concurrent use.
type Fetcher interface {
	// Fetch asks for res.URL. Errors wrap one of the errors of this package and name the
	// URL. The caller closes Response.Body. A body that ends early or late is an error of
	// Read that is not io.EOF.
	Fetch(ctx context.Context, res ecosystem.Resource, v freshness.Validator) (*Response, error)
}

// A Response is the answer to a Fetch.
type Response struct {
	NotModified bool // the validator still holds; there is no Body
	Body        io.ReadCloser
	Size        int64 // bytes, -1 if the origin did not say
	Type        string
	Header      []ecosystem.Setting // what Resource.Keep names, as far as the origin said it
	Stated      string              // value of the field that Resource.Probe names; "" if not said
	Validator   freshness.Validator
	Modified    time.Time     // from Last-Modified; zero if not said
	Lifetime    time.Duration // freshness lifetime left by RFC 9111, 0 if not said
	NoStore     bool          // private, no-store or with Set-Cookie: must not be shared
	URL         string        // where the bytes came from at last, without secrets
	Secure      bool          // every hop was TLS
}

// A Passer sends a request to its origin and returns the answer, storing nothing. The
// request's URL is absolute; hop-by-hop and proxy fields are removed. The caller closes
// the response body. Errors are those of Fetch.
type Passer interface {
	Pass(ctx context.Context, r *http.Request) (*http.Response, error)
}

// A Dialer opens tunnels to hosts that are not intercepted, under the same guard as
// fetches: errors wrap ErrBlocked or ErrUnavailable.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}
