package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sutler/internal/blob"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
	"sutler/internal/index"
	"sutler/internal/upstream"
)

// A fill is one refresh of one resource on its way.
type fill struct {
	res    ecosystem.Resource
	old    *object // what is stored, or nil
	vouch  vouch
	flight *flight
	trip   trip
	epoch  int64     // of the repository, before its vouchers were asked
	asked  time.Time // when the refresh began

	resp *upstream.Response
	body *spool
	sums *digest.Hasher

	reclaimed bool                 // the claiming document was asked for again
	members   []ecosystem.Resource // of a root: those in use that changed
}

// refresh makes res current: by what is stored, if a claim names it, else from the origin.
func (e *Engine) refresh(ctx context.Context, res ecosystem.Resource, o *object, f *flight, t trip) (*object, Outcome, error) {
	fl := &fill{res: res, old: o, flight: f, trip: t, asked: e.Now(), epoch: e.epoch(res).Load()}
	var err error
	if fl.vouch, err = e.vouch(ctx, res, o, t); err != nil {
		return nil, Error, err
	}
	same, err := e.same(ctx, fl)
	switch {
	case err != nil:
		return nil, Error, err
	case same:
		return e.confirm(ctx, fl)
	case e.knows(ctx, res, fl.vouch):
		return e.adopt(ctx, fl)
	case res.Kind == ecosystem.Artifact && fl.vouch.trust != index.Signed && fl.vouch.trust != index.Stated:
		if err := e.Rules.Trust(res, "no document states its digest"); err != nil {
			return nil, Refused, err
		}
	}
	return e.fetch(ctx, fl)
}

// same reports whether what is stored is what the claims name.
func (e *Engine) same(ctx context.Context, fl *fill) (bool, error) {
	claim, ok := fl.vouch.strong()
	if !ok || fl.old == nil || fl.old.missing {
		return false, nil
	}
	if claim.Digest.Algorithm() == digest.SHA256 {
		return claim.Digest == fl.old.entry.Blob, nil
	}
	r, err := e.Blobs.Open(ctx, fl.old.entry.Blob)
	if err != nil {
		return false, nil // it is gone or damaged, so it must be fetched
	}
	defer closeQuietly(r)
	got, err := digest.Compute(claim.Digest.Algorithm(), r, r.Size())
	return err == nil && got == claim.Digest, nil
}

// confirm notes that the stored object is still what its vouchers name.
func (e *Engine) confirm(ctx context.Context, fl *fill) (*object, Outcome, error) {
	o, v := fl.old, fl.vouch
	en := o.entry
	en.Checked = fl.asked
	if v.by != byPin {
		en.Voucher, en.Trust, en.Evidence.Signer = v.by, v.trust, v.signer
	}
	en.Lifetime = max(en.Lifetime, fl.res.Floor)
	var err error
	if en.Voucher != o.entry.Voucher || en.Trust != o.entry.Trust {
		err = e.Index.Put(ctx, en)
	} else if fl.res.Kind == ecosystem.Document {
		err = e.Index.Touch(ctx, en.Key, en.Checked, en.Lifetime)
	}
	if err != nil {
		e.Trouble(fmt.Errorf("index: %w", err)) // it is right all the same
	}
	return e.remember(fl, en), Hit, nil
}

// remember puts the object of an entry into memory.
func (e *Engine) remember(fl *fill, en index.Entry) *object {
	o := newObject(en)
	if fl.old != nil && fl.old.entry.Blob == en.Blob {
		o.bytes = fl.old.bytes
	}
	if fl.res.Witnessed && !fl.vouch.unasked {
		o.heard = e.Now().Add(witnessAgain)
	}
	o.by.Store(fl.vouch.blob)
	o.epoch.Store(fl.epoch + 1)
	e.objects.Set(en.Key, o)
	e.absent.Invalidate(en.Key)
	return o
}

// knows reports whether the store holds what a document claims. A digest that only the
// request's URL states is no reason to hand out what somebody else may have fetched with
// a credential.
func (e *Engine) knows(ctx context.Context, res ecosystem.Resource, v vouch) bool {
	claim, ok := v.strong()
	if !ok || claim.Digest.Algorithm() != digest.SHA256 || v.by == ecosystem.ByURL || v.by == byPin {
		return false
	}
	_, ok = e.holds(ctx, res, claim.Digest)
	return ok
}

// holds reports whether the store has a blob that may answer for res: one that was fetched
// with a credential answers only for what is fetched with the same.
func (e *Engine) holds(ctx context.Context, res ecosystem.Resource, d digest.Digest) (size int64, ok bool) {
	if size, ok = e.Blobs.Has(ctx, d); !ok {
		return 0, false
	}
	mark, err := e.Index.Entry(ctx, privateKey(d))
	if errors.Is(err, index.ErrNotFound) {
		return size, true
	}
	return size, err == nil && mark.Repository == res.Scope
}

// privateKey is the key of the entry that marks a blob as fetched with a credential.
func privateKey(d digest.Digest) string { return "private " + string(d) }

// adopt makes an entry of a blob that is stored already, whichever way it came.
func (e *Engine) adopt(ctx context.Context, fl *fill) (*object, Outcome, error) {
	claim, _ := fl.vouch.strong()
	size, ok := e.holds(ctx, fl.res, claim.Digest)
	if !ok || claim.Size >= 0 && claim.Size != size {
		return e.fetch(ctx, fl)
	}
	en := e.entry(fl, claim.Digest, size)
	en.Type = claim.Type
	like := e.alike(ctx, fl, claim)
	if like != nil {
		en.Type, en.Origin, en.Header = like.entry.Type, like.entry.Origin, like.entry.Header
	}
	if len(fl.res.Keep) > 0 && (like == nil || like.entry.Blob != claim.Digest) {
		return e.fetch(ctx, fl) // only the origin has the fields that belong to this name
	}
	if en.Type == "" && fl.res.Accept != "" {
		return e.fetch(ctx, fl) // what it is must be known: the client asked for certain types
	}
	o, err := e.commit(ctx, fl, en)
	return o, Hit, err
}

// alike returns an object of the same bytes from the same origin: what was stored under the
// name before, or the document that claims its own bytes under another name.
func (e *Engine) alike(ctx context.Context, fl *fill, claim ecosystem.Claim) *object {
	if fl.old != nil {
		return fl.old
	}
	by, err := e.lookup(ctx, fl.vouch.by)
	if err == nil && by != nil && by.entry.Blob == claim.Digest {
		return by
	}
	return nil
}

// entry returns the entry of a fill whose bytes have that digest.
func (e *Engine) entry(fl *fill, d digest.Digest, size int64) index.Entry {
	res, now := fl.res, e.Now()
	en := index.Entry{Key: res.Key(), Ecosystem: res.Ecosystem, URL: res.URL, Variant: res.Variant, Kind: res.Kind,
		Package: res.Package, Version: res.Version, Repository: scopedRepository(res),
		Blob: d, Size: size, Stored: now, Checked: fl.asked, Modified: now.Truncate(time.Second), Lifetime: res.Floor,
		Voucher: fl.vouch.by, Trust: fl.vouch.trust}
	en.Evidence.Signer = fl.vouch.signer
	if r := fl.resp; r != nil {
		en.Type, en.Validator, en.Origin, en.Header = r.Type, r.Validator, r.URL, r.Header
		en.Lifetime = max(res.Floor, r.Lifetime)
		if !r.Modified.IsZero() && r.Modified.Before(now) {
			en.Modified = r.Modified
		}
	}
	if en.Voucher == byPin {
		en.Voucher = ""
	}
	en.Trust = cmp.Or(en.Trust, index.Unvouched)
	return en
}

// fetch asks the origin and keeps what it says, if that is what was promised.
func (e *Engine) fetch(ctx context.Context, fl *fill) (*object, Outcome, error) {
	if err := e.ask(ctx, fl); err != nil {
		return nil, Error, err
	}
	if fl.resp.NotModified {
		return e.touch(ctx, fl)
	}
	defer closeQuietly(fl.resp.Body)
	if fl.resp.NoStore && len(fl.vouch.claims) == 0 {
		return nil, Bypass, errPrivate
	}
	e.open(ctx, fl)
	err := e.fill(ctx, fl)
	if err == nil {
		err = e.check(ctx, fl)
	}
	fl.body.settle(fl.sums.SHA256())
	if fl.flight.body == nil {
		defer fl.body.release()
	}
	if err != nil {
		fl.body.finish(err)
		if isBad(err) {
			e.Trouble(err)
		}
		return nil, Fails(err), err
	}
	// The rest is released only now: who has read a document may ask for what it claims at
	// once, and who has read anything finds it stored.
	o, err := e.keep(ctx, fl)
	if errors.Is(err, blob.ErrFull) {
		fl.body.finish(nil) // it is right: whoever follows may have it all
		return nil, Error, err
	}
	fl.body.finish(err)
	if err != nil {
		return nil, Fails(err), err
	}
	return o, Miss, nil
}

// ask sends the request. A document whose claim names an unchanging URL of the very
// bytes is fetched from there first: the origin may be between two versions.
func (e *Engine) ask(ctx context.Context, fl *fill) (err error) {
	if claim, ok := fl.vouch.strong(); ok && claim.Via != "" && claim.Via != fl.res.URL {
		via := fl.res
		via.URL = claim.Via
		fl.resp, err = e.origin(ctx).Fetch(ctx, via, freshness.Validator{})
		if !errors.Is(err, upstream.ErrNotFound) && !errors.Is(err, upstream.ErrForbidden) {
			return err
		}
	}
	var v freshness.Validator
	if fl.old != nil && !fl.old.missing && fl.vouch.by == "" {
		v = fl.old.entry.Validator
	}
	fl.resp, err = e.origin(ctx).Fetch(ctx, fl.res, v)
	return err
}

// touch notes that the origin confirmed what is stored.
func (e *Engine) touch(ctx context.Context, fl *fill) (*object, Outcome, error) {
	if fl.old == nil || fl.old.missing {
		return nil, Error, fmt.Errorf("%w: %s: 304 to an unconditional request", upstream.ErrInvalid, fl.res.URL)
	}
	en := fl.old.entry
	en.Checked, en.Lifetime = fl.asked, max(fl.res.Floor, fl.resp.Lifetime)
	if err := e.Index.Touch(ctx, en.Key, en.Checked, en.Lifetime); err != nil {
		e.Trouble(fmt.Errorf("index: %w", err)) // it is right all the same
	}
	return e.remember(fl, en), Revalidated, nil
}

// open makes the spool, and lets clients follow it where that is safe: a body that is
// promised a strong digest, or an artifact that clients check or need whole.
func (e *Engine) open(ctx context.Context, fl *fill) {
	file, err := e.Blobs.Spool(ctx)
	if err != nil {
		e.Trouble(fmt.Errorf("spool: %w", err))
		file = nil
	}
	fl.body = newSpool(file, fl.resp.Size)
	fl.sums = digest.NewHasher()
	for _, c := range fl.vouch.claims {
		fl.sums.Want(c.Digest)
	}
	_, strong := fl.vouch.strong()
	want := fl.vouch.size()
	suspect := want >= 0 && fl.resp.Size >= 0 && want != fl.resp.Size
	if fl.res.Hold || suspect || fl.res.Kind == ecosystem.Document && !strong {
		return
	}
	fl.flight.begin(fl.body, begun{size: fl.resp.Size, typ: fl.resp.Type, modified: fl.resp.Modified, header: fl.resp.Header, vouch: fl.vouch})
}

// fill copies the body into the spool, and hashes it on the way. A body that is longer
// than was claimed may be newer than the claim: that is looked into before it is refused.
func (e *Engine) fill(ctx context.Context, fl *fill) error {
	buf := make([]byte, 256<<10)
	for {
		limit := e.MaxSize
		if want := fl.vouch.size(); want >= 0 {
			limit = want
		}
		_, err := io.CopyBuffer(io.MultiWriter(fl.sums, fl.body), io.LimitReader(fl.resp.Body, limit+1-fl.body.length()), buf)
		switch {
		case errors.Is(err, upstream.ErrInvalid), errors.Is(err, ErrTooLarge):
			return fmt.Errorf("%s: %w", fl.res.URL, err)
		case err != nil:
			return fmt.Errorf("%w: %s: %w", upstream.ErrUnavailable, fl.res.URL, err)
		case fl.body.length() <= limit:
			return nil
		case e.reclaim(ctx, fl) && fl.vouch.size() > limit:
			continue
		}
		return fmt.Errorf("%w: %s: more than the %d bytes that %s promises", ErrTooLarge, fl.res.URL, limit, cmp.Or(claimant(fl.vouch.by), "the configuration"))
	}
}

// check compares the body with every claim. A mismatch may only mean that the claiming
// document is older than the body: then it is refreshed, and the check made once more.
func (e *Engine) check(ctx context.Context, fl *fill) error {
	err := fl.compare()
	if err == nil || !e.reclaim(ctx, fl) {
		return err
	}
	return fl.compare()
}

// reclaim asks the origin again for the document that made the claims, once in a fill,
// and reports whether there are claims to compare with now.
func (e *Engine) reclaim(ctx context.Context, fl *fill) bool {
	if fl.reclaimed || fl.vouch.by == "" || fl.vouch.by == ecosystem.ByURL || fl.vouch.by == byPin {
		return false
	}
	fl.reclaimed = true
	doc, err := e.lookup(ctx, fl.vouch.by)
	if err != nil || doc == nil {
		return false
	}
	if err := e.renew(ctx, doc.entry, trip{depth: fl.trip.depth + 1, since: e.Now()}); err != nil {
		e.Trouble(err)
		return false
	}
	if fl.res.Kind == ecosystem.Artifact {
		e.awaitInspection(ctx, repositoryKey(fl.res))
	}
	v, err := e.vouch(ctx, fl.res, fl.old, fl.trip)
	if err != nil || v.by == "" || v.by == byPin {
		return false
	}
	fl.vouch = v
	return true
}

// compare checks the body against every claim known now, and against what its origin said
// with it.
func (fl *fill) compare() error {
	if said := digest.Digest(fl.resp.Stated); said.Algorithm() == digest.SHA256 && said != fl.sums.SHA256() {
		return &MismatchError{Resource: fl.res, Got: fl.sums.SHA256(), Want: said, By: "its origin", Hint: hint("")}
	}
	for _, c := range fl.vouch.claims {
		got := fl.sums.Sum(c.Digest.Algorithm())
		if got == "" {
			var err error
			if got, err = digest.Compute(c.Digest.Algorithm(), fl.body, fl.body.length()); err != nil {
				return err
			}
		}
		if got != c.Digest || c.Size >= 0 && c.Size != fl.body.length() {
			return &MismatchError{Resource: fl.res, Got: got, Want: c.Digest, By: claimant(c.By), Hint: hint(c.By)}
		}
	}
	return nil
}

// keep stores a checked body: inspected and believed first, if nobody else vouches for it.
func (e *Engine) keep(ctx context.Context, fl *fill) (*object, error) {
	en := e.entry(fl, fl.sums.SHA256(), fl.body.length())
	_, strong := fl.vouch.strong()
	if fl.res.Kind == ecosystem.Document && !strong {
		if err := e.inspectRoot(ctx, fl, &en); err != nil {
			return nil, err
		}
	}
	// The blob before the entry: a crash in between leaves a blob that nothing points to,
	// which gc removes. The other order would leave an entry that points at nothing.
	err := e.store(ctx, fl, en)
	var o *object
	if err == nil {
		o, err = e.commit(ctx, fl, en)
	}
	if err != nil {
		return e.keepInMemory(fl, en, err) // a full disk must not fail a build
	}
	return o, nil
}

// store puts the body into the store; it was hashed on its way into the spool.
func (e *Engine) store(ctx context.Context, fl *fill, en index.Entry) error {
	if fl.res.Scope != "" { // before the blob: there is no moment at which it is anybody's
		mark := index.Entry{Key: privateKey(en.Blob), Ecosystem: "private", URL: string(en.Blob), Repository: fl.res.Scope, Blob: en.Blob, Stored: e.Now()}
		if err := e.Index.Put(ctx, mark); err != nil {
			return fmt.Errorf("index: %w", err)
		}
	}
	if err := e.admit(ctx, fl, en); err != nil {
		return err
	}
	e.Kept(en.Blob, en.Size)
	return nil
}

// keepInMemory serves a body that the store could not take to those who wait for it.
func (e *Engine) keepInMemory(fl *fill, en index.Entry, cause error) (*object, error) {
	e.Trouble(cause)
	if en.Size > maxMemory {
		return nil, fmt.Errorf("%w: %s has %d bytes: %w", blob.ErrFull, fl.res.URL, en.Size, cause)
	}
	o := newObject(en)
	o.bytes = make([]byte, en.Size)
	if _, err := fl.body.ReadAt(o.bytes, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return o, nil
}

// commit puts the entry into the index and into memory, and has a vouched document
// inspected, which its first client need not wait for.
func (e *Engine) commit(ctx context.Context, fl *fill, en index.Entry) (*object, error) {
	if fl.res.Kind == ecosystem.Document && en.Table == "" {
		e.reuseTable(ctx, fl.res, &en)
	}
	if err := e.Index.Put(ctx, en); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	o := e.remember(fl, en)
	if fl.res.Kind == ecosystem.Document && en.Table == "" {
		e.inspectLater(ctx, fl.res, o)
	}
	if len(fl.members) > 0 {
		e.refreshMembers(ctx, fl)
	}
	return o, nil
}

// claimant returns who made a claim, for people.
func claimant(by string) string {
	_, url, ok := cutKey(by)
	if ok {
		return url
	}
	return by
}

func hint(by string) string {
	if by == byPin {
		return "the origin changed what it serves under this name; if that is right, run: sutler purge URL"
	}
	return "the origin, or somebody between, serves other bytes than its index states; try again later or ask its maintainers"
}
