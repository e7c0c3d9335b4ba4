package upstream

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
)

// Offline is a Fetcher, Passer and Dialer that reaches nothing: each call fails with an
// error that is both ErrOffline and ErrUnavailable. Offline mode is this value, not a flag.
type Offline struct{}

var (
	_ Fetcher = Offline{}
	_ Passer  = Offline{}
	_ Dialer  = Offline{}
)

// Fetch fails.
func (Offline) Fetch(_ context.Context, res ecosystem.Resource, _ freshness.Validator) (*Response, error) {
	return nil, offline(Redact(res.URL))
}

// Pass fails.
func (Offline) Pass(_ context.Context, r *http.Request) (*http.Response, error) {
	return nil, offline(Redact(r.URL.String()))
}

// DialContext fails.
func (Offline) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	return nil, offline(address)
}

// offline returns the one error of this type for a subject.
func offline(subject string) error {
	return fmt.Errorf("%s: %w: %w", subject, ErrOffline, ErrUnavailable)
}
