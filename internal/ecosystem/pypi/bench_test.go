package pypi_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
)

// bigPage returns a page with as many files as the largest projects have.
func bigPage() string {
	var b strings.Builder
	b.WriteString(`{"meta":{"api-version":"1.4"},"name":"six","files":[`)
	for i := range 5000 {
		name := fmt.Sprintf("six-1.%d-py3-none-any.whl", i)
		fmt.Fprintf(&b, `{"filename":"%s","url":"../../packages/%s","hashes":{"sha256":"%s"},"requires-python":">=3.8","size":1234,"upload-time":"2026-01-02T03:04:05.678901Z","yanked":false,"core-metadata":{"sha256":"%s"},"data-dist-info-metadata":{"sha256":"%s"},"provenance":null},`, name, name, a64, b64, b64)
	}
	return strings.TrimSuffix(b.String(), ",") + "]}"
}

func BenchmarkInspect(b *testing.B) {
	e, text := example(), bigPage()
	doc := body(b, e, index+"six/", text)
	b.SetBytes(doc.Size)
	b.ReportAllocs()
	for b.Loop() {
		claims := 0
		_, err := e.Inspect(b.Context(), doc, nil, func(ecosystem.Claim) error { claims++; return nil })
		if err != nil || claims != 10_000 {
			b.Fatalf("%d claims, %v", claims, err)
		}
	}
}

func BenchmarkView(b *testing.B) {
	e, text := example(), bigPage()
	doc := body(b, e, index+"six/", text)
	b.SetBytes(doc.Size)
	b.ReportAllocs()
	for b.Loop() {
		if err := e.View(io.Discard, doc, ecosystem.View{Link: func(u string) string { return u + "x" }}); err != nil {
			b.Fatal(err)
		}
	}
}
