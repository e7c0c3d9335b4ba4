package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/upstream"
)

// maxDepth bounds how far documents may vouch for each other.
const maxDepth = 4

// How long an origin is left alone after it failed or said that something is not there.
const (
	retryAfter      = 5 * time.Second
	absentDocument  = 10 * time.Second
	absentArtifact  = 5 * time.Second
	absentUntilSeen = 30 * time.Second // a root whose members cannot be had yet
	witnessAgain    = time.Hour        // a witness that had nothing to say of a file
)

// A flight is one refresh of one resource that all requests for it share. The fields
// below head and done are written before the channel above them is closed.
type flight struct {
	head  chan struct{} // closed when body may be followed, or the flight has ended
	body  *spool        // nil if the body must not be seen before it is checked
	begun begun

	done    chan struct{} // closed when the flight has ended
	object  *object
	outcome Outcome
	err     error

	key   string
	waits *flight // the flight that this one waits for; guarded by Engine.mu
}

// flightKey is the key of the flight in the context of what is done for it.
type flightKey struct{}

// begun is what is known of a body when it starts.
type begun struct {
	size     int64
	typ      string
	modified time.Time
	header   []ecosystem.Setting
	vouch    vouch
}

// A found is what obtain returns: something stored, or a flight to follow.
type found struct {
	object  *object
	outcome Outcome
	flight  *flight
	leader  bool
}

// A negative is an origin's "not found", or a witness's silence, believed for a short time.
type negative struct {
	err   error
	until time.Time
}

// obtain returns what answers for res: the stored object if it may be served, else the
// flight that refreshes it. since, if not zero, refuses what was checked before it.
func (e *Engine) obtain(ctx context.Context, res ecosystem.Resource, depth int, since time.Time) (found, error) {
	if depth > maxDepth {
		return found{}, ErrTooDeep
	}
	key, now := res.Key(), e.Now()
	o, err := e.lookup(ctx, key)
	if err != nil {
		return found{}, err
	}
	if since.IsZero() {
		if e.fresh(res, o, now) {
			return found{object: o, outcome: Hit}, nil
		}
		if o != nil && now.UnixNano() < o.retry.Load() && e.state(o).Usable(now) {
			return found{object: o, outcome: Stale}, nil
		}
		if n, ok := e.absent.GetIfPresent(key); ok && now.Before(n.until) {
			return found{}, n.err
		}
	}
	f, leader, err := e.join(ctx, res, depth, since)
	return found{flight: f, leader: leader}, err
}

// join returns the flight of res, starting it if there is none.
func (e *Engine) join(ctx context.Context, res ecosystem.Resource, depth int, since time.Time) (*flight, bool, error) {
	key := flightName(ctx, res)
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.flights[key]; f != nil {
		return f, false, nil
	}
	if e.closed {
		return nil, false, errors.New("sutler is shutting down")
	}
	f := &flight{key: key, head: make(chan struct{}), done: make(chan struct{})}
	// A cancelled build must not waste the download that others wait for.
	ctx, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(ctx), flightKey{}, f), e.FillTimeout)
	e.flights[key], e.cancels[f] = f, cancel
	e.running.Go(func() {
		defer func() {
			cancel()
			e.mu.Lock()
			delete(e.flights, key)
			delete(e.cancels, f)
			e.mu.Unlock()
			f.end()
		}()
		defer e.survive(func(err error) {
			f.object, f.outcome, f.err = nil, Error, fmt.Errorf("%s: %w", key, err)
			e.Trouble(f.err)
			if f.body != nil {
				f.body.finish(f.err)
			}
		})
		e.fly(ctx, res, f, trip{depth: depth, since: since})
	})
	return f, true, nil
}

// survive turns a panic into an error. Flights read what origins send with parsers of many
// authors; a fault in one must not end everybody's builds.
func (e *Engine) survive(report func(error)) {
	if p := recover(); p != nil {
		report(fmt.Errorf("internal fault: %v\n%s", p, debug.Stack()))
	}
}

// A trip is how a flight came about.
type trip struct {
	depth int
	since time.Time // what was checked before that does not count
}

// begin lets the clients have the body as it arrives.
func (f *flight) begin(s *spool, b begun) {
	f.body, f.begun = s, b
	close(f.head)
}

// end closes the channels that are still open, and gives up the flight's share of the body.
func (f *flight) end() {
	if f.body == nil {
		close(f.head)
	}
	close(f.done)
	if f.body != nil {
		f.body.release()
	}
}

// wait returns when the flight has ended, or ctx is done.
func (f *flight) wait(ctx context.Context) (*object, Outcome, error) {
	select {
	case <-f.done:
		return f.object, f.outcome, f.err
	case <-ctx.Done():
		return nil, Error, context.Cause(ctx)
	}
}

// fly looks again, since another flight may just have ended, refreshes res, and falls
// back on what is stored if the origin cannot be asked.
func (e *Engine) fly(ctx context.Context, res ecosystem.Resource, f *flight, t trip) {
	o, err := e.lookup(ctx, res.Key())
	if err != nil {
		f.outcome, f.err = Error, err
		return
	}
	now := e.Now()
	if o != nil && e.fresh(res, o, now) && !o.entry.Checked.Before(t.since) {
		f.object, f.outcome = o, Hit
		return
	}
	f.object, f.outcome, f.err = e.refresh(ctx, res, o, f, t)
	if f.err == nil {
		return
	}
	switch state := e.state(o); {
	case offline(ctx) && errors.Is(f.err, upstream.ErrOffline):
		// That build wanted it so: nothing is wrong with the origin.
		if state.Stored {
			f.object, f.outcome, f.err = o, Stale, nil
		}
	case errors.Is(f.err, upstream.ErrOffline) && state.Stored, mayBeStale(f.err) && state.Usable(e.Now()):
		o.retry.Store(e.Now().Add(retryAfter).UnixNano())
		e.Trouble(f.err)
		f.object, f.outcome, f.err = o, Stale, nil
	case errors.Is(f.err, upstream.ErrNotFound):
		e.absent.Set(res.Key(), negative{err: f.err, until: e.Now().Add(absentFor(res))})
	}
}

// mayBeStale reports whether something stored may hide the error: the origin was not to
// be had, or what it has is not complete or not believable.
func mayBeStale(err error) bool {
	return errors.Is(err, upstream.ErrUnavailable) || errors.Is(err, errIncoherent) || errors.Is(err, ErrRolledBack) ||
		errors.Is(err, ecosystem.ErrInvalid)
}

func absentFor(res ecosystem.Resource) time.Duration {
	if res.Kind == ecosystem.Artifact {
		return absentArtifact
	}
	return absentDocument
}

// document returns a stored, current document, fetching it if need be.
func (e *Engine) document(ctx context.Context, res ecosystem.Resource, t trip) (*object, error) {
	fd, err := e.obtain(ctx, res, t.depth, t.since)
	if err != nil {
		return nil, err
	}
	if fd.flight == nil {
		return fd.object, nil
	}
	o, err := e.await(ctx, fd.flight)
	if err == nil && o == nil {
		return nil, errPrivate
	}
	return o, err
}

// await waits for another flight on behalf of the one that ctx belongs to. Two that wait
// for each other, because their documents vouch for each other, would never end.
func (e *Engine) await(ctx context.Context, f *flight) (*object, error) {
	self, ok := ctx.Value(flightKey{}).(*flight)
	if !ok {
		o, _, err := f.wait(ctx)
		return o, err
	}
	e.mu.Lock()
	for next := f; next != nil; next = next.waits {
		if next == self {
			e.mu.Unlock()
			return nil, fmt.Errorf("%w: %s and %s vouch for each other", ErrTooDeep, self.key, f.key)
		}
	}
	self.waits = f
	e.mu.Unlock()
	o, _, err := f.wait(ctx)
	e.mu.Lock()
	self.waits = nil
	e.mu.Unlock()
	return o, err
}
