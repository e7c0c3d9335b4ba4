package database

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// filled returns the path of a closed database with many words.
func filled(t *testing.T) string {
	t.Helper()
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	fill(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return db.opts.Path
}

// fill writes about 200 KB of words.
func fill(t *testing.T, db *DB) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, s *Statements) error {
		for i := range 2000 {
			if _, err := s.Exec(ctx, "INSERT INTO words VALUES (?)", fmt.Sprintf("%0100d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// alter changes the bytes of a file.
func alter(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// set returns a change of the bytes from an offset on.
func set(at int, with ...byte) func([]byte) []byte {
	return func(b []byte) []byte { copy(b[at:], with); return b }
}

func TestDamageFoundAtOpen(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func([]byte) []byte
	}{
		{"cut to nothing", func([]byte) []byte { return nil }},
		{"cut in the header", func(b []byte) []byte { return b[:99] }},
		{"cut in the first page", func(b []byte) []byte { return b[:1000] }},
		{"cut after the first page", func(b []byte) []byte { return b[:4096] }},
		{"not a database", func([]byte) []byte { return bytes.Repeat([]byte("hello "), 1000) }},
		{"all zero", func(b []byte) []byte { return make([]byte, len(b)) }},
		{"first page zero", set(0, make([]byte, 4096)...)},
		{"name of the format", set(3, 'X')},
		{"page size", set(16, 0x30, 0x01)},
		{"write version", set(18, 1)},
		{"read version", set(19, 1)},
		{"payload fraction", set(21, 63)},
		{"schema format", set(44, 1)},
		{"text encoding", set(59, 3)},
		{"version lost", set(60, 0, 0, 0, 0)},
		{"version negative", set(60, 0xff)},
		{"name of the table", func(b []byte) []byte { return bytes.Replace(b, []byte("words"), []byte("wards"), 1) }},
		{"definition of the table", func(b []byte) []byte { return bytes.Replace(b, []byte("NOT NULL"), []byte("NOT NELL"), 1) }},
		{"definition of a column", func(b []byte) []byte { return bytes.Replace(b, []byte("(word TEXT"), []byte("(ward TEXT"), 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filled(t)
			alter(t, path, tt.change)
			damaged, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var told []Rebuilt
			o := options(path)
			o.OnRebuilt = func(r Rebuilt) { told = append(told, r) }
			db := open(t, o)
			r := db.Rebuilt()
			if len(r) != 1 || len(told) != 1 || r[0] != told[0] || r[0].MovedTo != path+".damaged-1" || r[0].Cause == nil {
				t.Fatalf("Rebuilt = %v, told %v; want one with its cause, moved to …damaged-1", r, told)
			}
			for _, part := range []string{path, r[0].MovedTo, r[0].Cause.Error()} {
				if !strings.Contains(r[0].String(), part) {
					t.Errorf("note %q does not say %q", r[0], part)
				}
			}
			if kept, err := os.ReadFile(r[0].MovedTo); err != nil || !bytes.Equal(kept, damaged) {
				t.Errorf("what was set aside is not the damaged file, %v", err)
			}
			mustWrite(t, db, "a")
			db = reopen(t, db)
			wantWords(t, db, "a")
			if r := db.Rebuilt(); len(r) != 0 {
				t.Errorf("rebuilt again: %v", r)
			}
		})
	}
}

func TestLogWithoutFile(t *testing.T) {
	dir := t.TempDir()
	db := open(t, options(filepath.Join(dir, "x.db")))
	mustWrite(t, db, "a")
	killed := filepath.Join(dir, "killed.db")
	copyFiles(t, db.opts.Path, killed)
	if err := os.Remove(killed); err != nil {
		t.Fatal(err)
	}
	again := open(t, options(killed))
	if len(again.Rebuilt()) != 1 {
		t.Errorf("Rebuilt = %v, want one", again.Rebuilt())
	}
	if _, err := os.Stat(killed + ".damaged-1-wal"); err != nil {
		t.Errorf("the log was not set aside: %v", err)
	}
	wantWords(t, again, "")
}

// spoil damages every page but the first, behind the back of the open database.
func spoil(t *testing.T, db *DB) {
	t.Helper()
	var busy, pages, moved int
	st, err := db.pool.writer.stmt.Stmt(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.QueryRowContext(t.Context()).Scan(&busy, &pages, &moved); err != nil || busy != 0 {
		t.Fatalf("checkpoint: busy %d, %v", busy, err)
	}
	f, err := os.OpenFile(db.opts.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xA5}, int(info.Size())-4096), 4096); err != nil {
		t.Fatal(err)
	}
}

// TestDamageFoundInUse has many readers and writers meet a damage at the same time.
func TestDamageFoundInUse(t *testing.T) {
	path := filled(t)
	o := options(path)
	var told atomic.Int32
	o.OnRebuilt = func(Rebuilt) { told.Add(1) }
	db := open(t, o)
	spoil(t, db)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if i%2 == 0 {
				if err := write(t.Context(), db, fmt.Sprint(i)); err != nil {
					t.Errorf("write: %v", err)
				}
				return
			}
			words(t, db)
		})
	}
	wg.Wait()
	wantWords(t, db, "0 2 4 6")
	if r := db.Rebuilt(); len(r) != 1 || told.Load() != 1 {
		t.Errorf("rebuilt %d times, told %d times, want once: %v", len(r), told.Load(), r)
	}
	wantWords(t, reopen(t, db), "0 2 4 6")
}

func TestCallerMayFindADamage(t *testing.T) {
	db := open(t, options(filled(t)))
	calls := 0
	err := db.Read(t.Context(), func(context.Context, *Statements) error {
		if calls++; calls == 1 {
			return fmt.Errorf("what I read is odd: %w", ErrDamaged)
		}
		return nil
	})
	if err != nil || calls != 2 || len(db.Rebuilt()) != 1 {
		t.Errorf("Read = %v after %d calls, rebuilt: %v; want no error, 2 calls, once", err, calls, db.Rebuilt())
	}
	wantWords(t, db, "")
}

func TestDamageThatStaysIsAnError(t *testing.T) {
	db := open(t, options(filled(t)))
	calls := 0
	err := db.Read(t.Context(), func(context.Context, *Statements) error { calls++; return ErrDamaged })
	if !errors.Is(err, ErrDamaged) || calls != 2 {
		t.Errorf("Read = %v after %d calls, want ErrDamaged after 2", err, calls)
	}
}

func TestOnlySomeDamagedFilesAreKept(t *testing.T) {
	path := filled(t)
	for i := range 6 {
		alter(t, path, func([]byte) []byte { return fmt.Appendf(nil, "damaged %d", i+1) })
		if err := open(t, options(path)).Close(); err != nil {
			t.Fatal(err)
		}
	}
	all, err := filepath.Glob(path + "*")
	if err != nil || len(all) != 1+keep {
		t.Errorf("files are %q, %v; want the database and %d damaged ones", all, err, keep)
	}
	if b, err := os.ReadFile(path + ".damaged-6"); err != nil || string(b) != "damaged 6" {
		t.Errorf("the newest damaged file holds %q, %v", b, err)
	}
}

// block keeps damaged files of a database from being set aside: the oldest of those that
// are there cannot be removed. free ends that.
func block(t *testing.T, path string) (free func()) {
	t.Helper()
	old := asideName(path, 1)
	err := errors.Join(os.MkdirAll(filepath.Join(old, "full"), 0o700), os.WriteFile(asideName(path, keep), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(old); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplaceIsTriedAgain keeps a damaged file from being set aside, for a while.
func TestReplaceIsTriedAgain(t *testing.T) {
	db := open(t, options(filepath.Join(t.TempDir(), "x.db")))
	mustWrite(t, db, "a")
	free := block(t, db.opts.Path)
	damaged := func(context.Context, *Statements) error { return ErrDamaged }
	err := db.Read(t.Context(), damaged)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "set aside") || len(db.Rebuilt()) != 0 {
		t.Errorf("Read = %v, rebuilt: %v; want an error that it could not be set aside", err, db.Rebuilt())
	}
	wantWords(t, db, "a") // opened again; nothing was wrong with it but what the reader said
	free()
	if err := db.Read(t.Context(), damaged); !errors.Is(err, ErrDamaged) || len(db.Rebuilt()) != 1 {
		t.Errorf("Read = %v, rebuilt: %v; want it set aside", err, db.Rebuilt())
	}
	wantWords(t, db, "")
}

func TestCannotBeSetAside(t *testing.T) {
	path := filled(t)
	alter(t, path, set(0, make([]byte, 4096)...))
	free := block(t, path)
	if _, err := Open(t.Context(), options(path)); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "set aside") {
		t.Errorf("Open = %v, want ErrDamaged and why it could not be set aside", err)
	}
	free()
	wantWords(t, open(t, options(path)), "")
}

// FuzzHeader checks that no header makes checkHeader fail otherwise than by ErrDamaged,
// and that those it lets pass have the fields that SQLite needs.
func FuzzHeader(f *testing.F) {
	good := make([]byte, 100)
	copy(good, "SQLite format 3\x00\x10\x00\x02\x02\x00\x40\x20\x20")
	f.Add(good)
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h [100]byte
		copy(h[:], b)
		err := checkHeader(h)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("checkHeader = %v, want ErrDamaged or nil", err)
		}
		if n := binary.BigEndian.Uint16(h[16:]); err == nil && (n != 1 && n < 512 || h[18] != 2 || h[19] != 2) {
			t.Errorf("checkHeader lets page size %d, mode %d, %d pass", n, h[18], h[19])
		}
	})
}
