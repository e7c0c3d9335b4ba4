package sqlite

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"sutler/internal/database"
)

// TestPlans checks that what requests and the collection of garbage wait for looks rows
// up by an index, whatever the size of the table.
func TestPlans(t *testing.T) {
	x, err := Open(t.Context(), filepath.Join(t.TempDir(), "index.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, tt := range []struct {
		text, want string
		args       int
	}{
		{selectEntry, "PRIMARY KEY", 1},
		{selectPage, "PRIMARY KEY", 2},
		{selectMatch, "PRIMARY KEY", 4}, // all rows after a key, in its order
		{selectRoot, "entries_root", 2},
		{selectRefers, "entries_blob", 1},
		{selectRefers, "entries_tab", 1},
		{updateData, "PRIMARY KEY", 2},
		{deleteEntry, "PRIMARY KEY", 1},
		{deleteBlob, "entries_blob", 1},
		{deleteTable, "entries_tab", 1},
	} {
		plan := explain(t, x, tt.text, tt.args)
		if !strings.Contains(plan, tt.want) || strings.Contains(plan, "SCAN entries") || strings.Contains(plan, "B-TREE") {
			t.Errorf("%s: the plan is not to use %s:\n%s", tt.text, tt.want, plan)
		}
	}
}

// explain returns the plan of a statement with n arguments.
func explain(t *testing.T, x *Index, text string, n int) string {
	t.Helper()
	var plan strings.Builder
	args := make([]any, n)
	for i := range args {
		args[i] = "x"
	}
	err := x.db.Read(t.Context(), func(ctx context.Context, s *database.Statements) error {
		return s.Query(ctx, func(scan func(...any) error) error {
			var id, parent, unused int
			var detail string
			err := scan(&id, &parent, &unused, &detail)
			plan.WriteString(detail + "\n")
			return err
		}, "EXPLAIN QUERY PLAN "+text, args...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
