package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	maxTries      = 4
	firstPause    = 250 * time.Millisecond // doubled after each try
	maxRetryAfter = 15 * time.Second       // an origin that wants a longer pause is unavailable now
	maxTrying     = 45 * time.Second       // no try starts later than this after the first
)

// A final error is not tried again. It is looked for with errors.As and otherwise invisible.
type final struct{ error }

// Unwrap returns what went wrong.
func (f final) Unwrap() error { return f.error }

// tries calls do until it succeeds, fails for good, or enough was tried. Between tries it
// pauses: for what the origin asks, else for an exponentially growing time, of which a
// random half is left out so that clients do not come back together.
//
// It is written here and not taken from a library, because what is special about it is
// most of it: which errors are final, and a Retry-After that is too long ends the tries.
func tries[T any](ctx context.Context, limit int, do func(context.Context) (T, error)) (T, error) {
	start := time.Now()
	for n, pause := 1, firstPause; ; n, pause = n+1, 2*pause {
		got, err := do(ctx)
		if err == nil || n >= limit || !temporary(err) || ctx.Err() != nil {
			return got, err
		}
		wait := pause/2 + rand.N(pause/2) //nolint:gosec // jitter is no secret
		if se, ok := errors.AsType[*StatusError](err); ok && se.RetryAfter > 0 {
			if se.RetryAfter > maxRetryAfter {
				return got, err
			}
			wait = se.RetryAfter
		}
		if time.Since(start)+wait > maxTrying || !sleep(ctx, wait) {
			return got, err
		}
	}
}

// sleep waits, and reports whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// temporary reports whether the same request may well succeed a moment later.
func temporary(err error) bool {
	if _, ok := errors.AsType[final](err); ok {
		return false
	}
	if se, ok := errors.AsType[*StatusError](err); ok {
		switch se.Status {
		case 408, 425, 429, 500, 502, 503, 504:
			return true
		}
		return false
	}
	return errors.Is(err, ErrUnavailable) && !untrusted(err)
}

// untrusted reports whether the origin's certificate was refused.
func untrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
