package rubygems_test

import (
	"fmt"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
)

// BenchmarkVersions inspects a list as long as that of the public server.
func BenchmarkVersions(b *testing.B) {
	var text strings.Builder
	text.WriteString("created_at: 2026-04-01T00:00:05Z\n---\n")
	for i := range 200_000 {
		fmt.Fprintf(&text, "some-gem-%d 0.1.0,0.2.0,0.3.0,1.0.0,1.0.1,1.0.2,1.1.0,1.1.1,2.0.0.rc1,2.0.0 %032x\n", i, i)
	}
	doc := body(b, nexus+"versions", text.String())
	b.SetBytes(doc.Size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := example().Inspect(b.Context(), doc, nil, func(ecosystem.Claim) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
