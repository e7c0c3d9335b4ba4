package blobtest

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"sutler/internal/blob"
	"sutler/internal/digest"
)

// Benchmark measures what a request costs in the store that open returns. open is called
// once for each benchmark.
func Benchmark(b *testing.B, open func(*testing.B) blob.Store) {
	b.Run("Open", func(b *testing.B) { benchOpen(b, open(b)) })
	b.Run("OpenParallel", func(b *testing.B) { benchOpenParallel(b, open(b)) })
	b.Run("Has", func(b *testing.B) { benchHas(b, open(b)) })
	for _, size := range []int{4 << 10, 256 << 10, 16 << 20} {
		b.Run(fmt.Sprintf("Read/%dK", size>>10), func(b *testing.B) { benchRead(b, open(b), size) })
		b.Run(fmt.Sprintf("Put/%dK", size>>10), func(b *testing.B) { benchPut(b, open(b), size) })
		b.Run(fmt.Sprintf("Admit/%dK", size>>10), func(b *testing.B) { benchAdmit(b, open(b), size) })
	}
}

// benchOpen measures a hit without the reading.
func benchOpen(b *testing.B, s blob.Store) {
	d := Put(b, s, Bytes(4<<10, 1))
	b.ReportAllocs()
	for b.Loop() {
		openClose(b, s, d)
	}
}

func benchOpenParallel(b *testing.B, s blob.Store) {
	var ds []digest.Digest
	for i := range 64 {
		ds = append(ds, Put(b, s, Bytes(4<<10, uint64(i))))
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			openClose(b, s, ds[i%len(ds)])
		}
	})
}

func openClose(b *testing.B, s blob.Store, d digest.Digest) {
	r, err := s.Open(b.Context(), d)
	if err != nil {
		b.Error(err)
		return
	}
	if err := r.Close(); err != nil {
		b.Error(err)
	}
}

func benchHas(b *testing.B, s blob.Store) {
	d := Put(b, s, Bytes(4<<10, 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Has(b.Context(), d); !ok {
			b.Fatal("not there")
		}
	}
}

// benchRead measures a hit with the reading, through memory.
func benchRead(b *testing.B, s blob.Store, size int) {
	d := Put(b, s, Bytes(size, 1))
	buf := make([]byte, 128<<10)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Open(b.Context(), d)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// benchPut measures Put of bytes in memory, each time other ones.
func benchPut(b *testing.B, s blob.Store, size int) {
	data := Bytes(size, 1)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		b.StopTimer()
		vary(data, n)
		d := digest.OfBytes(data)
		b.StartTimer()
		if err := s.Put(b.Context(), d, bytes.NewReader(data), int64(size)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		discard(b, s, d)
		b.StartTimer()
	}
}

// benchAdmit measures what is left to do after the bytes were spooled and hashed.
func benchAdmit(b *testing.B, s blob.Store, size int) {
	a, ok := s.(blob.Admitter)
	if !ok {
		b.Skip("not a blob.Admitter")
	}
	data := Bytes(size, 1)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		b.StopTimer()
		vary(data, n)
		h := digest.NewHasher()
		f, err := s.Spool(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.MultiWriter(f, h).Write(data); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		d, err := a.Admit(b.Context(), f, h)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
		discard(b, s, d)
		b.StartTimer()
	}
}

// vary makes data other bytes for each n.
func vary(data []byte, n uint64) {
	copy(data, fmt.Sprintf("%16x", n))
}

// discard removes d if it is large, so that a long benchmark does not fill the disk. Small
// ones stay: ext4 is slow to make files where some were removed in the last seconds, and
// that would be what is measured.
func discard(b *testing.B, s blob.Store, d digest.Digest) {
	if size, _ := s.Has(b.Context(), d); size < 64<<10 {
		return
	}
	if err := s.Delete(b.Context(), d); err != nil {
		b.Fatal(err)
	}
}
