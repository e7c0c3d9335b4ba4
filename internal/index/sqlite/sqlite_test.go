package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"sutler/internal/database"
	"sutler/internal/index"
	"sutler/internal/index/indextest"
	"sutler/internal/index/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens the index in a file and closes it when the test ends.
func open(t testing.TB, path string) *sqlite.Index {
	t.Helper()
	x, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := x.BadRows(); n != 0 {
			t.Errorf("%d damaged rows", n)
		}
		if r := x.Rebuilt(); len(r) != 0 {
			t.Errorf("rebuilt: %v", r)
		}
	})
	return x
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "index.db") }

// scratch returns a folder for a test that makes hundreds of databases. It is in memory if
// that can be: what a busy disk takes to sync them is most of the time otherwise, and not
// what is tested.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "index-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestIndex(t *testing.T) {
	indextest.Run(t, func(t *testing.T) index.Index { return open(t, file(t)) })
}

func TestCatalog(t *testing.T) {
	indextest.RunCatalog(t, func(t *testing.T) indextest.Catalog { return open(t, file(t)) })
}

func TestReopen(t *testing.T) {
	path := file(t)
	x, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Put(t.Context(), generations(0)...); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Entry(t.Context(), generation(0, 0).Key); !errors.Is(err, database.ErrClosed) {
		t.Errorf("Entry after Close = %v, want ErrClosed", err)
	}
	x = open(t, path)
	n := 0
	for e, err := range x.All(t.Context()) {
		if err == nil {
			err = genuine(e)
		}
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if n != damagedEntries {
		t.Errorf("%d entries after opening again, want %d", n, damagedEntries)
	}
}

// TestBadRow swaps the data of two rows, which SQLite cannot notice.
func TestBadRow(t *testing.T) {
	path := file(t)
	x := openRaw(t, path)
	a, b := generation(0, 0), generation(10, 0) // two vouchers
	if err := errors.Join(x.Put(t.Context(), a, b), x.Close()); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = raw.ExecContext(t.Context(), `UPDATE entries SET data = (SELECT data FROM entries WHERE key = ?) WHERE key = ?`, a.Key, b.Key)
	if err := errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	x = openRaw(t, path)
	if e, err := x.Entry(t.Context(), b.Key); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("Entry of the damaged row = %+v, %v, want ErrNotFound", e, err)
	}
	if e, err := x.Vouchers(t.Context(), "apt", repository); len(e) != 1 || err != nil {
		t.Errorf("Vouchers = %d, %v, want the whole one only", len(e), err)
	}
	if n := x.BadRows(); n != 2 {
		t.Errorf("BadRows = %d, want 2", n)
	}
	if err := x.Touch(t.Context(), b.Key, b.Checked, 0); err != nil {
		t.Errorf("Touch of the damaged row = %v, want nil", err)
	}
	if err := x.Put(t.Context(), b); err != nil { // fetched again
		t.Fatal(err)
	}
	if e, err := x.Entry(t.Context(), b.Key); err != nil || genuine(e) != nil {
		t.Errorf("Entry after Put = %+v, %v", e, err)
	}
	if r := x.Rebuilt(); len(r) != 0 {
		t.Errorf("rebuilt for a row: %v", r)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// openRaw opens an index that the test closes and examines itself.
func openRaw(t *testing.T, path string) *sqlite.Index {
	t.Helper()
	x, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}
