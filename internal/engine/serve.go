package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	"sutler/internal/blob"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/index"
	"sutler/internal/policy"
	"sutler/internal/receipt"
	"sutler/internal/upstream"
)

// A viewKey identifies a document as one kind of client sees it.
type viewKey struct {
	blob       digest.Digest
	form, base string
}

// A view is a document as one kind of client sees it.
type view struct {
	bytes  []byte
	digest digest.Digest
	etag   string
}

// Serve answers one request. The caller closes the Answer. Errors are, for errors.Is:
// ecosystem.ErrUnknown, ErrBypass and ErrRefused as Classify returned them (these are
// the caller's to handle and to record); policy.ErrRefused; digest.ErrMismatch,
// ecosystem.ErrInvalid, ErrTooLarge and ErrRolledBack for bytes that are not believed;
// and those of package upstream.
func (e *Engine) Serve(ctx context.Context, req ecosystem.Request) (*Answer, error) {
	res, _, err := e.Classify(req)
	if err != nil {
		return nil, err
	}
	switch {
	case res.Literal != nil:
		return literal(res), nil
	case req.Credential != "" && !res.Anonymous:
		return nil, ecosystem.ErrBypass // never shared with others: see the contract of Request
	}
	a, err := e.serve(withTerms(ctx, req), req, res)
	if errors.Is(err, upstream.ErrBlocked) && e.Local != nil && !req.Strict && !e.Rules.Strict && e.Local(req) && !e.promised(ctx, res) {
		return nil, ecosystem.ErrBypass
	}
	if err != nil {
		e.Receipts.Append(e.failure(req, res, err))
		return nil, err
	}
	if req.Base != "" && len(res.Keep) > 0 {
		relink(a, e.linker(req.Base, e.ecosystem(res.Ecosystem).Profile()))
	}
	return a, nil
}

// promised reports whether something stored here says what the bytes of res are: a document
// that vouches for it, or what was served under its name before. Such a resource is not
// passed through unseen: its origin could have that by a redirect to a private address. It
// asks nobody.
func (e *Engine) promised(ctx context.Context, res ecosystem.Resource) bool {
	for _, known := range append([]ecosystem.Resource{res}, res.VouchedBy...) {
		if o, err := e.lookup(ctx, known.Key()); err != nil || o != nil {
			return true
		}
	}
	if res.Repository == "" {
		return false
	}
	docs, err := e.Index.Vouchers(ctx, res.Ecosystem, scopedRepository(res))
	return err != nil || len(docs) > 0
}

// serve obtains res and answers with it. A blob that was evicted or damaged since the
// look-up is fetched again, once.
func (e *Engine) serve(ctx context.Context, req ecosystem.Request, res ecosystem.Resource) (*Answer, error) {
	if o := e.before(ctx, req, res); o != nil {
		a, err := e.answer(ctx, req, res, found{object: o, outcome: Hit})
		if !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, blob.ErrCorrupt) {
			return a, err
		}
	}
	for attempt := 0; ; attempt++ {
		fd, err := e.obtain(ctx, res, 0, time.Time{})
		if err != nil {
			return nil, err
		}
		if fd.flight != nil {
			a, err := e.follow(ctx, req, res, &fd)
			if a != nil || err != nil {
				return a, err
			}
		}
		if fd.object == nil {
			return e.direct(ctx, req, res)
		}
		a, err := e.answer(ctx, req, res, fd)
		if attempt == 0 && (errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt)) {
			e.lost(fd.object)
			continue
		}
		return a, err
	}
}

// lost notes that the blob of an object is gone: from now on it only pins the digest.
func (e *Engine) lost(o *object) {
	gone := newObject(o.entry)
	gone.missing = true
	e.objects.Set(o.entry.Key, gone)
}

// follow waits for a flight: until its body may be read, or else until it has ended. In
// the second case it completes fd and returns no answer.
func (e *Engine) follow(ctx context.Context, req ecosystem.Request, res ecosystem.Resource, fd *found) (*Answer, error) {
	f := fd.flight
	select {
	case <-f.head:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	// A part of a body could be complete before the whole is checked, so who asks for one waits.
	streams := f.body != nil && !req.Part && (f.begun.size >= 0 || req.Method != "HEAD")
	if streams && !e.mustView(req, res) && f.body.acquire() {
		if err := e.believed(req, res, f.begun.vouch.trust); err != nil {
			f.body.release()
			return nil, err
		}
		return e.streaming(ctx, req, res, fd), nil
	}
	o, outcome, err := f.wait(ctx)
	switch {
	case errors.Is(err, errPrivate):
		return nil, nil // fd.object stays nil: everybody fetches his own
	case err != nil:
		return nil, err
	}
	fd.object, fd.outcome = o, outcome
	if outcome == Miss && !fd.leader {
		fd.outcome = Joined
	}
	return nil, nil
}

// streaming answers with a body that is still being fetched.
func (e *Engine) streaming(ctx context.Context, req ecosystem.Request, res ecosystem.Resource, fd *found) *Answer {
	f, b := fd.flight, fd.flight.begun
	a := &Answer{Outcome: Miss, Resource: res, Type: b.typ, Size: b.size, Modified: b.modified,
		Trust: b.vouch.trust, Voucher: claimant(b.vouch.by), Signer: b.vouch.signer,
		Body: &follower{ctx: ctx, spool: f.body}}
	if !fd.leader {
		a.Outcome = Joined
	}
	if c, ok := b.vouch.strong(); ok && c.Digest.Algorithm() == digest.SHA256 {
		a.Digest, a.ETag = c.Digest, `"`+c.Digest.Hex()+`"`
	}
	a.addHeader(b.header, "")
	a.close = func(a *Answer) {
		f.body.release()
		line := e.line(req, a)
		if line.Digest = f.body.checked(); line.Digest == "" {
			line.Trust = string(index.Unvouched) // the client left before the check
		}
		e.Receipts.Append(line)
	}
	return a
}

// mustView reports whether the client sees the document otherwise than it is stored.
func (e *Engine) mustView(req ecosystem.Request, res ecosystem.Resource) bool {
	return res.Kind == ecosystem.Document && !res.Sealed && (res.Form != "" || req.Base != "")
}

// answer answers with something stored.
func (e *Engine) answer(ctx context.Context, req ecosystem.Request, res ecosystem.Resource, fd found) (*Answer, error) {
	o, now := fd.object, e.Now()
	en := &o.entry
	if err := e.believed(req, res, en.Trust); err != nil {
		return nil, err
	}
	a := &Answer{Outcome: fd.outcome, Resource: res, Type: en.Type, Digest: en.Blob, ETag: o.etag, Modified: en.Modified,
		Age: max(0, now.Sub(en.Checked)), Trust: en.Trust, Voucher: claimant(en.Voucher), Signer: en.Evidence.Signer,
		Size: en.Size, Bytes: o.bytes}
	if en.Kind == ecosystem.Document {
		a.Lifetime = max(0, en.Checked.Add(en.Lifetime).Sub(now))
	}
	if res.Root {
		e.saw(req, o)
	}
	if err := e.body(ctx, req, a, o); err != nil {
		return nil, err
	}
	e.Used(en.Blob)
	opened := a.Blob
	if len(res.Header)+len(en.Header) > 0 {
		if err := describe(a, o); err != nil {
			if opened != nil {
				closeQuietly(opened)
			}
			return nil, err
		}
	}
	a.close = func(a *Answer) {
		if opened != nil {
			closeQuietly(opened)
		}
		if errors.Is(a.err, blob.ErrCorrupt) {
			e.lost(o)
		}
		line := e.line(req, a)
		line.Digest = o.entry.Blob // of what was stored, whatever view of it was sent
		e.Receipts.Append(line)
	}
	return a, nil
}

// body gives the answer its body: a view, bytes in memory, or the stored blob.
func (e *Engine) body(ctx context.Context, req ecosystem.Request, a *Answer, o *object) error {
	if e.mustView(req, a.Resource) {
		v, err := e.view(ctx, req, a.Resource, o)
		if err != nil {
			return err
		}
		a.Bytes, a.Size, a.Digest, a.ETag = v.bytes, int64(len(v.bytes)), v.digest, v.etag
		if a.Resource.FormType != "" {
			a.Type = a.Resource.FormType
		}
		return nil
	}
	if o.bytes != nil {
		return nil
	}
	r, err := e.Blobs.Open(ctx, o.entry.Blob)
	if err != nil {
		return fmt.Errorf("%s: %w", a.Resource.URL, err)
	}
	if r.Size() > smallBody {
		a.Blob, a.Body = r, r
		return nil
	}
	defer closeQuietly(r)
	if a.Bytes, err = io.ReadAll(r); err != nil {
		return fmt.Errorf("%s: %w", a.Resource.URL, err)
	}
	e.keepBytes(o, a.Bytes)
	return nil
}

// keepBytes keeps a small body in memory for the next request, unless the object was
// replaced meanwhile.
func (e *Engine) keepBytes(o *object, b []byte) {
	with := newObject(o.entry)
	with.bytes, with.heard = b, o.heard
	with.by.Store(o.by.Load())
	with.epoch.Store(o.epoch.Load())
	with.retry.Store(o.retry.Load())
	e.objects.ComputeIfPresent(o.entry.Key, func(now *object) (*object, otter.ComputeOp) {
		if now != o {
			return now, otter.CancelOp
		}
		return with, otter.WriteOp
	})
}

// view returns the document as this kind of client sees it.
func (e *Engine) view(ctx context.Context, req ecosystem.Request, res ecosystem.Resource, o *object) (*view, error) {
	key := viewKey{o.entry.Blob, res.Form, req.Base}
	if v, ok := e.views.GetIfPresent(key); ok {
		return v, nil
	}
	var stored io.ReaderAt = bytes.NewReader(o.bytes)
	if o.bytes == nil {
		r, err := e.Blobs.Open(ctx, o.entry.Blob)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", res.URL, err)
		}
		defer closeQuietly(r)
		stored = r
	}
	eco := e.ecosystem(res.Ecosystem)
	var buf bytes.Buffer
	err := eco.View(&buf, ecosystem.Body{Resource: res, ReaderAt: stored, Size: o.entry.Size},
		ecosystem.View{Form: res.Form, Link: e.linker(req.Base, eco.Profile())})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", res.URL, err)
	}
	d := digest.OfBytes(buf.Bytes())
	v := &view{bytes: buf.Bytes(), digest: d, etag: `"` + d.Hex() + `"`}
	e.views.Set(key, v)
	return v, nil
}

// linker returns the function that maps URLs at the origin to those of the native
// endpoint at base; the identity if base is "".
func (e *Engine) linker(base string, p ecosystem.Profile) func(string) string {
	return func(origin string) string {
		if base == "" {
			return origin
		}
		for _, m := range p.Mounts {
			if path, ok := m.Native(origin); ok {
				return base + path
			}
		}
		return origin
	}
}

// direct answers with a body that its origin forbids to share: fetched for this request
// alone and not stored.
func (e *Engine) direct(ctx context.Context, req ecosystem.Request, res ecosystem.Resource) (*Answer, error) {
	if res.Kind == ecosystem.Document || res.Hold {
		return e.directWhole(ctx, req, res)
	}
	if err := e.rules(req).Trust(res, "its origin forbids storing it and nobody states its digest"); err != nil {
		return nil, err
	}
	resp, err := e.origin(ctx).Fetch(ctx, res, freshness.Validator{})
	if err != nil {
		return nil, err
	}
	a := &Answer{Outcome: Bypass, Resource: res, Type: resp.Type, Modified: resp.Modified, Size: -1,
		Trust: index.Unvouched, Body: onlyForward{resp.Body}}
	a.close = func(a *Answer) {
		closeQuietly(resp.Body)
		e.Receipts.Append(e.line(req, a))
	}
	return a, nil
}

// directWhole is direct for what must be checked before anybody sees any of it. That an
// origin forbids storing a document is no reason to believe it: it is inspected as others
// are, and must not go back behind what is stored.
func (e *Engine) directWhole(ctx context.Context, req ecosystem.Request, res ecosystem.Resource) (*Answer, error) {
	old, err := e.lookup(ctx, res.Key())
	if err != nil {
		return nil, err
	}
	fl := &fill{res: res, old: old, flight: &flight{}, asked: e.Now(), reclaimed: true}
	fl.res.Hold = true // nobody follows it
	if fl.resp, err = e.origin(ctx).Fetch(ctx, res, freshness.Validator{}); err != nil {
		return nil, err
	}
	defer closeQuietly(fl.resp.Body)
	e.open(ctx, fl)
	en, err := e.checked(ctx, fl)
	if err == nil {
		err = e.believed(req, res, en.Trust)
	}
	fl.body.finish(err)
	if err != nil {
		fl.body.release()
		if isBad(err) {
			e.Trouble(err)
		}
		if old != nil && mayBeStale(err) && e.state(old).Usable(e.Now()) {
			return e.answer(ctx, req, res, found{object: old, outcome: Stale})
		}
		return nil, err
	}
	fl.body.settle(en.Blob)
	a := &Answer{Outcome: Bypass, Resource: res, Type: en.Type, Modified: en.Modified, Size: -1, Digest: en.Blob,
		Trust: en.Trust, Signer: en.Evidence.Signer, Body: onlyForward{&follower{ctx: ctx, spool: fl.body}}}
	a.close = func(a *Answer) {
		fl.body.release()
		e.Receipts.Append(e.line(req, a))
	}
	return a, nil
}

// checked reads the body of a fill to its end, and returns the entry that it would have.
func (e *Engine) checked(ctx context.Context, fl *fill) (index.Entry, error) {
	if err := e.fill(ctx, fl); err != nil {
		return index.Entry{}, err
	}
	if err := fl.compare(); err != nil {
		return index.Entry{}, err
	}
	en := e.entry(fl, fl.sums.SHA256(), fl.body.length())
	if fl.res.Kind == ecosystem.Document {
		_, err := e.examine(ctx, fl, &en)
		return en, err
	}
	return en, nil
}

// onlyForward is a body that cannot seek.
type onlyForward struct{ io.Reader }

// Seek fails.
func (onlyForward) Seek(int64, int) (int64, error) {
	return 0, errors.New("seek in a body that is not stored")
}

// line returns the receipt line of an answer that has been sent.
func (e *Engine) line(req ecosystem.Request, a *Answer) receipt.Line {
	l := receipt.Line{Build: req.Build, At: e.Now(), Ecosystem: a.Resource.Ecosystem, Method: req.Method, URL: publicURL(a.Resource.URL),
		Package: a.Resource.Package, Version: a.Resource.Version, Digest: a.Digest, Size: a.Size, Bytes: a.sent,
		Outcome: string(a.Outcome), Trust: string(a.Trust), Voucher: a.Voucher, Signer: a.Signer}
	if a.Outcome == Miss || a.Outcome == Bypass {
		l.Upstream = a.sent
	}
	if a.err != nil {
		l.Error = a.err.Error()
		if isBad(a.err) {
			l.Outcome = string(Bad)
		}
	}
	return l
}

// failure returns the receipt line of a request that got no answer.
func (e *Engine) failure(req ecosystem.Request, res ecosystem.Resource, err error) receipt.Line {
	l := receipt.Line{Build: req.Build, At: e.Now(), Ecosystem: res.Ecosystem, Method: req.Method, URL: publicURL(res.URL),
		Package: res.Package, Version: res.Version, Size: -1, Outcome: string(Fails(err)), Error: err.Error()}
	if errors.Is(err, upstream.ErrNotFound) {
		l.Note = receipt.Absent
	}
	return l
}

// Fails returns the outcome of a request that Serve answered with an error.
func Fails(err error) Outcome {
	switch {
	case errors.Is(err, policy.ErrRefused), errors.Is(err, ecosystem.ErrRefused), errors.Is(err, upstream.ErrBlocked):
		return Refused
	case errors.Is(err, ecosystem.ErrBypass):
		return Bypass
	case isBad(err):
		return Bad
	}
	return Error
}

// isBad reports whether bytes contradict what was promised.
func isBad(err error) bool {
	return errors.Is(err, digest.ErrMismatch) || errors.Is(err, ecosystem.ErrInvalid) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrRolledBack)
}

// publicURL returns a URL without its query, which may hold secrets.
func publicURL(raw string) string {
	if !strings.ContainsAny(raw, "?@") {
		return raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "invalid URL"
	}
	u.RawQuery, u.User = "", nil
	return u.String()
}
