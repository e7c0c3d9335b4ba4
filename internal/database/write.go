package database

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
)

// A writer runs jobs on one connection. Who comes while a transaction is being committed
// waits in the queue; whoever gets the turn next writes the whole queue in one
// transaction. So there is no goroutine to stop, a lone writer waits for nobody, and a
// crowd shares its commits.
type writer struct {
	conn *sql.Conn
	stmt *Statements
	turn chan struct{} // holds one element while somebody writes

	mu    sync.Mutex
	queue []*job
}

// A job is what one caller writes.
type job struct {
	do   func(context.Context, *Statements) error
	done chan error // receives exactly one error, or nil
}

func newWriter(conn *sql.Conn) *writer {
	return &writer{conn: conn, stmt: newStatements(conn), turn: make(chan struct{}, 1)}
}

// write runs do in a transaction and returns once it is committed or has failed.
func (w *writer) write(ctx context.Context, do func(context.Context, *Statements) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{do: do, done: make(chan error, 1)}
	w.mu.Lock()
	w.queue = append(w.queue, j)
	w.mu.Unlock()

	select {
	case err := <-j.done:
		return err
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
		w.commit(context.WithoutCancel(ctx), w.take())
		return <-j.done // done just now, or by the one who had the turn before
	case <-ctx.Done():
		if w.withdraw(j) {
			return ctx.Err()
		}
		return <-j.done // being written: how it ends is known in a moment
	}
}

// take empties the queue.
func (w *writer) take() []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queue
	w.queue = nil
	return q
}

// withdraw takes j out of the queue; false if it is no longer there.
func (w *writer) withdraw(j *job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.queue, j)
	if i < 0 {
		return false
	}
	w.queue = slices.Delete(w.queue, i, i+1)
	return true
}

// commit runs jobs in one transaction. If that fails, each has one of its own, so that
// nobody gets another's error.
func (w *writer) commit(ctx context.Context, jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	err := w.transaction(ctx, jobs)
	for _, j := range jobs {
		if err != nil && len(jobs) > 1 {
			j.done <- w.transaction(ctx, []*job{j})
		} else {
			j.done <- err
		}
	}
}

// transaction runs jobs and commits, or undoes all.
func (w *writer) transaction(ctx context.Context, jobs []*job) error {
	if _, err := w.stmt.Exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := w.run(ctx, jobs)
	if err == nil {
		return nil
	}
	// SQLite undoes the transaction itself after some errors (a full disk); then there is
	// none to undo, which is the only error that matters less than the one in hand.
	_, _ = w.stmt.Exec(ctx, "ROLLBACK")
	return err
}

func (w *writer) run(ctx context.Context, jobs []*job) error {
	for _, j := range jobs {
		if err := j.do(ctx, w.stmt); err != nil {
			return err
		}
	}
	_, err := w.stmt.Exec(ctx, "COMMIT")
	return err
}

// close must be called when nobody writes.
func (w *writer) close() error {
	return errors.Join(w.stmt.close(), w.conn.Close())
}
