package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/maypok86/otter/v2"

	"sutler/internal/blob"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
)

// A tableBlob is the claims table that a document made.
type tableBlob struct{ digest digest.Digest }

// made is what an inspection found.
type made struct {
	evidence ecosystem.Evidence
	claims   []ecosystem.Claim // only of roots
	table    tableWriter
}

// inspect runs the ecosystem over a document and collects its claims. Claims about other
// resources than the document may speak of make it invalid.
func (e *Engine) inspect(ctx context.Context, res ecosystem.Resource, body ecosystem.Body, t trip) (*made, error) {
	src := &source{engine: e, trip: trip{depth: t.depth + 1, since: t.since}}
	defer src.close()
	m := &made{}
	var err error
	m.evidence, err = e.ecosystem(res.Ecosystem).Inspect(ctx, body, src, func(c ecosystem.Claim) error {
		if !e.inScope(res, c.URL) {
			return fmt.Errorf("%w: %s speaks of %s, which is not its own", ecosystem.ErrInvalid, res.URL, c.URL)
		}
		if res.Root {
			m.claims = append(m.claims, c)
		}
		if c.Via != "" {
			if err := m.table.add(ecosystem.Key(res.Ecosystem, c.Via, c.Variant), c); err != nil {
				return err
			}
		}
		return m.table.add(ecosystem.Key(res.Ecosystem, c.URL, c.Variant), c)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", res.URL, err)
	}
	return m, nil
}

// inScope reports whether a document may make a claim about that URL: under its repository
// root if it has one; else on its own origin, or if the resource names it as its voucher.
func (e *Engine) inScope(res ecosystem.Resource, claimed string) bool {
	if res.Repository != "" {
		return strings.HasPrefix(claimed, strings.TrimSuffix(res.Repository, "/")+"/")
	}
	a, errA := url.Parse(res.URL)
	b, errB := url.Parse(claimed)
	if errA != nil || errB != nil {
		return false
	}
	if a.Scheme == b.Scheme && a.Host == b.Host {
		return true
	}
	of, err := e.ecosystem(res.Ecosystem).Classify(ecosystem.Request{Method: "GET", URL: b})
	return err == nil && slices.ContainsFunc(of.VouchedBy, func(v ecosystem.Resource) bool { return v.URL == res.URL && v.Variant == res.Variant })
}

// inspectRoot inspects a document that nobody vouches for before it is shown to anybody,
// and fills in the entry: evidence, trust, claims table.
func (e *Engine) inspectRoot(ctx context.Context, fl *fill, en *index.Entry) error {
	m, err := e.examine(ctx, fl, en)
	if err != nil {
		return err
	}
	en.Table, err = e.storeTable(ctx, fl.res, en.Blob, &m.table)
	return err
}

// examine inspects a document that nobody vouches for, decides whether it may be shown, and
// fills in evidence and trust.
func (e *Engine) examine(ctx context.Context, fl *fill, en *index.Entry) (*made, error) {
	// A signature that was fetched before the document may be of the one before.
	t := trip{depth: fl.trip.depth, since: fl.asked}
	m, err := e.inspect(ctx, fl.res, ecosystem.Body{Resource: fl.res, ReaderAt: fl.body, Size: fl.body.length()}, t)
	if err != nil {
		return nil, err
	}
	en.Evidence = m.evidence
	switch {
	case m.evidence.Signer != "":
		en.Trust = index.Signed
	case fl.resp.Secure || fl.res.Proof:
		en.Trust = index.Transport
	default:
		en.Trust = index.Unvouched
		if err := e.Rules.Trust(fl.res, "no known key signed it and it came over plain HTTP "+m.evidence.Note); err != nil {
			return nil, err
		}
	}
	if x := m.evidence.Expires; !x.IsZero() && x.Before(e.Now()) {
		en.Evidence.Note = strings.TrimSpace("expired " + x.UTC().Format("2006-01-02 15:04 MST") + " " + en.Evidence.Note)
		if err := e.Rules.Trust(fl.res, en.Evidence.Note); err != nil {
			return nil, err
		}
	}
	if fl.res.Root {
		if err := e.publishable(ctx, fl, m); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// storeTable keeps the claims table of a document as a blob.
func (e *Engine) storeTable(ctx context.Context, res ecosystem.Resource, doc digest.Digest, w *tableWriter) (digest.Digest, error) {
	b := w.bytes()
	d := digest.OfBytes(b)
	switch err := e.Blobs.Put(ctx, d, bytes.NewReader(b), int64(len(b))); {
	case errors.Is(err, blob.ErrFull):
		e.Trouble(fmt.Errorf("claims of %s: %w", res.URL, err))
		e.unstored.Set(d, b) // a full disk must not keep anything from being checked
		return d, nil
	case err != nil:
		return "", fmt.Errorf("claims of %s: %w", res.URL, err)
	}
	e.Kept(d, int64(len(b)))
	e.tables.Set(tableKey(res, doc), tableBlob{d})
	return d, nil
}

// tableKey identifies what a document of those bytes claims: the same bytes elsewhere may
// speak of what lies in their own folder.
func tableKey(res ecosystem.Resource, doc digest.Digest) string {
	return res.Ecosystem + " " + res.Scope + " " + res.URL[:strings.LastIndexByte(res.URL, '/')+1] + " " + string(doc)
}

// reuseTable gives en the claims table of the same bytes under another name in the same
// folder, if it is known.
func (e *Engine) reuseTable(ctx context.Context, res ecosystem.Resource, en *index.Entry) {
	t, ok := e.tables.GetIfPresent(tableKey(res, en.Blob))
	if !ok {
		return
	}
	if _, ok := e.Blobs.Has(ctx, t.digest); ok {
		en.Table = t.digest
	}
}

// inspectLater inspects a document in the background: it is vouched for, so its clients
// need not wait. Whoever needs its claims waits: see awaitInspection.
func (e *Engine) inspectLater(ctx context.Context, res ecosystem.Resource, o *object) {
	ctx = context.WithoutCancel(ctx)
	e.epoch(res).Add(1) // what is stored may not be what it claims
	e.background([]string{res.Key(), repositoryKey(res)}, func() {
		if _, err := e.inspectStored(ctx, o); err != nil {
			e.Trouble(err)
		}
	})
}

// background runs work that look-ups under any of the keys wait for.
func (e *Engine) background(keys []string, work func()) {
	done := make(chan struct{})
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range keys {
		e.inspecting[k] = append(e.inspecting[k], done)
	}
	e.running.Go(func() {
		defer func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, k := range keys {
				e.inspecting[k] = slices.DeleteFunc(e.inspecting[k], func(c chan struct{}) bool { return c == done })
				if len(e.inspecting[k]) == 0 {
					delete(e.inspecting, k)
				}
			}
			close(done)
		}()
		defer e.survive(func(err error) { e.Trouble(err) })
		work()
	})
}

// awaitInspection waits until no work is under way in the background for that key.
func (e *Engine) awaitInspection(ctx context.Context, key string) {
	for {
		e.mu.Lock()
		var done chan struct{}
		if waits := e.inspecting[key]; len(waits) > 0 {
			done = waits[0]
		}
		e.mu.Unlock()
		if done == nil {
			return
		}
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// inspectStored inspects a stored document and puts its claims table into the index. A
// document that is vouched for but makes no sense to us claims nothing.
func (e *Engine) inspectStored(ctx context.Context, o *object) (*object, error) {
	en := o.entry
	res, err := e.classifyURL(en.Ecosystem, en.URL)
	if err != nil {
		return nil, err
	}
	r, err := e.Blobs.Open(ctx, en.Blob)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", en.URL, err)
	}
	defer closeQuietly(r)
	m, inspectErr := e.inspect(ctx, res, ecosystem.Body{Resource: res, ReaderAt: r, Size: r.Size()}, trip{})
	if inspectErr != nil {
		if !errors.Is(inspectErr, ecosystem.ErrInvalid) {
			return nil, inspectErr
		}
		e.Trouble(inspectErr)
		m = &made{}
	}
	if en.Table, err = e.storeTable(ctx, res, en.Blob, &m.table); err != nil {
		return nil, err
	}
	inspected := newObject(en)
	inspected.bytes = o.bytes
	inspected.by.Store(o.by.Load())
	inspected.epoch.Store(o.epoch.Load())
	now, err := e.Index.Entry(ctx, en.Key)
	if err != nil || now.Blob != en.Blob {
		return inspected, nil // purged, or replaced by a newer version meanwhile
	}
	now.Table = en.Table
	if err := e.Index.Put(ctx, now); err != nil {
		e.Trouble(fmt.Errorf("index: %w", err)) // it will be inspected again
	}
	e.objects.ComputeIfPresent(en.Key, func(there *object) (*object, otter.ComputeOp) {
		if there.entry.Blob != en.Blob {
			return there, otter.CancelOp
		}
		return inspected, otter.WriteOp
	})
	if len(m.table.records) > 0 {
		e.epoch(res).Add(1)
	}
	return inspected, nil
}

// classifyURL returns the resource of a URL that an entry or a claim names.
func (e *Engine) classifyURL(name, rawURL string) (ecosystem.Resource, error) {
	eco := e.ecosystem(name)
	if eco == nil {
		return ecosystem.Resource{}, fmt.Errorf("%s: no ecosystem %q", rawURL, name)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return ecosystem.Resource{}, err
	}
	res, err := eco.Classify(ecosystem.Request{Method: "GET", URL: u})
	if err != nil {
		return res, fmt.Errorf("%s: %w", rawURL, err)
	}
	e.scope(&res)
	return res, nil
}

// cutKey splits the key of an entry into ecosystem and URL.
func cutKey(key string) (eco, rawURL string, ok bool) {
	eco, rest, ok := strings.Cut(key, " ")
	rawURL, _, _ = strings.Cut(rest, " ")
	return eco, rawURL, ok
}

// A source lets Inspect read sibling documents through the engine.
type source struct {
	engine *Engine
	trip   trip

	mu   sync.Mutex
	open []io.Closer
}

// Document returns the current bytes of res.
func (s *source) Document(ctx context.Context, res ecosystem.Resource) (ecosystem.Body, error) {
	s.engine.scope(&res)
	o, err := s.engine.document(ctx, res, s.trip)
	if err != nil {
		return ecosystem.Body{}, err
	}
	r, err := s.engine.Blobs.Open(ctx, o.entry.Blob)
	if err != nil {
		return ecosystem.Body{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, r)
	return ecosystem.Body{Resource: res, ReaderAt: r, Size: r.Size()}, nil
}

func (s *source) close() {
	for _, c := range s.open {
		closeQuietly(c)
	}
}
