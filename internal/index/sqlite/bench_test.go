package sqlite_test

import (
	"os"
	"testing"
	"time"

	"sutler/internal/index"
	"sutler/internal/index/indextest"
	"sutler/internal/index/sqlite"
)

func BenchmarkIndex(b *testing.B) {
	indextest.Benchmark(b, func(b testing.TB) index.Index { return open(b, file(b)) })
}

// BenchmarkMillion measures what must not grow with the number of entries, with 1,000,000
// of them. Making them takes half a minute.
func BenchmarkMillion(b *testing.B) {
	path, key := file(b), indextest.Entry("npm", 777_777).Key
	x, err := sqlite.Open(b.Context(), path, sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	indextest.Fill(b, x, 1_000_000)
	took := time.Since(start)
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("filled in %v, %d bytes per entry", took.Round(time.Second), st.Size()/1_000_000)

	b.Run("OpenReadClose", func(b *testing.B) {
		for b.Loop() {
			x, err := sqlite.Open(b.Context(), path, sqlite.Options{})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := x.Entry(b.Context(), key); err != nil {
				b.Fatal(err)
			}
			if err := x.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Entry", func(b *testing.B) {
		x := open(b, path)
		keys := indextest.Sample(1_000_000)
		defer indextest.CPU(b)()
		for i := 0; b.Loop(); i++ {
			if _, err := x.Entry(b.Context(), keys[i%len(keys)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Usage", func(b *testing.B) {
		x := open(b, path)
		for b.Loop() {
			if _, err := x.Usage(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ListOne", func(b *testing.B) {
		x := open(b, path)
		for b.Loop() {
			if got, err := x.List(b.Context(), index.Query{Match: "file-777777"}); err != nil || len(got) != 1 {
				b.Fatal(len(got), err)
			}
		}
	})
	b.Run("DropBlob", func(b *testing.B) {
		x := open(b, path)
		for i := 0; b.Loop(); i++ {
			if _, err := x.DropBlob(b.Context(), indextest.Entry("npm", i).Blob); err != nil {
				b.Fatal(err)
			}
		}
	})
}
