package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
	"sutler/internal/upstream"
)

// A vouch is what is known of a resource before its bytes are: the claims that must
// hold, and how far who made them can be believed.
type vouch struct {
	claims []ecosystem.Claim
	trust  index.Trust
	by     string // key of the document that claims, ecosystem.ByURL, byPin or ""
	blob   digest.Digest
	signer string

	unasked bool // a witness could not be asked
}

// byPin is who claims what a name had when it was first served without a claim.
const byPin = "pin"

// strong returns a claim that verifies bytes, and whether there is one: one of SHA-256,
// by which blobs are named, if there is any. Beside a document's weak claim a pin does not
// count: that must be compared as well.
func (v vouch) strong() (best ecosystem.Claim, ok bool) {
	for _, c := range v.claims {
		if c.By == byPin && v.by != byPin {
			continue
		}
		if c.Digest.Strong() && (!ok || c.Digest.Algorithm() == digest.SHA256 && best.Digest.Algorithm() != digest.SHA256) {
			best, ok = c, true
		}
	}
	return best, ok
}

// size returns the size that is claimed, or -1.
func (v vouch) size() int64 {
	for _, c := range v.claims {
		if c.Size >= 0 {
			return c.Size
		}
	}
	return -1
}

// vouch finds out who states the digest of res. Documents that may are obtained, in order.
// o, what is stored of an artifact for which nobody vouches by more than a weak digest, pins it.
func (e *Engine) vouch(ctx context.Context, res ecosystem.Resource, o *object, t trip) (vouch, error) {
	v, err := e.vouchers(ctx, res, t)
	if err != nil {
		return v, err
	}
	v.claims = append(slices.Clone(res.Claims), v.claims...)
	if v.by == "" && named(res) {
		v.by, v.trust = ecosystem.ByURL, index.Stated
	}
	if _, strong := v.strong(); !strong && o != nil && res.Kind == ecosystem.Artifact {
		// That a weak digest is stated is no reason to forget what was served before.
		v.by, v.trust = cmp.Or(v.by, byPin), index.Unvouched
		v.claims = append(v.claims, ecosystem.Claim{URL: res.URL, Variant: res.Variant, Digest: o.entry.Blob, Size: o.entry.Size, By: byPin})
	}
	v.trust = cmp.Or(v.trust, index.Unvouched)
	return v, nil
}

// vouchers returns the claims that documents make about res.
func (e *Engine) vouchers(ctx context.Context, res ecosystem.Resource, t trip) (vouch, error) {
	if res.Optional {
		for _, doc := range res.VouchedBy { // most are not there: ask for all at once
			_, _ = e.obtain(ctx, doc, t.depth+1, t.since) // whoever waits for the flight gets its error
		}
	}
	unasked := false
	for i, doc := range res.VouchedBy {
		v, err := e.voucher(ctx, res, doc, t)
		// Of a file that any document of its repository may list, the voucher is a guess.
		more := i < len(res.VouchedBy)-1 || res.Repository != "" && res.Kind == ecosystem.Artifact
		switch {
		case err == nil && v.by != "":
			return v, nil
		case errors.Is(err, upstream.ErrUnavailable) && res.Witnessed:
			e.absent.Set(witnessKey(doc), negative{err: err, until: e.Now().Add(retryAfter)})
			unasked = true
		case err == nil, errors.Is(err, upstream.ErrNotFound), errors.Is(err, upstream.ErrForbidden) && (res.Optional || res.Witnessed || more),
			errors.Is(err, ecosystem.ErrInvalid) && res.Optional:
			continue // it says nothing; the next one may
		default:
			return vouch{}, err
		}
	}
	switch {
	case res.Repository == "":
		return vouch{unasked: unasked}, nil
	case named(res): // whoever else knows it need not be asked anew
		e.awaitInspection(ctx, repositoryKey(res))
		v, _, err := e.searchRepository(ctx, res)
		return v, err
	case res.Kind != ecosystem.Artifact:
		return vouch{}, nil
	}
	return e.repositoryVouch(ctx, res, t)
}

// witnessKey names what a document comes from, for noting that it is out of reach.
func witnessKey(doc ecosystem.Resource) string {
	scheme, rest, _ := strings.Cut(doc.URL, "://")
	host, _, _ := strings.Cut(rest, "/")
	return "witness " + scheme + "://" + host
}

// unwitnessed reports whether o was stored without a word of its witnesses, who can be asked
// now: they may have been out of reach then. What they left open is seldom asked again.
func (e *Engine) unwitnessed(res ecosystem.Resource, o *object, now time.Time) bool {
	if !res.Witnessed || o.entry.Voucher != "" || now.Before(o.heard) {
		return false
	}
	return !slices.ContainsFunc(res.VouchedBy, func(doc ecosystem.Resource) bool {
		n, ok := e.absent.GetIfPresent(witnessKey(doc))
		return ok && now.Before(n.until)
	})
}

// voucher returns what doc claims about res. A document that was stored before res was
// asked for may be older than res: it is asked for once more before its silence counts.
func (e *Engine) voucher(ctx context.Context, res, doc ecosystem.Resource, t trip) (vouch, error) {
	t.depth++
	asked := e.Now()
	o, err := e.document(ctx, doc, t)
	if err != nil {
		return vouch{}, err
	}
	v, err := e.claimed(ctx, res, o)
	if err != nil || v.by != "" || !o.entry.Checked.Before(asked) || res.Optional {
		return v, err
	}
	t.since = asked
	if o, err = e.document(ctx, doc, t); err != nil {
		return vouch{}, nil // it could not be asked again: its old silence stands
	}
	return e.claimed(ctx, res, o)
}

// claimed returns what a stored document claims about res; nothing is no error.
func (e *Engine) claimed(ctx context.Context, res ecosystem.Resource, doc *object) (vouch, error) {
	claims, err := e.find(ctx, doc, res)
	if err != nil || len(claims) == 0 {
		return vouch{}, err
	}
	en := doc.entry
	return vouch{claims: claims, by: en.Key, blob: en.Blob, signer: en.Evidence.Signer, trust: passOn(en, claims)}, nil
}

// passOn returns how far a claim is believed, given the document that makes it.
func passOn(doc index.Entry, claims []ecosystem.Claim) index.Trust {
	switch {
	case !slices.ContainsFunc(claims, func(c ecosystem.Claim) bool { return c.Digest.Strong() }):
		return index.Unvouched
	case doc.Trust == index.Transport:
		return index.Stated
	}
	return doc.Trust
}

// find looks res up in the claims table of a stored document. If the table is gone, it
// is made again from the document.
func (e *Engine) find(ctx context.Context, doc *object, res ecosystem.Resource) ([]ecosystem.Claim, error) {
	e.awaitInspection(ctx, doc.entry.Key)
	if doc.entry.Table == "" {
		if o, ok := e.objects.GetIfPresent(doc.entry.Key); ok {
			doc = o // inspected just now
		}
	}
	claims, err := e.findIn(ctx, doc.entry.Table, res)
	if err == nil {
		for i := range claims {
			claims[i].By = doc.entry.Key
		}
		return claims, nil
	}
	made, err := e.inspectStored(ctx, doc)
	if err != nil {
		return nil, err
	}
	return e.findIn(ctx, made.entry.Table, res)
}

// findIn looks res up in a claims table.
func (e *Engine) findIn(ctx context.Context, table digest.Digest, res ecosystem.Resource) ([]ecosystem.Claim, error) {
	if table == "" {
		return nil, errTable
	}
	r, size, done, err := e.openTable(ctx, table)
	if err != nil {
		return nil, err
	}
	defer done()
	claims, err := findClaims(r, size, res.ClaimKey())
	for i := range claims {
		claims[i].URL, claims[i].Variant = res.URL, res.Variant
	}
	return claims, err
}

// openTable opens a claims table: from the store, or from memory if the store was full.
func (e *Engine) openTable(ctx context.Context, table digest.Digest) (r io.ReaderAt, size int64, done func(), err error) {
	if b, ok := e.unstored.GetIfPresent(table); ok {
		return bytes.NewReader(b), int64(len(b)), func() {}, nil
	}
	blob, err := e.Blobs.Open(ctx, table)
	if err != nil {
		return nil, 0, nil, err
	}
	e.Used(table)
	return blob, blob.Size(), func() { closeQuietly(blob) }, nil
}

// repositoryVouch asks the documents of the repository of res, newest first. If none of
// them knows it, they are refreshed once: res may be newer.
func (e *Engine) repositoryVouch(ctx context.Context, res ecosystem.Resource, t trip) (vouch, error) {
	e.awaitInspection(ctx, repositoryKey(res))
	v, docs, err := e.searchRepository(ctx, res)
	if err != nil || v.by != "" || t.depth >= maxDepth {
		return v, err
	}
	asked := e.Now()
	for _, doc := range docs {
		root, ok := e.rootOf(ctx, doc)
		if !ok || root.entry.Checked.Add(root.entry.Lifetime).After(asked) {
			continue
		}
		t.depth++
		if err := e.renew(ctx, root.entry, trip{depth: t.depth, since: asked}); err != nil && !mayBeStale(err) {
			e.Trouble(err)
		}
	}
	e.awaitInspection(ctx, repositoryKey(res))
	v, _, err = e.searchRepository(ctx, res)
	return v, err
}

// searchRepository looks res up in all documents of its repository, newest first.
func (e *Engine) searchRepository(ctx context.Context, res ecosystem.Resource) (vouch, []index.Entry, error) {
	docs, err := e.Index.Vouchers(ctx, res.Ecosystem, scopedRepository(res))
	if err != nil {
		return vouch{}, nil, err
	}
	for _, doc := range docs {
		v, err := e.claimed(ctx, res, newObject(doc))
		if err != nil {
			e.Trouble(err)
			continue
		}
		if v.by != "" {
			return v, docs, nil
		}
	}
	return vouch{}, docs, nil
}

// rootOf returns the signed root that vouches for a document, or the document itself if
// it is one.
func (e *Engine) rootOf(ctx context.Context, doc index.Entry) (*object, bool) {
	if doc.Voucher == "" {
		return newObject(doc), true
	}
	o, err := e.lookup(ctx, doc.Voucher)
	return o, err == nil && o != nil
}

// renew asks the origin again for a document that made claims, and for those that vouch
// for it, whatever its lifetime says.
func (e *Engine) renew(ctx context.Context, doc index.Entry, t trip) error {
	res, err := e.classifyURL(doc.Ecosystem, doc.URL)
	if err != nil {
		return err
	}
	for _, root := range res.VouchedBy {
		if _, err := e.document(ctx, root, trip{depth: t.depth + 1, since: t.since}); err == nil {
			break
		}
	}
	if named(res) {
		return nil // its bytes never change; the root may name others now
	}
	if len(res.VouchedBy) > 0 && !res.Optional {
		t.since = time.Time{} // its root decides whether it is current
	}
	_, err = e.document(ctx, res, t)
	return err
}

// closeQuietly closes what was only read.
func closeQuietly(c io.Closer) {
	_ = c.Close() // nothing can be lost by it
}
