package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxResumes   = 5       // breaks in a row without resumeGain
	resumeGain   = 1 << 20 // bytes after which an origin counts as working again
	drainBytes   = 16 << 10
	drainTimeout = time.Second
)

var (
	errIdle    = errors.New("origin sent nothing for " + idleTimeout.String())
	errChanged = errors.New("changed at the origin while it was fetched")
	errClosed  = errors.New("read from a closed body")
)

// A stream is the body of one answer. A Read that waits too long breaks it off. The place
// at its host is given back when it has ended, not only when it is closed.
type stream struct {
	body   io.ReadCloser
	idle   *time.Timer
	cancel context.CancelCauseFunc
	finish func()
}

// newStream wraps the body of an answer; cancel ends its request.
func newStream(body io.ReadCloser, cancel context.CancelCauseFunc, release func()) *stream {
	s := &stream{body: body, cancel: cancel}
	s.idle = time.AfterFunc(idleTimeout, func() { cancel(errIdle) })
	s.idle.Stop()
	s.finish = sync.OnceFunc(func() {
		s.idle.Stop()
		cancel(nil)
		release()
	})
	return s
}

// Read reads; the clock runs only meanwhile, so a slow reader is not an idle origin.
func (s *stream) Read(p []byte) (int, error) {
	s.idle.Reset(idleTimeout)
	n, err := s.body.Read(p)
	s.idle.Stop()
	if err != nil {
		s.finish()
	}
	return n, err
}

// Close gives up what is not read.
func (s *stream) Close() error {
	err := s.body.Close()
	s.finish()
	return err
}

// discardBody ends an answer whose body nobody wants. A short one is read, so that the
// connection can be used again, but not waited for long.
func discardBody(resp *http.Response) {
	if s, ok := resp.Body.(*stream); ok && resp.ContentLength >= 0 && resp.ContentLength <= drainBytes {
		late := time.AfterFunc(drainTimeout, func() { s.cancel(errIdle) })
		_, _ = io.CopyN(io.Discard, s, drainBytes) // only the connection is at stake
		late.Stop()
	}
	_ = resp.Body.Close() // the body is not wanted
}

// A body is what Fetch returns: it continues on a new connection when one breaks, and it
// ends with io.EOF only after exactly as many bytes as were announced.
type body struct {
	from    io.ReadCloser
	size    int64 // -1 if the origin did not say
	subject string
	// resume asks for the rest; nil if the origin cannot say that it is of the same bytes.
	resume func(offset int64) (io.ReadCloser, int64, error)
	end    func(bytes int64)

	offset  int64
	gained  int64 // offset after which breaks are counted anew
	breaks  int
	failure error // of every further Read
}

// Read implements io.Reader. Errors other than io.EOF wrap ErrUnavailable or ErrInvalid.
func (b *body) Read(p []byte) (int, error) {
	for b.failure == nil {
		if len(p) == 0 {
			return 0, nil
		}
		n, err := b.from.Read(p)
		b.offset += int64(n)
		switch {
		case b.size >= 0 && b.offset > b.size:
			b.fail(fmt.Errorf("%w: %s: more than the %d bytes announced", ErrInvalid, b.subject, b.size))
			return 0, b.failure
		case err == io.EOF && (b.size < 0 || b.offset == b.size): //nolint:errorlint // only the bare io.EOF is an end
			b.fail(io.EOF)
		case err != nil:
			b.repair(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, b.failure
}

// repair replaces a stream that broke, or fails.
func (b *body) repair(cause error) {
	_ = b.from.Close() // it has failed already
	if b.offset >= b.gained {
		b.breaks, b.gained = 0, b.offset+resumeGain
	}
	if b.breaks++; b.resume == nil || b.breaks > maxResumes {
		b.fail(b.broken(cause))
		return
	}
	from, size, err := b.resume(b.offset)
	if err == nil && b.size >= 0 && size >= 0 && size != b.size {
		_ = from.Close() // of something else
		err = errChanged
	}
	if err != nil {
		b.fail(b.broken(err))
		return
	}
	b.from, b.size = from, max(b.size, size)
}

// broken says how far the body came.
func (b *body) broken(cause error) error {
	if errors.Is(cause, ErrInvalid) || errors.Is(cause, ErrBlocked) {
		return cause
	}
	of := ""
	if b.size >= 0 {
		of = fmt.Sprintf(" of %d", b.size)
	}
	return unavailable(fmt.Sprintf("%s: broke off after %d%s bytes", b.subject, b.offset, of), cause)
}

// fail makes err the result of every further Read.
func (b *body) fail(err error) {
	b.failure = err
	_ = b.from.Close() // nothing more is read
	b.end(b.offset)
}

// Close gives up what is not read. It returns nil.
func (b *body) Close() error {
	if b.failure == nil {
		b.fail(errClosed)
	}
	return nil
}

// resumer returns the function that asks for the rest of a body whose first answer that
// was, or nil if there is no way to be sure of getting the rest of the same. The
// whole way is gone again: a redirect may have led to a URL that expires.
func (c *Client) resumer(ctx context.Context, a ask, whole *http.Response) func(int64) (io.ReadCloser, int64, error) {
	first := whole.Header
	packed, _ := a.packed(whole) // an error was reported with the answer
	validator := ifRange(first)
	if validator == "" || strings.EqualFold(first.Get("Accept-Ranges"), "none") {
		return nil
	}
	rest := a
	rest.header = a.header.Clone()
	rest.header.Del("If-None-Match")
	rest.header.Del("If-Modified-Since")
	rest.header.Set("If-Range", validator)
	return func(offset int64) (io.ReadCloser, int64, error) {
		rest.header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		got, err := tries(ctx, maxTries, func(ctx context.Context) (*http.Response, error) { return c.attempt(ctx, rest) })
		if err != nil {
			return nil, 0, err
		}
		total, err := checkPart(got, offset, first)
		if err == nil {
			var same bool
			if same, err = a.packed(got); err == nil && same != packed {
				err = errChanged
			}
		}
		if err != nil {
			_ = got.Body.Close() // not what was asked for
			return nil, 0, err
		}
		return got.Body, total, nil
	}
}

// checkPart returns the size of the whole, -1 if it is not said, if got is its part from
// offset on, and its validators are those of the first answer.
func checkPart(got *http.Response, offset int64, first http.Header) (int64, error) {
	if got.StatusCode == http.StatusOK {
		return 0, errChanged
	}
	part, ok := parseContentRange(got.Header.Get("Content-Range"))
	if got.StatusCode != http.StatusPartialContent || !ok || part.first != offset {
		return 0, fmt.Errorf("%w: asked for the bytes from %d on, got status %d with range %q",
			ErrInvalid, offset, got.StatusCode, got.Header.Get("Content-Range"))
	}
	if n := got.ContentLength; n >= 0 && n != part.last-part.first+1 {
		return 0, fmt.Errorf("%w: range %q with a length of %d", ErrInvalid, got.Header.Get("Content-Range"), n)
	}
	// The tag decides if there is one: servers behind one name may differ in their dates.
	for _, name := range []string{"ETag", "Last-Modified"} {
		then, now := first.Get(name), got.Header.Get(name)
		if then != "" && now != "" {
			if then != now {
				return 0, errChanged
			}
			break
		}
	}
	return part.total, nil
}

// ifRange returns the validator that stands for exactly these bytes: a strong ETag, else a
// Last-Modified that is older than the answer, so that no second change can hide in it.
func ifRange(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" {
		if strings.HasPrefix(tag, `"`) {
			return tag
		}
		return "" // a weak one also stands for bytes that differ
	}
	if !settled(h) {
		return ""
	}
	return h.Get("Last-Modified")
}

// settled reports whether the second in which a body was last changed was over when it was
// sent, so that the time stands for these bytes alone (RFC 9110, section 8.8.2.2).
func settled(h http.Header) bool {
	modified, err1 := http.ParseTime(h.Get("Last-Modified"))
	date, err2 := http.ParseTime(h.Get("Date"))
	return err1 == nil && err2 == nil && date.Sub(modified) >= time.Second
}
