package all_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sutler/internal/ecosystem/all"
)

// maxMedian is how many lines of code, without tests, comments and blank lines, at least half
// of the ecosystems get by with: if that rises, the contract does not fit.
const maxMedian = 400

func TestMedianSize(t *testing.T) {
	var sizes []int
	for _, e := range all.New(all.Options{}) {
		files, err := filepath.Glob(filepath.Join("..", e.Profile().Name, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", e.Profile().Name, len(files), err)
		}
		n := 0
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
					n++
				}
			}
		}
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	if median := (sizes[(len(sizes)-1)/2] + sizes[len(sizes)/2]) / 2; median > maxMedian {
		t.Errorf("the median ecosystem has %d lines, more than %d: %d", median, maxMedian, sizes)
	}
}
