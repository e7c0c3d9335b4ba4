package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sutler/internal/index"
	"sutler/internal/index/memory"
	"sutler/internal/index/sqlite"
)

// TestModel does the same at random to this index, which is closed and opened again now
// and then, and to the one in memory: they must agree.
func TestModel(t *testing.T) {
	dir := scratch(t)
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		path := filepath.Join(dir, fmt.Sprint(run, ".db"))
		x, err := sqlite.Open(t.Context(), path, sqlite.Options{Readers: 1})
		if err != nil {
			r.Fatal(err)
		}
		defer func() { _ = x.Close() }()
		model := memory.New()
		check := func(name string, a, b any, errs ...error) {
			for _, err := range errs {
				if err != nil {
					r.Fatalf("%s: %v", name, err)
				}
			}
			if d := cmp.Diff(a, b); d != "" {
				r.Fatalf("%s differs (-model +sqlite):\n%s", name, d)
			}
		}
		ctx := t.Context()
		entry := rapid.Custom(func(r *rapid.T) index.Entry {
			e := generation(rapid.IntRange(0, 12).Draw(r, "n"), rapid.IntRange(0, 3).Draw(r, "g"))
			e.Ecosystem = rapid.SampledFrom([]string{"apt", "npm"}).Draw(r, "ecosystem")
			e.Stored = time.Unix(int64(rapid.IntRange(0, 3).Draw(r, "stored")), 0).UTC()
			return e
		})
		r.Repeat(map[string]func(*rapid.T){
			"put": func(r *rapid.T) {
				all := rapid.SliceOfN(entry, 1, 5).Draw(r, "entries")
				check("Put", nil, nil, x.Put(ctx, all...), model.Put(ctx, all...))
			},
			"touch": func(r *rapid.T) {
				key, at := entry.Draw(r, "entry").Key, time.Unix(rapid.Int64Range(0, 1e9).Draw(r, "at"), 0).UTC()
				check("Touch", nil, nil, x.Touch(ctx, key, at, time.Hour), model.Touch(ctx, key, at, time.Hour))
			},
			"delete": func(r *rapid.T) {
				a, b := entry.Draw(r, "a").Key, entry.Draw(r, "b").Key
				check("Delete", nil, nil, x.Delete(ctx, a, b), model.Delete(ctx, a, b))
			},
			"drop": func(r *rapid.T) {
				e := entry.Draw(r, "entry")
				d := rapid.SampledFrom([]index.Entry{e, {Blob: e.Table}}).Draw(r, "which").Blob
				a, errA := model.DropBlob(ctx, d)
				b, errB := x.DropBlob(ctx, d)
				check("DropBlob", a, b, errA, errB)
			},
			"refers": func(r *rapid.T) {
				d := entry.Draw(r, "entry").Blob
				a, errA := model.Refers(ctx, d)
				b, errB := x.Refers(ctx, d)
				check("Refers", a, b, errA, errB)
			},
			"reopen": func(r *rapid.T) {
				err := x.Close()
				if err == nil {
					x, err = sqlite.Open(ctx, path, sqlite.Options{Readers: 1})
				}
				check("Close and Open", nil, nil, err)
			},
			"": func(r *rapid.T) {
				a, errA := model.List(ctx, index.Query{})
				b, errB := x.List(ctx, index.Query{})
				check("List", a, b, errA, errB)
				c, errC := model.Vouchers(ctx, "apt", repository)
				d, errD := x.Vouchers(ctx, "apt", repository)
				check("Vouchers", c, d, errC, errD)
				e, errE := model.Usage(ctx)
				f, errF := x.Usage(ctx)
				check("Usage", e, f, errE, errF)
			},
		})
	})
}
