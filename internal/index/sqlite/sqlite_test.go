package sqlite_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

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

func TestIndex(t *testing.T) {
	indextest.Run(t, func(t *testing.T) index.Index { return open(t, file(t)) })
}

func TestCatalog(t *testing.T) {
	indextest.RunCatalog(t, func(t *testing.T) indextest.Catalog { return open(t, file(t)) })
}
