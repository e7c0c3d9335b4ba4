package helm

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem"
)

// TestBounds reads indexes of some hundred kilobytes that are made to take memory and time
// without end.
func TestBounds(t *testing.T) {
	var many strings.Builder
	many.WriteString("entries:\n")
	for i := range 100_000 {
		fmt.Fprintf(&many, "  c%x: []\n", i)
	}
	for _, tt := range []struct {
		name, text string
		valid      bool
	}{
		{"many charts", many.String(), true},
		{"one chart many times", "entries:\n" + strings.Repeat("  a: []\n", 50_000), false},
		{"one key of a version many times", "entries:\n  a:\n  - " + strings.Repeat("x: 0\n    ", 50_000) + "\n", false},
		{"nothing but marks", "entries: {a: [" + strings.Repeat(",", maxNodes) + "]}\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := ecosystem.Resource{URL: "https://charts.example/index.yaml"}
			doc := ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(tt.text), Size: int64(len(tt.text))}
			done := make(chan error, 1)
			go func() {
				_, err := New(Options{}).Inspect(t.Context(), doc, nil, func(ecosystem.Claim) error { return nil })
				done <- err
			}()
			select {
			case err := <-done:
				if (err == nil) != tt.valid || err != nil && !errors.Is(err, ecosystem.ErrInvalid) {
					t.Errorf("Inspect = %v, want valid %t", err, tt.valid)
				}
			case <-time.After(5 * time.Second):
				t.Error("still reads")
			}
		})
	}
}
