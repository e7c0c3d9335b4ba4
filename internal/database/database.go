// Package database opens SQLite files as the stores of this program use them.
//
// A DB has several connections for reading and one for writing. Writers that come at
// the same time share one transaction. The schema is a list of migrations, its version
// is PRAGMA user_version; a file written by a newer program is refused untouched.
//
// A damaged file is set aside, never repaired and never deleted at once, and an empty
// one takes its place: at Open, or when a damage is met in use. What the caller keeps in
// such a file must therefore be something that can be had again, or whose loss it
// reports: see [DB.Rebuilt]. Pages carry no checksums; rows that must not be believed
// wrongly carry their own.
//
// One process uses a file at a time. Others may read it with SQLite's own tools.
//
// # Durability
//
// The journal is a write-ahead log with synchronous=NORMAL: a commit is written to the
// log but not synced, so kill -9 loses nothing, and a power failure loses the last
// commits, as if they had not happened, and nothing before them. That is right for an
// index of blobs: an entry that is lost is fetched again, its blob was stored before it;
// a deletion that is lost leaves an entry whose blob is missing, which is a miss. A sync
// per commit would cost milliseconds per file served for the first time.
package database

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
)

var (
	// ErrNewer means that the file was written by a newer version of the program. It was
	// not changed.
	ErrNewer = errors.New("database was written by a newer version")
	// ErrClosed is returned by all methods after Close.
	ErrClosed = errors.New("database is closed")
)

// Options say which file to open, and how. Path and Migrations are required.
type Options struct {
	// Path is the file. It is made if it does not exist; its folder must exist.
	Path string
	// Migrations are SQL scripts. The n-th one leads from version n-1 to version n. One
	// that was released is never changed.
	Migrations []string
	// Readers is how many connections read. If zero, there are four.
	Readers int
	// OnRebuilt, if set, is told of each damage, at Open or in use, after the file was set
	// aside. It may be called from any goroutine that uses the DB.
	OnRebuilt func(Rebuilt)
}

// Rebuilt says that a damaged database was replaced by an empty one.
type Rebuilt struct {
	Path    string // of the database
	MovedTo string // where the damaged file is now
	Cause   error  // the damage
}

// String returns a sentence for the log.
func (r Rebuilt) String() string {
	return fmt.Sprintf("%s was damaged and is empty now; the damaged file is %s (%v)", r.Path, r.MovedTo, r.Cause)
}

// errGone means that the file was damaged and that an empty one could not be made yet.
var errGone = errors.New("database could not be opened again")

// A DB is an open database file. Its methods are safe for concurrent use.
type DB struct {
	opts Options

	mu      sync.RWMutex // held for reading while the pool is used, for writing while it is replaced
	pool    *pool        // nil once closed, and while it could not be opened again
	closed  bool
	rebuilt []Rebuilt
}

// Open opens the file, makes it if there is none, and brings its schema up to date. The
// time it takes does not depend on the size of the file. It returns ErrNewer if the file
// is of a newer version. A damaged file is replaced: see Rebuilt. The caller calls Close.
func Open(ctx context.Context, o Options) (*DB, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", o.Path, err)
	}
	o.Path = path
	db := &DB{opts: o}
	if err := db.heal(ctx, nil, nil); err != nil {
		return nil, err
	}
	return db, nil
}

// Rebuilt returns, oldest first, the damages that were met since Open, its own included.
func (db *DB) Rebuilt() []Rebuilt {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return slices.Clone(db.rebuilt)
}

// Read calls f with statements that only read. Each sees the last commit. If f meets a
// damage, the database is replaced and f is called again. f must not use db itself.
func (db *DB) Read(ctx context.Context, f func(context.Context, *Statements) error) error {
	return db.run(ctx, func(p *pool) error { return f(ctx, p.reader) })
}

// Write calls f within a transaction, which it may share with other calls of Write, and
// returns once that is committed. If f returns an error, nothing of what it did is kept.
// f may be called several times, each time as if the calls before had not been. Its
// context does not end with ctx: one caller who gives up must not undo what others
// wrote. If Write returns the error of ctx, f has no effect. f must not use db itself.
func (db *DB) Write(ctx context.Context, f func(context.Context, *Statements) error) error {
	return db.run(ctx, func(p *pool) error { return p.writer.write(ctx, f) })
}

// Close waits for calls under way, then closes the file. Closing twice is no error.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	p := db.pool
	db.pool, db.closed = nil, true
	if p == nil {
		return nil
	}
	if err := p.close(); err != nil {
		return fmt.Errorf("database %s: %w", db.opts.Path, err)
	}
	return nil
}

// run calls f, and once more on an empty database if it met a damage.
func (db *DB) run(ctx context.Context, f func(*pool) error) error {
	p, err := db.use(f)
	if !isDamage(err) && !errors.Is(err, errGone) {
		return err
	}
	if err := db.heal(ctx, p, err); err != nil {
		return err
	}
	_, err = db.use(f)
	return err
}

// use calls f with the pool, which is not replaced meanwhile.
func (db *DB) use(f func(*pool) error) (*pool, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	switch {
	case db.closed:
		return nil, ErrClosed
	case db.pool == nil:
		return nil, errGone
	}
	return db.pool, f(db.pool)
}

// heal replaces the database in which the pool met a damage, or opens it if there is no
// pool yet. It does nothing if another caller did so meanwhile.
func (db *DB) heal(ctx context.Context, met *pool, cause error) error {
	db.mu.Lock()
	if db.closed || db.pool != met {
		db.mu.Unlock()
		return nil
	}
	known := len(db.rebuilt)
	err := cause
	if met == nil {
		db.pool, err = openPool(ctx, db.opts)
	}
	if isDamage(err) {
		err = db.replace(ctx, err)
	}
	news := slices.Clone(db.rebuilt[known:])
	db.mu.Unlock()

	for _, r := range news {
		if db.opts.OnRebuilt != nil {
			db.opts.OnRebuilt(r)
		}
	}
	if err != nil {
		return fmt.Errorf("database %s: %w", db.opts.Path, err)
	}
	return nil
}

// replace sets the file aside and opens an empty one. If that fails there is no pool, and
// the next caller tries again. Once begun it does not end with ctx.
func (db *DB) replace(ctx context.Context, cause error) error {
	if db.pool != nil {
		// All connections are closed before the file is moved: the last one to close removes
		// the log by its name, which would be the new database's by then.
		_ = db.pool.close() // it cannot be expected to close a damaged file cleanly
		db.pool = nil
	}
	moved, err := setAside(db.opts.Path)
	if moved != "" {
		db.rebuilt = append(db.rebuilt, Rebuilt{Path: db.opts.Path, MovedTo: moved, Cause: cause})
	}
	if err != nil {
		return fmt.Errorf("%w; it could not be set aside: %w", cause, err)
	}
	db.pool, err = openPool(context.WithoutCancel(ctx), db.opts)
	return err
}
