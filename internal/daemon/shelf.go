package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"sutler/internal/config"
	"sutler/internal/control"
)

// A shelf is what a daemon stored, while none runs.
type shelf struct{ d *process }

// Shelf opens what a daemon stored, to be listed while none runs, and returns who answers
// for it until stop is called. It holds the store's lock, so that no daemon starts
// meanwhile. The error is fs.ErrNotExist where nothing was stored.
func Shelf(ctx context.Context, c config.Config) (answers http.Handler, stop func() error, err error) {
	for _, path := range []string{filepath.Join(c.Store.Dir, "format"), filepath.Join(c.Store.State, "index.db")} {
		if _, err := os.Stat(path); err != nil {
			return nil, nil, err
		}
	}
	d := &process{config: c, trouble: trouble{log: slog.New(slog.DiscardHandler)}}
	if err := errors.Join(d.openEcosystems(), d.openStores(ctx)); err != nil {
		return nil, nil, errors.Join(err, d.close())
	}
	return control.Handler(shelf{d}, builds{d}, stock{d}), d.close, nil
}

// errNotRunning is the answer to what only a daemon can do.
var errNotRunning = fmt.Errorf("%w: what it stored can be listed only", control.ErrNotRunning)

// Status implements control.Daemon, as far as the store goes.
func (s shelf) Status(context.Context) (control.Status, error) {
	bytes, blobs := s.d.collector.Usage()
	c := s.d.config.Store
	free, err := freeBytes(c.Dir)
	return control.Status{Store: control.Store{Dir: c.Dir, Bytes: bytes, Blobs: blobs, MaxSize: c.MaxSize, Free: free}}, err
}

// Reload implements control.Daemon.
func (shelf) Reload(context.Context) (control.Reloaded, error) {
	return control.Reloaded{}, errNotRunning
}

// RotateCA implements control.Daemon.
func (shelf) RotateCA(context.Context, control.RotateRequest) (control.CA, error) {
	return control.CA{}, errNotRunning
}

// Stop implements control.Daemon.
func (shelf) Stop() {}
