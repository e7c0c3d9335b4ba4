package engine_test

import (
	"io"
	"net/url"
	"strings"
	"testing"

	"sutler/internal/blob/memory"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/all"
	"sutler/internal/engine"
	indexmemory "sutler/internal/index/memory"
)

// BenchmarkHit answers from what is in memory (4 KB) and from the store (1 MB).
func BenchmarkHit(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"4KB", 4 << 10}, {"1MB", 1 << 20}} {
		b.Run(size.name, func(b *testing.B) {
			o := &origin{files: map[string]string{"open/a": strings.Repeat("x", size.n)}}
			e, err := engine.New(engine.Options{Ecosystems: []ecosystem.Ecosystem{toy{}}, Index: indexmemory.New(), Blobs: new(memory.Store),
				Upstream: o, Receipts: &none{}})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			req := ecosystem.Request{Method: "GET", URL: mustURL(b, "open/a")}
			serve := func() {
				a, err := e.Serve(b.Context(), req)
				if err != nil {
					b.Fatal(err)
				}
				if a.Bytes == nil {
					if _, err := io.Copy(io.Discard, a.Body); err != nil {
						b.Fatal(err)
					}
				}
				a.Close()
			}
			serve()
			serve()
			b.SetBytes(int64(size.n))
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				serve()
			}
			if n := o.asked("open/a"); n != 1 {
				b.Errorf("%d fetches, want 1", n)
			}
		})
	}
}

// BenchmarkClassify finds out what a URL is among all ecosystems: on a host that one of
// them owns, and on one that nobody knows.
func BenchmarkClassify(b *testing.B) {
	list := all.New(all.Options{Hosts: map[string][]string{"npm": {"registry.example"}}})
	e, err := engine.New(engine.Options{Ecosystems: list, Index: indexmemory.New(), Blobs: new(memory.Store), Upstream: &origin{}, Receipts: &none{}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	for _, raw := range []string{"https://registry.example/left-pad/-/left-pad-1.3.0.tgz", "http://mirror.example/debian/pool/main/h/hello/hello_1_amd64.deb", "http://other.example/x"} {
		u, err := url.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(u.Host, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = e.Classify(ecosystem.Request{Method: "GET", URL: u}) // whether it is known is not the question
			}
		})
	}
}
