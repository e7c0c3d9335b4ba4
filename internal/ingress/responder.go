// Package ingress turns traffic into requests for the engine, and answers into HTTP.
//
// Whatever the way in (its sub-packages: native endpoints, forward proxy, interception),
// a request ends in [Responder.Respond]: the only place that writes an answer of the
// engine to a client, and so the only one that has to see to it that no client completes
// a body that turned out wrong. Ranges, conditions and HEAD are those of package net/http.
package ingress

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"sutler/internal/blob"
	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/metrics"
	"sutler/internal/policy"
	"sutler/internal/receipt"
	"sutler/internal/upstream"
)

// A Server answers canonical requests. It is the engine, or what tests put in its place.
type Server interface {
	Serve(ctx context.Context, req ecosystem.Request) (*engine.Answer, error)
	Classify(req ecosystem.Request) (ecosystem.Resource, ecosystem.Ecosystem, error)
}

// Options are what a Responder is made of. All members but Terms, Now and
// Local are required.
type Options struct {
	Engine   Server
	Passer   upstream.Passer // for what is passed through unstored
	Receipts receipt.Sink    // for what the engine leaves to its caller to record
	Metrics  *metrics.Metrics
	Log      *slog.Logger
	Rules    policy.Rules
	Profiles []ecosystem.Profile             // name the ecosystem of what the engine did not recognise
	Terms    func(build string) policy.Terms // what a build asked for; if nil, none asks for anything
	Now      func() time.Time                // if nil, time.Now is used
	// Local reports whether a client belongs to a build of this machine, or to the machine
	// itself: what it could reach without us it reaches through us. If nil, none does.
	Local func(build string, peer netip.Addr) bool
}

// A Responder answers HTTP requests with what the engine says. It is safe for concurrent use.
type Responder struct {
	Options
	scopeKey [32]byte // makes scopes of credentials worthless outside this process
}

// New returns a responder.
func New(o Options) (*Responder, error) {
	if o.Engine == nil || o.Passer == nil || o.Receipts == nil || o.Metrics == nil || o.Log == nil {
		return nil, errors.New("ingress: engine, passer, receipts, metrics and log are required")
	}
	if o.Terms == nil {
		o.Terms = func(string) policy.Terms { return policy.Terms{} }
	}
	if o.Local == nil {
		o.Local = func(string, netip.Addr) bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Responder{Options: o}
	_, err := rand.Read(p.scopeKey[:])
	return p, err
}

// A result is what became of one request: what the log and the metrics say of it.
type result struct {
	ecosystem string
	outcome   engine.Outcome
	digest    string
	bytes     int64
	err       error
}

// Respond answers r, which asks for req. If the body fails on its way, Respond breaks the
// connection (or the HTTP/2 stream) off, by a panic with http.ErrAbortHandler, after
// everything has been released and recorded.
func (p *Responder) Respond(w http.ResponseWriter, r *http.Request, req ecosystem.Request) {
	began := p.Now()
	if err := CheckURL(req.URL); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		p.record(r.Context(), req, began, result{ecosystem: metrics.Other, outcome: engine.Refused, err: err})
		return
	}
	res, whole := p.serve(w, r, req)
	p.record(r.Context(), req, began, res)
	if !whole {
		abort(w, r)
	}
}

// serve obtains the answer and writes it. whole is false if the body failed after its
// beginning was sent.
func (p *Responder) serve(w http.ResponseWriter, r *http.Request, req ecosystem.Request) (res result, whole bool) {
	for attempt := 0; ; attempt++ {
		a, err := p.Engine.Serve(r.Context(), req)
		if err != nil {
			return p.without(w, r, req, err)
		}
		res, sent := p.answer(w, r, a)
		if res.err == nil || sent {
			return res, res.err == nil
		}
		if attempt == 0 && errors.Is(res.err, blob.ErrCorrupt) {
			undescribe(w.Header())
			continue // the store has set the blob aside: it is fetched again
		}
		p.fail(w, r, req, res.err)
		return res, true
	}
}

// answer writes a, records what was sent in it, and releases it. sent tells whether the
// client has seen anything of the answer.
func (p *Responder) answer(w http.ResponseWriter, r *http.Request, a *engine.Answer) (res result, sent bool) {
	n, sent, err := write(w, r, a)
	a.Sent(n, err)
	a.Close()
	res = result{a.Resource.Ecosystem, a.Outcome, string(a.Digest), n, err}
	if err != nil && engine.Fails(err) == engine.Bad {
		res.outcome = engine.Bad
	}
	return res, sent
}

// without handles a request that the engine has no answer for.
func (p *Responder) without(w http.ResponseWriter, r *http.Request, req ecosystem.Request, err error) (result, bool) {
	switch {
	case errors.Is(err, ecosystem.ErrBypass):
		refused := p.disguised(req)
		if refused == nil {
			return p.pass(w, r, req, "")
		}
		p.Receipts.Append(p.line(req, engine.Refused, refused))
		err = refused
	case errors.Is(err, ecosystem.ErrUnknown) && req.Base == "":
		refused := p.Rules.For(policy.Terms{Strict: req.Strict}).Host(req.URL.Hostname())
		if refused == nil {
			return p.pass(w, r, req, "not a resource of a known ecosystem")
		}
		p.Receipts.Append(p.line(req, engine.Refused, refused))
		err = refused
	case errors.Is(err, ecosystem.ErrUnknown), errors.Is(err, ecosystem.ErrRefused):
		p.Receipts.Append(p.line(req, engine.Fails(err), err))
	}
	p.fail(w, r, req, err)
	return result{ecosystem: p.ecosystem(req), outcome: engine.Fails(err), err: err}, true
}

// disguised refuses to pass through what a strict rule would have verified, had it been asked
// for without a query and a credential: many origins ignore them, and documents that link to
// artifacts can add the one, as clients can the other.
func (p *Responder) disguised(req ecosystem.Request) error {
	rules := p.Rules.For(policy.Terms{Strict: req.Strict})
	if !rules.Strict || req.Method != http.MethodGet || req.Credential == "" && req.URL.RawQuery == "" && !req.URL.ForceQuery {
		return nil
	}
	bare := *req.URL
	bare.RawQuery, bare.ForceQuery = "", false
	req.URL, req.Credential = &bare, ""
	res, _, err := p.Engine.Classify(req)
	if err != nil || res.Kind != ecosystem.Artifact {
		return nil
	}
	return rules.Trust(res, "it is passed through unseen, because of its query or credential")
}

// line returns the receipt line of a request that the engine did not record.
func (p *Responder) line(req ecosystem.Request, outcome engine.Outcome, err error) receipt.Line {
	l := receipt.Line{Build: req.Build, At: p.Now(), Ecosystem: p.ecosystem(req), Method: req.Method, URL: publicURL(req.URL),
		Size: -1, Outcome: string(outcome)}
	if err != nil {
		l.Error = err.Error()
	}
	return l
}

// ecosystem returns the name of the ecosystem that owns the host of a request, or that
// recognises its path.
func (p *Responder) ecosystem(req ecosystem.Request) string {
	host := req.URL.Hostname()
	for _, profile := range p.Profiles {
		if profile.Owns(host) {
			return profile.Name
		}
	}
	if res, _, err := p.Engine.Classify(req); err == nil {
		return res.Ecosystem
	}
	return metrics.Other
}

// record counts a request and writes its one record to the log.
func (p *Responder) record(ctx context.Context, req ecosystem.Request, began time.Time, res result) {
	p.Metrics.Served(res.ecosystem, string(res.outcome), res.bytes)
	if res.outcome == engine.Bad {
		p.Metrics.VerifyFailed(res.ecosystem)
	}
	level := severity(res)
	if !p.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("build", req.Build), slog.String("ecosystem", res.ecosystem),
		slog.String("resource", publicURL(req.URL)), slog.String("outcome", string(res.outcome)), slog.String("digest", res.digest),
		slog.Int64("bytes", res.bytes), slog.Duration("took", p.Now().Sub(began))}
	if res.err != nil {
		attrs = append(attrs, slog.String("err", res.err.Error()))
	}
	p.Log.LogAttrs(ctx, level, "served", attrs...)
}

// severity grades a result for the log. What the store answers is the normal case and is
// not worth a system call each; receipts have it all.
func severity(res result) slog.Level {
	switch res.outcome {
	case engine.Bad:
		return slog.LevelError
	case engine.Stale, engine.Refused:
		return slog.LevelWarn
	case engine.Error:
		if errors.Is(res.err, upstream.ErrNotFound) || errors.Is(res.err, context.Canceled) {
			return slog.LevelInfo // clients probe for what may not exist, and go away
		}
		return slog.LevelWarn
	case engine.Miss, engine.Bypass:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
