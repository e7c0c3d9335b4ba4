package disk

import (
	"testing"

	"sutler/internal/blob"
	"sutler/internal/blob/blobtest"
)

// openAt opens the store in dir, and closes it when the test ends.
func openAt(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	s.whole = whole
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return s
}

// withNames makes s believe that its file system has no O_TMPFILE.
func withNames(s *Store) *Store {
	s.anonymous = false
	return s
}

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return openAt(t, t.TempDir(), Options{}) })
}

func TestStoreWithNamedSpools(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return withNames(openAt(t, t.TempDir(), Options{})) })
}

// A mark that has run out forces a check before each read.
func TestStoreThatChecksEachTime(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		return openAt(t, t.TempDir(), Options{VerifyEvery: 1})
	})
}

func BenchmarkStore(b *testing.B) {
	blobtest.Benchmark(b, func(b *testing.B) blob.Store { return openAt(b, b.TempDir(), Options{}) })
}
