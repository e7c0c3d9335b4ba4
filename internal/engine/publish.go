package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/upstream"
)

// errIncoherent means that a new signed root names members that cannot be had (yet), so
// the set before it is still the one to show.
var errIncoherent = errors.New("new version is not complete at the origin yet")

// patience is how long members of a new root that the origin says it has not hold the
// new root back. After that they are taken for listed but never published.
const patience = 5 * time.Minute

// stickiness is how long a client that saw a root is served the members which that root
// names, although a newer one is known.
const stickiness = 15 * time.Minute

// A pendingRoot is a new version of a root that could not be shown yet.
type pendingRoot struct {
	digest digest.Digest
	since  time.Time
}

// A session is which version of a root a client saw last.
type session struct {
	table digest.Digest
	until time.Time
}

// publishable decides whether a new version of a signed root may replace the one that
// clients see: it must not be older, and every member that clients use must be stored
// first, so that nobody is shown an InRelease whose Packages cannot be had.
func (e *Engine) publishable(ctx context.Context, fl *fill, m *made) error {
	if fl.old == nil {
		return nil
	}
	old := fl.old.entry
	if old.Evidence.Signer != "" && m.evidence.Signer == "" {
		return fmt.Errorf("%w: %s was signed by %s before, and is signed by no known key now", ErrRolledBack, fl.res.URL, old.Evidence.Signer)
	}
	if was, is := old.Evidence.Dated, m.evidence.Dated; is.Before(was) {
		return fmt.Errorf("%w: %s is dated %s, after one of %s", ErrRolledBack, fl.res.URL, is.UTC().Format(time.RFC3339), was.UTC().Format(time.RFC3339))
	}
	if fl.old.missing || fl.sums.SHA256() == old.Blob {
		return nil
	}
	for _, c := range m.claims {
		err := e.member(ctx, fl, c)
		if errors.Is(err, upstream.ErrNotFound) && e.outwaited(fl) {
			continue
		}
		if err != nil {
			fl.old.retry.Store(e.Now().Add(absentUntilSeen).UnixNano())
			return fmt.Errorf("%w: %w", errIncoherent, err)
		}
	}
	e.pending.Invalidate(fl.res.Key())
	return nil
}

// outwaited reports whether this version of the root was held back long enough.
func (e *Engine) outwaited(fl *fill) bool {
	key, d, now := fl.res.Key(), fl.sums.SHA256(), e.Now()
	p, ok := e.pending.GetIfPresent(key)
	if !ok || p.digest != d {
		e.pending.Set(key, pendingRoot{digest: d, since: now})
		return false
	}
	return now.Sub(p.since) > patience
}

// member stores the new bytes of a member that clients use: one whose old bytes are stored.
func (e *Engine) member(ctx context.Context, fl *fill, c ecosystem.Claim) error {
	if c.Digest.Algorithm() != digest.SHA256 || !e.uses(ctx, fl, c) {
		return nil
	}
	res, err := e.classifyURL(fl.res.Ecosystem, c.URL)
	if err != nil {
		return nil // listed, but nothing that clients of this ecosystem ask for
	}
	fl.members = append(fl.members, res)
	if _, ok := e.Blobs.Has(ctx, c.Digest); ok {
		return nil
	}
	part := &fill{res: res, vouch: vouch{claims: []ecosystem.Claim{c}, by: fl.res.Key()}, flight: &flight{}, reclaimed: true}
	if err := e.ask(ctx, part); err != nil {
		return err
	}
	defer closeQuietly(part.resp.Body)
	part.res.Hold = true // there is no client to follow it
	e.open(ctx, part)
	defer part.body.release()
	err = e.fill(ctx, part)
	if err == nil {
		err = part.compare()
	}
	if err == nil {
		err = e.store(ctx, part, e.entry(part, c.Digest, part.body.length()))
	}
	part.body.finish(err)
	return err
}

// uses reports whether the bytes that the old root named for a member are stored.
func (e *Engine) uses(ctx context.Context, fl *fill, c ecosystem.Claim) bool {
	before, err := e.findIn(ctx, fl.old.entry.Table, ecosystem.Resource{Ecosystem: fl.res.Ecosystem, URL: c.URL, Variant: c.Variant})
	if err != nil {
		return false
	}
	for _, b := range before {
		if b.Digest == c.Digest || b.Digest.Algorithm() != digest.SHA256 {
			continue
		}
		if _, ok := e.Blobs.Has(ctx, b.Digest); ok {
			return true
		}
	}
	return false
}

// refreshMembers lets the members in use follow their new root, in the background, so
// that artifacts are looked up in the newest of them. Look-ups wait for it.
func (e *Engine) refreshMembers(ctx context.Context, fl *fill) {
	ctx = context.WithoutCancel(ctx)
	e.background([]string{repositoryKey(fl.res)}, func() {
		<-fl.flight.done
		for _, res := range fl.members {
			if _, err := e.document(ctx, res, trip{depth: 1}); err != nil {
				e.Trouble(err)
			}
		}
	})
}

// saw notes that a client was served this version of a root.
func (e *Engine) saw(req ecosystem.Request, o *object) {
	e.seen.Set(sessionKey(req, o.entry.Key), session{table: o.entry.Table, until: e.Now().Add(stickiness)})
}

// sessionKey names one client's view of one root: the build's, or else the address's.
func sessionKey(req ecosystem.Request, root string) string {
	if req.Build != "" {
		return "build " + req.Build + " " + root
	}
	return "peer " + req.Peer + " " + root
}

// before returns what a client that saw an older root must be served for a member: the
// bytes which that root names. It returns nil if the current ones are right.
func (e *Engine) before(ctx context.Context, req ecosystem.Request, res ecosystem.Resource) *object {
	if len(res.VouchedBy) == 0 || res.Kind != ecosystem.Document || named(res) {
		return nil
	}
	for _, root := range res.VouchedBy {
		s, ok := e.seen.GetIfPresent(sessionKey(req, root.Key()))
		if !ok || e.Now().After(s.until) {
			continue
		}
		current, ok := e.objects.GetIfPresent(root.Key())
		if !ok || current.entry.Table == s.table {
			return nil
		}
		claims, err := e.findIn(ctx, s.table, res)
		if err != nil {
			return nil
		}
		for _, c := range claims {
			size, ok := e.holds(ctx, res, c.Digest)
			if !ok {
				continue
			}
			fl := &fill{res: res, asked: e.Now(), vouch: vouch{by: root.Key(), trust: current.entry.Trust, signer: current.entry.Evidence.Signer}}
			return newObject(e.entry(fl, c.Digest, size))
		}
	}
	return nil
}
