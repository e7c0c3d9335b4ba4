package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
)

// maxHops bounds how often an origin may redirect.
const maxHops = 10

// errMoved is how a redirect that is not followed ends.
var errMoved = errors.New("redirect refused")

// An ask is one request, as it is sent first and again.
type ask struct {
	method string
	url    *url.URL
	keep   []string    // fields of a redirect that are put into the last answer
	header http.Header // without Authorization
	cred   *Credential // nil: anonymous
	token  Secret      // of a registry, sent instead of cred; "" if it wants none

	decodes bool // a body that comes compressed is unpacked
}

// Fetch implements Fetcher. Mirrors are asked before the origin; an answer of the first
// that has the resource is taken, and if none has, the last one's refusal. Temporary
// failures are tried again, up to four times, twice if something else can stand in: a
// stored body, another mirror. A body that breaks off is continued where it did, as long
// as the origin has not changed it. Redirects are followed. The credential for a URL is
// sent only if res.Scope names one, and only to URLs under its prefix.
func (c *Client) Fetch(ctx context.Context, res ecosystem.Resource, v freshness.Validator) (*Response, error) {
	places := c.places(res.URL)
	limit := maxTries
	if !v.None() || len(places) > 1 {
		limit = 2
	}
	var got *Response
	var err error
	for _, place := range places {
		if got, err = c.fetch(ctx, res, place, v, limit); err == nil || ctx.Err() != nil {
			break
		}
	}
	return got, err
}

// fetch is Fetch from one place.
func (c *Client) fetch(ctx context.Context, res ecosystem.Resource, place string, v freshness.Validator, limit int) (*Response, error) {
	seen := c.observe(res)
	a, err := c.newAsk(res, place, v)
	if err != nil {
		seen.end(0)
		return nil, err
	}
	whole, cancel := ctx, context.CancelFunc(nil)
	if res.Kind == ecosystem.Document {
		ctx, cancel = context.WithTimeout(ctx, documentLimit)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	got, err := tries(ctx, limit, func(ctx context.Context) (*http.Response, error) { return c.attempt(ctx, a) })
	if err != nil {
		cancel()
		if se, ok := errors.AsType[*StatusError](err); ok {
			seen.status = se.Status
		}
		seen.end(0)
		return nil, err
	}
	seen.status = got.StatusCode
	if a.method == http.MethodHead {
		return c.probed(whole, res, place, v, got, func() { cancel(); seen.end(0) })
	}
	out, err := c.response(a, got, v)
	if err != nil || out.NotModified {
		_ = got.Body.Close() // nothing is read from it
		cancel()
		seen.end(0)
		return out, err
	}
	out.Header = fields(got.Header, res.Keep)
	if res.Probe != "" {
		out.Stated = got.Header.Get(res.Probe)
		out.Validator = freshness.Validator{ETag: out.Stated}
	}
	out.Body = &body{
		from: got.Body, size: got.ContentLength, subject: Redact(a.url.String()),
		resume: c.resumer(ctx, a, got),
		end:    func(n int64) { cancel(); seen.end(n) },
	}
	if packed, _ := a.packed(got); packed { // response has refused what is wrong with it
		out.Body, out.Size = &decoded{from: out.Body, subject: Redact(a.url.String()), left: maxDecoded}, -1
	}
	return out, nil
}

// probed ends the HEAD by which a stored document was revalidated: it is the same if the
// origin states the same digest, else it is fetched.
func (c *Client) probed(ctx context.Context, res ecosystem.Resource, place string, v freshness.Validator, got *http.Response, end func()) (*Response, error) {
	discardBody(got)
	end()
	if got.Header.Get(res.Probe) != v.ETag {
		return c.fetch(ctx, res, place, freshness.Validator{}, 2)
	}
	out := &Response{NotModified: true, Validator: v, URL: Redact(got.Request.URL.String()), Secure: got.Request.URL.Scheme == "https"}
	out.Lifetime, out.NoStore = freshness.Lifetime(got.Header, time.Now())
	return out, nil
}

// fields returns the fields of h that have those names.
func fields(h http.Header, names []string) []ecosystem.Setting {
	var out []ecosystem.Setting
	for _, name := range names {
		for _, v := range h.Values(name) {
			out = append(out, ecosystem.Setting{Name: name, Value: v})
		}
	}
	return out
}

// newAsk builds the request for res, from that place, from scratch.
func (c *Client) newAsk(res ecosystem.Resource, place string, v freshness.Validator) (ask, error) {
	u, err := url.Parse(place)
	if err != nil {
		return ask{}, fmt.Errorf("%w: %s", ErrInvalid, Redact(place))
	}
	// Credentials come from the configuration, never from a URL that somebody wrote.
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	a := ask{method: http.MethodGet, url: u, keep: res.Keep, decodes: res.Kind == ecosystem.Document, header: http.Header{
		"Accept":          {cmp.Or(res.Accept, "*/*")},
		"Accept-Encoding": {"identity"},
		"User-Agent":      {c.agent()},
	}}
	switch {
	case v.None():
	case res.Probe != "":
		a.method = http.MethodHead
	case v.ETag != "":
		a.header.Set("If-None-Match", v.ETag)
	}
	if v.LastModified != "" && res.Probe == "" {
		a.header.Set("If-Modified-Since", v.LastModified)
	}
	if cred, ok := match(c.Credentials, u); ok && res.Scope != "" && res.Scope == c.Scope(res.URL) {
		if cred, err = cred.resolve(); err != nil {
			return ask{}, fmt.Errorf("%w: %s: %w", ErrForbidden, Redact(place), err)
		}
		a.cred = &cred
	}
	return a, nil
}

// attempt sends a and follows redirects. Its answer is a 200, 206 or 304; anything else is
// a StatusError. The caller closes the body.
func (c *Client) attempt(ctx context.Context, a ask) (*http.Response, error) {
	at, visited := a.url, map[string]bool{}
	kept := http.Header{}
	a.token, _ = c.tokens.get(tokenKey(a), time.Now())
	refused := false
	for range maxHops + 1 {
		// The fragment was never sent, so a loop shows in what is left.
		visited[at.String()] = true
		resp, err := c.hop(ctx, a, at)
		if err != nil {
			return nil, err
		}
		for _, name := range a.keep {
			if said := resp.Header.Values(name); len(said) > 0 && kept.Get(name) == "" {
				kept[http.CanonicalHeaderKey(name)] = said
			}
		}
		switch resp.StatusCode {
		case http.StatusOK, http.StatusPartialContent, http.StatusNotModified:
			maps.Copy(resp.Header, kept) // the first on the way said it
			return resp, nil
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			next, err := target(at, resp.Header.Get("Location"))
			discardBody(resp)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, Redact(at.String()), err)
			}
			if visited[next.String()] {
				return nil, fmt.Errorf("%w: %s: redirected in a loop", ErrInvalid, Redact(a.url.String()))
			}
			at = next
		case http.StatusUnauthorized:
			discardBody(resp)
			if refused || at != a.url {
				return nil, &StatusError{URL: Redact(at.String()), Status: resp.StatusCode, Header: fields(kept, a.keep)}
			}
			if a.token, err = c.authorize(ctx, a, resp); err != nil {
				return nil, err
			}
			refused = true
		default:
			discardBody(resp)
			wait := retryAfter(resp.Header.Get("Retry-After"), time.Now())
			return nil, &StatusError{URL: Redact(at.String()), Status: resp.StatusCode, RetryAfter: wait, Header: fields(kept, a.keep)}
		}
	}
	return nil, fmt.Errorf("%w: %s: redirected more than %d times", ErrInvalid, Redact(a.url.String()), maxHops)
}

// target returns where a redirect leads.
func target(from *url.URL, location string) (*url.URL, error) {
	if location == "" {
		return nil, fmt.Errorf("%w: it names no target", errMoved)
	}
	to, err := from.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("%w: its target is no URL", errMoved)
	}
	to.User, to.Fragment, to.RawFragment = nil, "", ""
	if to.Scheme != "https" && (to.Scheme != "http" || from.Scheme == "https") {
		return nil, fmt.Errorf("%w: it leads from %s to %q", errMoved, from.Scheme, to.Scheme)
	}
	return to, nil
}

// hop sends one request of a to one URL. Only there, if the credential of a covers that
// URL, is it sent: a server that redirects cannot choose whose secret goes where.
func (c *Client) hop(ctx context.Context, a ask, at *url.URL) (*http.Response, error) {
	req := (&http.Request{
		Method: a.method, URL: at, Host: at.Host, Header: maps.Clone(a.header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	switch {
	case a.token != "" && sameOrigin(at, a.url):
		req.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	case a.cred != nil && a.cred.covers(at) && a.cred.User != identityUser:
		req.Header.Set("Authorization", a.cred.header())
	}
	return c.send(req, &c.fetching)
}

// send performs one request under the guard and the limit of its host. The body of the
// answer ends with an error if nothing comes for a minute. The caller closes it.
func (c *Client) send(req *http.Request, limit *limiter) (*http.Response, error) {
	subject := Redact(req.URL.String())
	if err := c.checkURL(req.Context(), req.URL); err != nil {
		return nil, fmt.Errorf("%s: %w", subject, err)
	}
	release, err := limit.acquire(req.Context(), hostport(req.URL), int64(c.perHost()))
	if err != nil {
		return nil, unavailable(subject, err)
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(req.Context(), hostKey{}, canonicalHost(req.URL.Hostname())))
	var resp *http.Response
	send := func() (err error) {
		resp, err = c.transportFor(ctx).RoundTrip(req.WithContext(ctx))
		return err
	}
	if limit == &c.passing {
		err = send() // a client that breaks off its upload must not keep others from the host
	} else {
		err = c.broken.try(req.Context(), hostport(req.URL), send)
	}
	if err != nil {
		cancel(nil)
		release()
		return nil, unavailable(subject, err)
	}
	resp.Body = newStream(resp.Body, cancel, release)
	return resp, nil
}

// response reads the header of an answer and refuses what breaks the protocol.
func (c *Client) response(a ask, got *http.Response, v freshness.Validator) (*Response, error) {
	subject := Redact(a.url.String())
	out := &Response{
		Size: got.ContentLength, Type: got.Header.Get("Content-Type"),
		Validator: freshness.Validator{ETag: got.Header.Get("ETag"), LastModified: got.Header.Get("Last-Modified")},
		URL:       Redact(got.Request.URL.String()),
		Secure:    a.url.Scheme == "https", // never left on the way: target sees to it
	}
	out.Lifetime, out.NoStore = freshness.Lifetime(got.Header, time.Now())
	if t, err := http.ParseTime(out.Validator.LastModified); err == nil {
		out.Modified = t
	}
	if out.Validator.ETag == "" && !settled(got.Header) {
		out.Validator.LastModified = "" // a change in the same second would not show
	}
	switch {
	case got.StatusCode == http.StatusNotModified && v.None():
		return nil, fmt.Errorf("%w: %s: 304 to an unconditional request", ErrInvalid, subject)
	case got.StatusCode == http.StatusNotModified:
		out.NotModified, out.Size = true, 0
		out.Validator.ETag = cmp.Or(out.Validator.ETag, v.ETag)
		out.Validator.LastModified = cmp.Or(out.Validator.LastModified, v.LastModified)
		return out, nil
	case got.StatusCode == http.StatusPartialContent, got.Header.Get("Content-Range") != "":
		return nil, fmt.Errorf("%w: %s: a part, though all was asked for", ErrInvalid, subject)
	}
	if _, err := a.packed(got); err != nil {
		return nil, err
	}
	return out, nil
}

// unavailable wraps what went wrong on the way as ErrUnavailable, unless it already is one
// of the errors of this package. No error of a connection passes as the end of a body.
func unavailable(subject string, err error) error {
	for _, known := range []error{ErrBlocked, ErrInvalid, ErrUnavailable} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", subject, err)
		}
	}
	if se, ok := errors.AsType[*StatusError](err); ok {
		// Its own kind must not show: an expired link in the middle is no missing resource.
		return fmt.Errorf("%w: %s: %s", ErrUnavailable, subject, statusText(se.Status))
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, subject, err)
}
