package indextest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sutler/internal/index"
)

// benchEntries is how many entries the index has while reading is measured.
const benchEntries = 100_000

// Benchmark measures the steps that a request can wait for. open returns an empty index
// and closes it when the benchmark ends.
func Benchmark(b *testing.B, open func(testing.TB) index.Index) {
	b.Run("Entry", func(b *testing.B) { benchEntry(b, open(b)) })
	b.Run("Put", func(b *testing.B) { benchPut(b, open(b), 1) })
	b.Run("PutOf1000", func(b *testing.B) { benchPut(b, open(b), 1000) })
	b.Run("PutByMany", func(b *testing.B) { benchPutByMany(b, open(b)) })
	b.Run("Touch", func(b *testing.B) { benchTouch(b, open(b)) })
	b.Run("All", func(b *testing.B) { benchAll(b, open(b)) })
}

// CPU reports the processor time per operation as well, from now to the end of the
// benchmark: on a busy machine only that can be compared. It includes what readers and
// writers do in the background.
func CPU(b *testing.B) (report func()) {
	before := processor(b)
	return func() {
		b.ReportMetric(float64((processor(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	}
}

// processor returns the processor time that the process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Fill puts n entries, in the order in which a hash would, which is the hard one.
func Fill(b testing.TB, x index.Index, n int) {
	b.Helper()
	const batch = 5000
	for from := 0; from < n; from += batch {
		all := make([]index.Entry, 0, batch)
		for i := from; i < min(from+batch, n); i++ {
			all = append(all, Entry("npm", scatter(i, n)))
		}
		mustPut(b, x, all...)
	}
}

// Sample returns keys of many of the n entries that Fill puts, in no order.
func Sample(n int) []string {
	keys := make([]string, min(n, 20_000))
	for i := range keys {
		keys[i] = Entry("npm", scatter(i, n)).Key
	}
	return keys
}

// scatter is a permutation of 0 to n-1, for n that 7919 does not divide.
func scatter(i, n int) int { return i * 7919 % n }

// benchEntry measures one point read, by one and by four readers.
func benchEntry(b *testing.B, x index.Index) {
	Fill(b, x, benchEntries)
	keys := Sample(benchEntries)
	for _, readers := range []int{1, 4} {
		b.Run(fmt.Sprintf("%dReaders", readers), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(readers) // times GOMAXPROCS: run with -cpu 1
			defer CPU(b)()
			var n atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := x.Entry(b.Context(), keys[int(n.Add(1))%len(keys)]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// benchPut measures the cost of a row, many rows at a time.
func benchPut(b *testing.B, x index.Index, rows int) {
	all := make([]index.Entry, b.N)
	for i := range all {
		all[i] = Entry("npm", scatter(i, 1_000_000))
	}
	b.ReportAllocs()
	b.ResetTimer()
	defer CPU(b)()
	for part := range slices.Chunk(all, rows) {
		mustPut(b, x, part...)
	}
}

// benchPutByMany measures the cost of a row when 32 writers come with one each.
func benchPutByMany(b *testing.B, x index.Index) {
	b.ReportAllocs()
	b.SetParallelism(32)
	defer CPU(b)()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := x.Put(b.Context(), Entry("npm", scatter(int(n.Add(1)), 1_000_000))); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func benchTouch(b *testing.B, x index.Index) {
	Fill(b, x, 1000)
	b.ReportAllocs()
	defer CPU(b)()
	for i := 0; b.Loop(); i++ {
		e := Entry("npm", i%1000)
		if err := x.Touch(b.Context(), e.Key, e.Checked, e.Lifetime); err != nil {
			b.Fatal(err)
		}
	}
}

// benchAll measures a pass over all entries.
func benchAll(b *testing.B, x index.Index) {
	Fill(b, x, benchEntries)
	n := 0
	for b.Loop() {
		for _, err := range x.All(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/entry")
}
