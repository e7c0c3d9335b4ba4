// Package engine serves resources: from the store, or from their origin through the store.
//
// It is the only package that knows the whole flow of a request, and it knows no protocol.
package engine

import (
	"context"

	"sutler/internal/ecosystem"
)

// An Engine serves resources.
type Engine struct{}

// Serve answers one request. Errors: ecosystem.ErrUnknown, ErrBypass, ErrRefused as
// Classify returned them, and the others documented beside Status.
func (e *Engine) Serve(ctx context.Context, req ecosystem.Request) (*Answer, error) {
	return nil, ecosystem.ErrUnknown
}
