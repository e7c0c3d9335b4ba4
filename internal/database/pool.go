package database

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"

	"modernc.org/sqlite"
)

// The settings of connections, in the order in which they are made.
const (
	// cell_size_check finds more damages while pages are read, for next to nothing.
	// trusted_schema=0: a damaged or foreign schema must not call functions.
	commonPragmas = "_pragma=busy_timeout(5000)&_pragma=cell_size_check(1)&_pragma=trusted_schema(0)"
	readPragmas   = commonPragmas + "&_pragma=query_only(1)"
	// journal_size_limit gives the space of the log back after a big transaction.
	writePragmas = commonPragmas + "&_pragma=synchronous(NORMAL)&_pragma=journal_mode(WAL)&_pragma=journal_size_limit(67108864)"
)

// A pool is the connections to one file.
type pool struct {
	read, write *sql.DB
	reader      *Statements
	writer      *writer
}

// openPool opens the file and brings its schema up to date. Damages are errors for which
// isDamage is true; nothing is open then.
func openPool(ctx context.Context, o Options) (*pool, error) {
	if err := checkFile(o.Path); err != nil {
		return nil, err
	}
	if err := checkVersion(ctx, o); err != nil {
		return nil, err
	}
	p := &pool{}
	if err := p.open(ctx, o); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// open fills p; if it fails, the caller closes p.
func (p *pool) open(ctx context.Context, o Options) error {
	var err error
	if p.write, err = connect(o.Path, writePragmas, 1); err != nil {
		return err
	}
	conn, err := p.write.Conn(ctx)
	if err != nil {
		return err
	}
	p.writer = newWriter(conn)
	if err := migrate(ctx, conn, o.Migrations); err != nil {
		return err
	}
	if p.read, err = connect(o.Path, readPragmas, cmp.Or(o.Readers, 4)); err != nil {
		return err
	}
	p.reader = newStatements(p.read)
	return p.read.PingContext(ctx)
}

// close closes whatever is open. The reading side goes first, so that the writer's
// connection is the last one and leaves a database without a log.
func (p *pool) close() error {
	var errs []error
	if p.read != nil {
		errs = append(errs, p.reader.close(), p.read.Close())
	}
	if p.writer != nil {
		errs = append(errs, p.writer.close())
	}
	if p.write != nil {
		errs = append(errs, p.write.Close())
	}
	return errors.Join(errs...)
}

// connect returns a pool of at most n connections that are kept open. It opens none yet.
func connect(path, query string, n int) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: path, RawQuery: query}
	c, err := sqlite.NewConnector(u.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// checkVersion returns ErrNewer for a file of a newer version. It opens the file only for
// reading: a connection that may write would merge a log left behind into the file.
func checkVersion(ctx context.Context, o Options) error {
	if _, err := os.Stat(o.Path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := connect(o.Path, commonPragmas+"&mode=ro", 1)
	if err != nil {
		return err
	}
	var v int
	err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	switch {
	case v < 0:
		return fmt.Errorf("%w: version %d", ErrDamaged, v)
	case v > len(o.Migrations):
		return fmt.Errorf("%w: it has version %d, this program knows up to %d", ErrNewer, v, len(o.Migrations))
	}
	return nil
}

// A preparer is a *sql.DB or a *sql.Conn.
type preparer interface {
	PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
}

// Statements prepares each SQL text once.
type Statements struct {
	from preparer

	mu    sync.RWMutex
	known map[string]*sql.Stmt
}

func newStatements(from preparer) *Statements {
	return &Statements{from: from, known: map[string]*sql.Stmt{}}
}

// Stmt returns the statement of a text, which must be constant: it stays prepared until
// the DB is closed. The caller does not close it.
func (s *Statements) Stmt(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.RLock()
	st := s.known[text]
	s.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.known[text]; st != nil {
		return st, nil
	}
	st, err := s.from.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	s.known[text] = st
	return st, nil
}

// Exec runs a statement that returns no rows, and reports how many rows it changed.
func (s *Statements) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	st, err := s.Stmt(ctx, text)
	if err != nil {
		return 0, err
	}
	r, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query calls row for each row of the result, until it returns an error.
func (s *Statements) Query(ctx context.Context, row func(scan func(dest ...any) error) error, text string, args ...any) error {
	st, err := s.Stmt(ctx, text)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	for err == nil && rows.Next() {
		err = row(rows.Scan)
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

func (s *Statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, st := range s.known {
		errs = append(errs, st.Close())
	}
	return errors.Join(errs...)
}
