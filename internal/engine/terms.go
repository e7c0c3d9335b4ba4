package engine

import (
	"context"

	"sutler/internal/ecosystem"
	"sutler/internal/index"
	"sutler/internal/policy"
	"sutler/internal/upstream"
)

// offlineKey marks the context of all that is done for a build which reaches no origin.
type offlineKey struct{}

// withTerms notes in ctx what the build of a request asked for: what is done on its behalf
// (vouchers, signatures) must keep to it.
func withTerms(ctx context.Context, req ecosystem.Request) context.Context {
	if !req.Offline {
		return ctx
	}
	return context.WithValue(ctx, offlineKey{}, true)
}

// offline reports whether ctx is that of a build which reaches no origin.
func offline(ctx context.Context) bool { return ctx.Value(offlineKey{}) != nil }

// origin returns what reaches origins on behalf of ctx.
func (e *Engine) origin(ctx context.Context) upstream.Fetcher {
	if offline(ctx) {
		return upstream.Offline{}
	}
	return e.Upstream
}

// flightName names the flight that requests for res share. Others must not end as one does
// that reaches nothing.
func flightName(ctx context.Context, res ecosystem.Resource) string {
	if offline(ctx) {
		return res.Key() + " offline"
	}
	return res.Key()
}

// rules returns the rules for a request.
func (e *Engine) rules(req ecosystem.Request) policy.Rules {
	return e.Rules.For(policy.Terms{Strict: req.Strict, Offline: req.Offline})
}

// believed says whether a request may be answered with what has that trust. What is stored
// may be there by gentler rules than today's, or than those of its build.
func (e *Engine) believed(req ecosystem.Request, res ecosystem.Resource, trust index.Trust) error {
	if trust != index.Unvouched || res.Proof {
		return nil
	}
	return e.rules(req).Trust(res, "nobody vouches for it")
}
