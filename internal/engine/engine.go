// Package engine serves resources: from the store, or from their origin through the store.
//
// It is the only package that knows the whole flow of a request, and it knows no
// protocol. The flow, in order, with the file of each step:
//
//	classify, admit, look up, decide   engine.go
//	one flight per resource            flight.go
//	claims and who made them           claims.go, table.go
//	fetch, spool, check, keep          refresh.go, spool.go
//	coherent sets of documents         publish.go
//	what one client sees, receipt      serve.go
package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// Options are what an engine is made of. The first five are required.
type Options struct {
	Ecosystems []ecosystem.Ecosystem // tried in order
	Index      index.Index
	Blobs      blob.Store
	Upstream   upstream.Fetcher
	Receipts   receipt.Sink

	Rules policy.Rules
	// Grace is how long after its lifetime a document may stand in for a failing origin.
	// If zero, stale documents are never served.
	Grace time.Duration
	// MaxSize is the size in bytes that no body may exceed. If zero, 64 GiB.
	MaxSize int64
	// FillTimeout bounds one fetch. If zero, two hours.
	FillTimeout time.Duration
	// Scope names the credential that requests for a URL are sent with; "" for none.
	// If nil, there are no credentials.
	Scope func(url string) string
	// Local reports whether a client could go to private addresses itself: what it asks for
	// there, and we must not fetch for all, is passed through. If nil, none could.
	Local func(ecosystem.Request) bool
	// Used is told of each stored blob that answers a request. If nil, nobody is.
	Used func(digest.Digest)
	// Kept is told of each blob that was stored, with its size. If nil, nobody is.
	Kept func(digest.Digest, int64)
	// Trouble is told of failures that no client sees: a background inspection that
	// found an invalid document, a signed root whose members cannot be had. If nil, nobody is.
	Trouble func(error)
	// Now returns the time. If nil, time.Now is used.
	Now func() time.Time
}

// An Engine serves resources. Make one with New; its methods are safe for concurrent use.
type Engine struct {
	Options
	profiles []ecosystem.Profile // of Ecosystems, in their order
	routes   routes

	objects  *otter.Cache[string, *object] // entries in memory, and small bodies
	views    *otter.Cache[viewKey, *view]
	seen     *otter.Cache[string, session]       // which root a client saw last
	absent   *otter.Cache[string, negative]      // what the origin said it has not
	tables   *otter.Cache[string, tableBlob]     // claims tables by repository and blob
	pending  *otter.Cache[string, pendingRoot]   // new roots whose members are not to be had yet
	epochs   *otter.Cache[string, *atomic.Int64] // counts new vouchers, by repository
	unstored *otter.Cache[digest.Digest, []byte] // claims tables that the store had no room for

	mu         sync.Mutex
	flights    map[string]*flight
	inspecting map[string][]chan struct{} // by repository
	closed     bool
	running    sync.WaitGroup // flights and background work
	cancels    map[*flight]context.CancelFunc
}

// Limits of what is kept in memory.
const (
	smallBody     = 64 << 10 // bodies up to that size may be kept in memory
	objectsWeight = 48 << 20
	viewsWeight   = 16 << 20

	unstoredWeight = 32 << 20
)

// New returns an engine. The caller ends it with Close.
func New(o Options) (*Engine, error) {
	if len(o.Ecosystems) == 0 || o.Index == nil || o.Blobs == nil || o.Upstream == nil || o.Receipts == nil {
		return nil, errors.New("engine: ecosystems, index, blobs, upstream and receipts are required")
	}
	e := &Engine{Options: o, flights: map[string]*flight{}, inspecting: map[string][]chan struct{}{},
		cancels: map[*flight]context.CancelFunc{}}
	e.setDefaults()
	for _, eco := range o.Ecosystems {
		e.profiles = append(e.profiles, eco.Profile())
	}
	e.routes = newRoutes(e.profiles)
	var errs [8]error
	e.objects, errs[0] = otter.New(&otter.Options[string, *object]{MaximumWeight: objectsWeight,
		Weigher: func(key string, o *object) uint32 { return uint32(len(key)) + 1024 + uint32(len(o.bytes)) }})
	e.views, errs[1] = otter.New(&otter.Options[viewKey, *view]{MaximumWeight: viewsWeight,
		Weigher: func(_ viewKey, v *view) uint32 { return uint32(len(v.bytes)) + 128 }})
	e.seen, errs[2] = otter.New(&otter.Options[string, session]{MaximumSize: 10_000})
	e.absent, errs[3] = otter.New(&otter.Options[string, negative]{MaximumSize: 10_000})
	e.tables, errs[4] = otter.New(&otter.Options[string, tableBlob]{MaximumSize: 1_000})
	e.pending, errs[5] = otter.New(&otter.Options[string, pendingRoot]{MaximumSize: 1_000})
	e.epochs, errs[6] = otter.New(&otter.Options[string, *atomic.Int64]{MaximumSize: 10_000})
	e.unstored, errs[7] = otter.New(&otter.Options[digest.Digest, []byte]{MaximumWeight: unstoredWeight,
		Weigher: func(_ digest.Digest, b []byte) uint32 { return uint32(len(b)) + 64 }}) //nolint:gosec // tables are smaller
	return e, errors.Join(errs[:]...)
}

func (e *Engine) setDefaults() {
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Scope == nil {
		e.Scope = func(string) string { return "" }
	}
	if e.Used == nil {
		e.Used = func(digest.Digest) {}
	}
	if e.Kept == nil {
		e.Kept = func(digest.Digest, int64) {}
	}
	if e.Trouble == nil {
		e.Trouble = func(error) {}
	}
	if e.MaxSize == 0 {
		e.MaxSize = 64 << 30
	}
	if e.FillTimeout == 0 {
		e.FillTimeout = 2 * time.Hour
	}
}

// Drain waits until running fetches and inspections have ended, or until ctx is done,
// and then cancels the rest and waits for them. No new fetch starts from then on.
func (e *Engine) Drain(ctx context.Context) {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	done := make(chan struct{})
	go func() { e.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		e.cancel()
		<-done
	}
}

// cancel ends all running fetches.
func (e *Engine) cancel() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, cancel := range e.cancels {
		cancel()
	}
}

// Close cancels what is still running, and waits for it.
func (e *Engine) Close() {
	e.cancel()
	e.running.Wait()
	for _, stop := range []func() bool{e.objects.StopAllGoroutines, e.views.StopAllGoroutines, e.seen.StopAllGoroutines,
		e.absent.StopAllGoroutines, e.tables.StopAllGoroutines, e.pending.StopAllGoroutines, e.epochs.StopAllGoroutines, e.unstored.StopAllGoroutines} {
		stop()
	}
}

// An object is an entry in memory. Only its atomic members change.
type object struct {
	entry index.Entry
	etag  string
	bytes []byte // the whole body, if it is small and was served before

	missing bool         // the blob is gone: the entry only pins its digest
	heard   time.Time    // until then its witnesses, who had nothing to say, are not asked again
	by      atomic.Value // digest.Digest of the voucher that it was compared with last
	epoch   atomic.Int64 // of the repository's vouchers when it was compared last, plus one
	md5     atomic.Value // string: of the stored body, once a field for clients needed it
	retry   atomic.Int64 // the origin failed: leave it alone until then, Unix nanoseconds
}

// newObject returns the object of an entry.
func newObject(en index.Entry) *object {
	o := &object{entry: en, etag: `"` + en.Blob.Hex() + `"`}
	o.by.Store(digest.Digest(""))
	return o
}

// lookup returns the object of a key from memory, or from the index; nil if there is none.
func (e *Engine) lookup(ctx context.Context, key string) (*object, error) {
	if o, ok := e.objects.GetIfPresent(key); ok {
		return o, nil
	}
	en, err := e.Index.Entry(ctx, key)
	switch {
	case errors.Is(err, index.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	o := newObject(en)
	_, ok := e.Blobs.Has(ctx, en.Blob)
	o.missing = !ok
	e.objects.Set(key, o)
	return o, nil
}

// fresh reports whether o may be served for res without asking anybody.
func (e *Engine) fresh(res ecosystem.Resource, o *object, now time.Time) bool {
	switch {
	case o == nil || o.missing:
		return false
	case named(res):
		return true
	case res.Kind == ecosystem.Artifact:
		return (res.Repository == "" || o.epoch.Load() == e.epoch(res).Load()+1) && !e.unwitnessed(res, o, now)
	case len(res.VouchedBy) > 0 && !res.Optional:
		v, ok := e.objects.GetIfPresent(o.entry.Voucher)
		return ok && v.entry.Blob == o.by.Load() && e.state(v).Decide(now) == freshness.Serve
	}
	return e.state(o).Decide(now) == freshness.Serve
}

// state returns what freshness says of a stored document.
func (e *Engine) state(o *object) freshness.State {
	if o == nil {
		return freshness.State{}
	}
	return freshness.State{Stored: !o.missing, Checked: o.entry.Checked, Lifetime: o.entry.Lifetime, Grace: e.Grace,
		Immutable: o.entry.Kind == ecosystem.Artifact}
}

// named reports whether the URL of res itself states a strong digest.
func named(res ecosystem.Resource) bool {
	for _, c := range res.Claims {
		if c.Digest.Strong() {
			return true
		}
	}
	return false
}

// epoch counts the vouchers that were added to the repository of res.
func (e *Engine) epoch(res ecosystem.Resource) *atomic.Int64 {
	key := repositoryKey(res)
	if n, ok := e.epochs.GetIfPresent(key); ok {
		return n
	}
	n, _ := e.epochs.SetIfAbsent(key, new(atomic.Int64))
	return n
}

// repositoryKey names a repository, seen with one credential.
func repositoryKey(res ecosystem.Resource) string {
	return res.Ecosystem + " " + scopedRepository(res)
}

func scopedRepository(res ecosystem.Resource) string {
	if res.Scope == "" || res.Repository == "" {
		return res.Repository
	}
	return res.Repository + " scope=" + res.Scope
}

// Classify returns the resource that a request asks for, and its ecosystem: one that owns
// the host before one that knows the shape of the path. The error is that of the
// ecosystem, or ecosystem.ErrUnknown if none knows the URL.
func (e *Engine) Classify(req ecosystem.Request) (ecosystem.Resource, ecosystem.Ecosystem, error) {
	host := strings.ToLower(req.URL.Hostname())
	owners := e.routes.owners(host)
	for _, i := range owners {
		if res, err := e.Ecosystems[i].Classify(req); !errors.Is(err, ecosystem.ErrUnknown) {
			return e.classified(res, e.Ecosystems[i], err)
		}
	}
	for i, eco := range e.Ecosystems {
		if slices.Contains(owners, i) {
			continue
		}
		if res, err := eco.Classify(req); !errors.Is(err, ecosystem.ErrUnknown) {
			return e.classified(res, eco, err)
		}
	}
	return ecosystem.Resource{}, nil, ecosystem.ErrUnknown
}

// classified notes with which credential a resource is fetched.
func (e *Engine) classified(res ecosystem.Resource, eco ecosystem.Ecosystem, err error) (ecosystem.Resource, ecosystem.Ecosystem, error) {
	if err == nil {
		e.scope(&res)
	}
	return res, eco, err
}

// scope notes with which credential res and its vouchers are fetched.
func (e *Engine) scope(res *ecosystem.Resource) {
	res.Scope = e.Scope(res.URL)
	for i := range res.VouchedBy {
		e.scope(&res.VouchedBy[i])
	}
}

// ecosystem returns the one of that name.
func (e *Engine) ecosystem(name string) ecosystem.Ecosystem {
	for i, p := range e.profiles {
		if p.Name == name {
			return e.Ecosystems[i]
		}
	}
	return nil
}

// Forget drops what is in memory of entries that were deleted from the index.
func (e *Engine) Forget(keys ...string) {
	for _, k := range keys {
		e.objects.Invalidate(k)
		e.absent.Invalidate(k)
	}
}
