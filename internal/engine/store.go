package engine

import (
	"context"
	"fmt"

	"sutler/internal/blob"
	"sutler/internal/digest"
	"sutler/internal/index"
)

// admit moves a spooled body into the store. A store that can take the spool file over is
// handed it with the digest that was computed on the way in; any other reads it again.
func (e *Engine) admit(ctx context.Context, fl *fill, en index.Entry) error {
	store, ok := e.Blobs.(blob.Admitter)
	file := fl.body.backing()
	if !ok || file == nil {
		return e.Blobs.Put(ctx, en.Blob, fl.body, en.Size)
	}
	d, err := store.Admit(ctx, file, fl.sums)
	if err == nil && d != en.Blob {
		return fmt.Errorf("%w: store admitted %s as %s", digest.ErrMismatch, en.Blob, d)
	}
	return err
}
