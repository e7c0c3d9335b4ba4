package sqlite

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"sutler/internal/receipt/receipttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "receipts.db") }

// open opens the receipts in a file and closes them when the test ends.
func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, Options{OnError: func(err error) { t.Errorf("written in the background: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if s.BadRows() != 0 || s.Lost() != 0 || len(s.Rebuilt()) != 0 {
			t.Errorf("%d damaged rows, %d lost lines, rebuilt: %v", s.BadRows(), s.Lost(), s.Rebuilt())
		}
	})
	return s
}

func TestStore(t *testing.T) {
	receipttest.Run(t, func(t *testing.T) receipttest.Store { return open(t, file(t)) })
}
