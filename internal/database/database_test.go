package database

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const createWords = `CREATE TABLE words (word TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID, STRICT;`

func options(path string) Options { return Options{Path: path, Migrations: []string{createWords}} }

// open opens a database and closes it when the test ends.
func open(t *testing.T, o Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

// reopen closes a database and opens the file again.
func reopen(t *testing.T, db *DB) *DB {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, db.opts)
}

func write(ctx context.Context, db *DB, word string) error {
	return db.Write(ctx, func(ctx context.Context, s *Statements) error {
		_, err := s.Exec(ctx, "INSERT INTO words VALUES (?)", word)
		return err
	})
}

func mustWrite(t *testing.T, db *DB, words ...string) {
	t.Helper()
	for _, w := range words {
		if err := write(t.Context(), db, w); err != nil {
			t.Fatalf("write %q: %v", w, err)
		}
	}
}

// words returns what is in the database, separated by blanks.
func words(t *testing.T, db *DB) string {
	t.Helper()
	var all []string
	err := db.Read(t.Context(), func(ctx context.Context, s *Statements) error {
		all = nil
		return s.Query(ctx, func(scan func(...any) error) error {
			all = append(all, "")
			return scan(&all[len(all)-1])
		}, "SELECT word FROM words ORDER BY word")
	})
	if err != nil {
		t.Errorf("words: %v", err)
	}
	return strings.Join(all, " ")
}

func wantWords(t *testing.T, db *DB, want string) {
	t.Helper()
	if got := words(t, db); got != want {
		t.Errorf("words are %q, want %q", got, want)
	}
}

// setting returns what a connection of the pool says of a pragma.
func setting(t *testing.T, s *Statements, pragma string) string {
	t.Helper()
	st, err := s.Stmt(t.Context(), "PRAGMA "+pragma)
	if err != nil {
		t.Fatal(err)
	}
	var v string
	if err := st.QueryRowContext(t.Context()).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSettings(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "odd name?#%41.db")))
	for _, tt := range []struct {
		name, pragma, want string
		s                  *Statements
	}{
		{"journal is a log", "journal_mode", "wal", db.pool.writer.stmt},
		{"commits are not synced", "synchronous", "1", db.pool.writer.stmt}, // NORMAL
		{"writer waits for locks", "busy_timeout", "5000", db.pool.writer.stmt},
		{"writer checks cells", "cell_size_check", "1", db.pool.writer.stmt},
		{"log gives space back", "journal_size_limit", "67108864", db.pool.writer.stmt},
		{"readers see the log", "journal_mode", "wal", db.pool.reader},
		{"readers do not write", "query_only", "1", db.pool.reader},
		{"readers wait for locks", "busy_timeout", "5000", db.pool.reader},
		{"readers check cells", "cell_size_check", "1", db.pool.reader},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := setting(t, tt.s, tt.pragma); got != tt.want {
				t.Errorf("%s = %q, want %q", tt.pragma, got, tt.want)
			}
		})
	}
	if _, err := os.Stat(db.opts.Path); err != nil {
		t.Error(err)
	}
}

func TestReadersMayNotWrite(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	err := db.Read(t.Context(), func(ctx context.Context, s *Statements) error {
		_, err := s.Exec(ctx, "INSERT INTO words VALUES ('x')")
		return err
	})
	if err == nil {
		t.Error("a reader wrote")
	}
	wantWords(t, db, "")
}

func TestReopen(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	mustWrite(t, db, "a", "b")
	db = reopen(t, db)
	wantWords(t, db, "a b")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(db.opts.Path + "*")
	if err != nil || len(left) != 1 {
		t.Errorf("after Close there are %q, %v; want the file alone", left, err)
	}
}

// copyFiles copies a database with its log as they are now, as a kill would leave them.
func copyFiles(t testing.TB, from, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(from + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	db := open(t, options(filepath.Join(dir, "x.db")))
	mustWrite(t, db, "a", "b")
	copyFiles(t, db.opts.Path, filepath.Join(dir, "killed.db"))
	killed := open(t, options(filepath.Join(dir, "killed.db")))
	wantWords(t, killed, "a b")
	if r := killed.Rebuilt(); len(r) != 0 {
		t.Errorf("rebuilt: %v", r)
	}
}

func TestMigrations(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "x.db"))
	db := open(t, o)
	mustWrite(t, db, "a")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	o.Migrations = append(o.Migrations, "ALTER TABLE words ADD COLUMN n INTEGER NOT NULL DEFAULT 7; CREATE INDEX words_n ON words (n);",
		"UPDATE words SET word = word || n;")
	for range 2 { // the second time nothing is done
		db := open(t, o)
		wantWords(t, db, "a7")
		if r := db.Rebuilt(); len(r) != 0 {
			t.Errorf("rebuilt: %v", r)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMigrationThatFailsChangesNothing(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "x.db"))
	mustWrite(t, open(t, o), "a")
	bad := o
	bad.Migrations = append(o.Migrations[:1:1], "INSERT INTO words VALUES ('b');", "CREATE TABLE words (x);")
	if _, err := Open(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "migration to version 3") {
		t.Errorf("Open = %v, want an error of the migration to version 3", err)
	}
	db := open(t, o)
	wantWords(t, db, "a")
	if r := db.Rebuilt(); len(r) != 0 {
		t.Errorf("rebuilt: %v", r)
	}
}

func TestNewerVersionIsRefusedUntouched(t *testing.T) {
	dir := t.TempDir()
	newer := options(filepath.Join(dir, "x.db"))
	newer.Migrations = append(newer.Migrations, "CREATE TABLE more (x);")
	db := open(t, newer)
	mustWrite(t, db, "a")
	killed := filepath.Join(dir, "killed.db")
	copyFiles(t, newer.Path, killed) // version and rows are in the log only
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{newer.Path, killed} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), options(path))
		if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), path) {
			t.Errorf("Open = %v, want ErrNewer that names the file and version 2", err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s was changed, %v", path, err)
		}
		again := newer
		again.Path = path
		wantWords(t, open(t, again), "a")
	}
}

func TestWriteThatFailsKeepsNothing(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	broken := errors.New("broken")
	err := db.Write(t.Context(), func(ctx context.Context, s *Statements) error {
		if _, err := s.Exec(ctx, "INSERT INTO words VALUES ('half')"); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("Write = %v, want %v", err, broken)
	}
	wantWords(t, db, "")
	mustWrite(t, db, "next")
	wantWords(t, db, "next")
}

// hold makes the writer busy until release is called, and returns once it is.
func hold(t *testing.T, db *DB) (release func()) {
	t.Helper()
	busy, free, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- db.Write(t.Context(), func(context.Context, *Statements) error {
			close(busy)
			<-free
			return nil
		})
	}()
	<-busy
	return func() {
		close(free)
		if err := <-ended; err != nil {
			t.Errorf("the write that was held: %v", err)
		}
	}
}

// queued waits until n jobs wait for their turn.
func queued(t *testing.T, db *DB, n int) {
	t.Helper()
	w := db.pool.writer
	for t.Context().Err() == nil {
		w.mu.Lock()
		got := len(w.queue)
		w.mu.Unlock()
		if got == n {
			return
		}
		time.Sleep(100 * time.Microsecond) // between two looks at the condition
	}
}

// TestGroup has ten writers wait for their turn; one of them fails.
func TestGroup(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	mustWrite(t, db, "5")
	release := hold(t, db)
	errs := make([]error, 10)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = write(t.Context(), db, fmt.Sprint(i)) })
	}
	queued(t, db, len(errs))
	release()
	wg.Wait()
	for i, err := range errs {
		if (err != nil) != (i == 5) {
			t.Errorf("write %d = %v; want an error for 5 only, which exists", i, err)
		}
	}
	wantWords(t, db, "0 1 2 3 4 5 6 7 8 9")
}

// TestGroupIsOneTransaction counts the commits of ten writers who waited.
func TestGroupIsOneTransaction(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	mustWrite(t, db, "a")
	frames := func() int64 {
		st, err := os.Stat(db.opts.Path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return (st.Size() - 32) / (24 + 4096)
	}
	release := hold(t, db)
	before := frames()
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := write(t.Context(), db, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	queued(t, db, 10)
	release()
	wg.Wait()
	if got := frames() - before; got != 1 {
		t.Errorf("ten small writes wrote %d pages to the log, want 1", got)
	}
}

func TestWriterWhoGivesUpHasNoEffect(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	release := hold(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp, stays := make(chan error), make(chan error)
	go func() { gaveUp <- write(ctx, db, "gave up") }()
	go func() { stays <- write(t.Context(), db, "stays") }()
	queued(t, db, 2)
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("write = %v, want context.Canceled", err)
	}
	release()
	if err := <-stays; err != nil {
		t.Error(err)
	}
	wantWords(t, db, "stays")
}

func TestFullDiskHeals(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	mustWrite(t, db, "a")
	limit := func(pages int) {
		t.Helper()
		if got := setting(t, db.pool.writer.stmt, fmt.Sprintf("max_page_count = %d", pages)); got != fmt.Sprint(pages) {
			t.Fatalf("max_page_count = %s", got)
		}
	}
	limit(8)
	big := strings.Repeat("b", 100_000)
	if err := write(t.Context(), db, big); err == nil {
		t.Error("write on a full disk = nil")
	}
	wantWords(t, db, "a")
	mustWrite(t, db, "c") // what fits is still written
	limit(1000)
	mustWrite(t, db, big)
	wantWords(t, db, "a "+big+" c")
	if r := db.Rebuilt(); len(r) != 0 {
		t.Errorf("rebuilt: %v", r)
	}
}

func TestClosed(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	for range 2 {
		if err := db.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	if err := write(t.Context(), db, "a"); !errors.Is(err, ErrClosed) {
		t.Errorf("Write = %v, want ErrClosed", err)
	}
	if err := db.Read(t.Context(), func(context.Context, *Statements) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Read = %v, want ErrClosed", err)
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		path string
		want error
	}{
		{"no folder", t.Context(), filepath.Join(dir, "none", "x.db"), nil},
		{"is a folder", t.Context(), filepath.Join(dir, "folder.db"), nil},
		{"context done", done, filepath.Join(dir, "x.db"), context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, err := Open(tt.ctx, options(tt.path))
			if err == nil || !strings.Contains(err.Error(), tt.path) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Open = %v, want an error that names the file", err)
			}
			if db != nil {
				t.Errorf("Open returned a DB with the error: %v", db.Close())
			}
		})
	}
	if all, err := filepath.Glob(filepath.Join(dir, "*damaged*")); len(all) != 0 || err != nil {
		t.Errorf("set aside: %q, %v", all, err)
	}
}
