package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sutler/internal/database"
	"sutler/internal/receipt"
	"sutler/internal/receipt/receipttest"
)

// written returns how many lines are in the database.
func written(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.db.Read(t.Context(), func(ctx context.Context, st *database.Statements) error {
		return st.Query(ctx, func(scan func(...any) error) error { return scan(&n) }, "SELECT count(*) FROM lines")
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLinesAreWrittenAfterASecond(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		for i := range 3 {
			s.Append(receipttest.Line("feed", i))
		}
		time.Sleep(pause - time.Millisecond)
		synctest.Wait()
		if n := written(t, s); n != 0 {
			t.Errorf("%d lines are written before a second is over, want 0", n)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if n := written(t, s); n != 3 {
			t.Errorf("%d lines are written after a second, want 3", n)
		}
	})
}

func TestGroupIsWrittenAtOnce(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		for i := range group {
			s.Append(receipttest.Line("feed", i))
		}
		synctest.Wait() // no time passes
		if n := written(t, s); n != group {
			t.Errorf("%d lines are written, want %d", n, group)
		}
	})
}

func TestEndAndCloseWriteAllLines(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		if err := s.Begin(t.Context(), receipt.Build{ID: "feed", Started: time.Now()}); err != nil {
			t.Fatal(err)
		}
		s.Append(receipttest.Line("feed", 1))
		if err := s.End(t.Context(), "feed", time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		if n := written(t, s); n != 1 {
			t.Errorf("%d lines are written by End, want 1", n)
		}
		s.Append(receipttest.Line("feed", 2))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	s := open(t, path)
	if got, err := s.Lines(t.Context(), "feed"); len(got) != 2 || err != nil {
		t.Errorf("%d lines after opening again, %v, want 2", len(got), err)
	}
}

func TestLinesAfterCloseAreCounted(t *testing.T) {
	s, err := Open(t.Context(), file(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s.Append(receipttest.Line("feed", 1))
	s.Append(receipttest.Line("", 1)) // never kept
	if n := s.Lost(); n != 1 {
		t.Errorf("Lost = %d, want 1", n)
	}
	if _, err := s.Build(t.Context(), "feed"); !errors.Is(err, database.ErrClosed) {
		t.Errorf("Build = %v, want ErrClosed", err)
	}
}

// full makes the database take nothing, until free is called.
func full(t *testing.T, s *Store) (free func()) {
	t.Helper()
	setting := func(text string) {
		t.Helper()
		err := s.db.Write(t.Context(), func(ctx context.Context, st *database.Statements) error {
			_, err := st.Exec(ctx, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	setting(`CREATE TEMP TRIGGER disk BEFORE INSERT ON main.lines BEGIN SELECT RAISE(ABORT, 'disk is full'); END`)
	return func() { setting(`DROP TRIGGER temp.disk`) }
}

// TestFullDisk fills the buffer while nothing can be written, then heals the disk.
func TestFullDisk(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int32
		s, err := Open(t.Context(), path, Options{OnError: func(error) { told.Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		const capacity = 2500
		s.lines.capacity = capacity
		begun := receipt.Build{ID: "feed", Started: time.Now()}
		if err := s.Begin(t.Context(), begun); err != nil {
			t.Fatal(err)
		}
		free := full(t, s)
		s.Append(receipttest.Line("feed", 0))
		if err := s.End(t.Context(), "feed", time.Now(), 0); err == nil || !strings.Contains(err.Error(), "not written") {
			t.Errorf("End = %v, want an error that says that lines are not written", err)
		}
		for i := 1; i < capacity+5; i++ { // must not wait for ever
			s.Append(receipttest.Line("feed", i))
		}
		time.Sleep(10 * pause)
		if n := told.Load(); n < 2 || n > 10 {
			t.Errorf("told %d times in ten seconds, want a few", n)
		}
		if n := s.Lost(); n != 5 {
			t.Errorf("Lost = %d, want 5", n)
		}
		free()
		if err := s.End(t.Context(), "feed", time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		lines, err := s.Lines(t.Context(), "feed")
		if err != nil || len(lines) != capacity+1 {
			t.Fatalf("%d lines, %v, want %d", len(lines), err, capacity+1)
		}
		last := lines[len(lines)-1]
		if !strings.HasPrefix(last.Error, "5 lines") || !last.Failed() {
			t.Errorf("last line is %+v, want one that tells of 5 lost lines", last)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSlowDisk fills the buffer while a write is under way: Append waits, and loses nothing.
func TestSlowDisk(t *testing.T) {
	path := file(t)
	synctest.Test(t, func(t *testing.T) {
		const capacity = 2500
		s := open(t, path)
		s.lines.capacity = capacity
		busy, free := make(chan struct{}), make(chan struct{})
		go func() {
			err := s.db.Write(t.Context(), func(context.Context, *database.Statements) error {
				close(busy)
				<-free
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
		<-busy
		var appended atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range capacity + 5 {
				s.Append(receipttest.Line("feed", i))
				appended.Add(1)
			}
		}()
		time.Sleep(5 * pause)
		synctest.Wait()
		if n := appended.Load(); n != capacity {
			t.Errorf("%d lines were appended while the disk was busy, want %d", n, capacity)
		}
		close(free)
		<-done
		if err := s.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := written(t, s); n != capacity+5 {
			t.Errorf("%d lines are written, want %d", n, capacity+5)
		}
	})
}

// TestOddLines writes lines that JSON or SQL might stumble over.
func TestOddLines(t *testing.T) {
	s := open(t, file(t))
	odd := receipttest.Line("feed", 1)
	odd.Stored = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)
	odd.URL = "https://packages.example/\xff\x00"
	s.Append(odd)
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := written(t, s); n != 1 {
		t.Errorf("%d lines are written, want 1", n)
	}
}

// TestBadRow changes the data of a line behind the store's back.
func TestBadRow(t *testing.T) {
	s, err := Open(t.Context(), file(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(t.Context(), receipt.Build{ID: "feed", Started: time.Unix(1, 0)}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		s.Append(receipttest.Line("feed", i))
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = s.db.Write(t.Context(), func(ctx context.Context, st *database.Statements) error {
		_, err := st.Exec(ctx, `UPDATE lines SET data = CAST(replace(CAST(data AS TEXT), 'sha256:', 'sha256;') AS BLOB) WHERE id = 2`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Lines(t.Context(), "feed"); len(got) != 2 || err != nil || s.BadRows() != 1 {
		t.Errorf("%d lines, %v, BadRows = %d; want 2, and 1 damaged", len(got), err, s.BadRows())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestDamagedFileStartsAnew(t *testing.T) {
	path := file(t)
	if err := os.WriteFile(path, []byte("not a database, by far not"), 0o600); err != nil {
		t.Fatal(err)
	}
	var told atomic.Int32
	s, err := Open(t.Context(), path, Options{OnRebuilt: func(database.Rebuilt) { told.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Rebuilt(); len(r) != 1 || told.Load() != 1 || filepath.Base(r[0].MovedTo) != "receipts.db.damaged-1" {
		t.Errorf("Rebuilt = %v, told %d times", r, told.Load())
	}
	if all, err := s.Builds(t.Context(), 10); len(all) != 0 || err != nil {
		t.Errorf("Builds = %v, %v, want none", all, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestPlans checks that what people wait for looks rows up by an index.
func TestPlans(t *testing.T) {
	s := open(t, file(t))
	for _, tt := range []struct{ name, text, want string }{
		{"lines", selectLines, "lines_build"},
		{"users", selectUsers, "lines_digest"},
		{"build", selectBuild, "lines_build"},
		{"builds", selectBuilds, "lines_build"},
		{"last", selectLast, "builds_started"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var plan strings.Builder
			args := make([]any, strings.Count(tt.text, "?"))
			err := s.db.Read(t.Context(), func(ctx context.Context, st *database.Statements) error {
				return st.Query(ctx, func(scan func(...any) error) error {
					var id, parent, unused int
					var detail string
					err := scan(&id, &parent, &unused, &detail)
					fmt.Fprintln(&plan, detail)
					return err
				}, "EXPLAIN QUERY PLAN "+tt.text, args...)
			})
			if err != nil || !strings.Contains(plan.String(), tt.want) || strings.Contains(plan.String(), "SCAN l") || tt.name == "last" && strings.Contains(plan.String(), "B-TREE") {
				t.Errorf("the plan is not to use %s, %v:\n%s", tt.want, err, plan.String())
			}
		})
	}
}

// BenchmarkAppend measures what an answer pays for its line, and what writing it costs.
func BenchmarkAppend(b *testing.B) {
	s := open(b, file(b))
	l := receipttest.Line("feed", 1)
	b.ReportAllocs()
	for b.Loop() {
		s.Append(l)
	}
	if err := s.flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkBuild measures the summary of a build of 1,000 lines among 100,000 others.
func BenchmarkBuild(b *testing.B) {
	s := open(b, file(b))
	for n := range 101 {
		if err := s.Begin(b.Context(), receipt.Build{ID: receipttest.ID(n), Started: time.Unix(int64(n), 0)}); err != nil {
			b.Fatal(err)
		}
		for i := range 1000 {
			s.Append(receipttest.Line(receipttest.ID(n), i))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Build(b.Context(), receipttest.ID(50)); err != nil {
			b.Fatal(err)
		}
	}
}
