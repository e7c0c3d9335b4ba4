package engine

import (
	"slices"
	"testing"

	"sutler/internal/ecosystem"
)

// TestOwners agrees with what the profiles themselves say.
func TestOwners(t *testing.T) {
	profiles := []ecosystem.Profile{{Hosts: []string{"*.b.example", "a.example"}}, {Hosts: []string{"x.b.example"}}, {Hosts: []string{"*.example", "*.b.example"}}}
	r := newRoutes(profiles)
	for _, host := range []string{"a.example", "b.example", "x.b.example", "y.x.b.example", "example", "other.test", ""} {
		var want []int
		for i, p := range profiles {
			if p.Owns(host) {
				want = append(want, i)
			}
		}
		if got := r.owners(host); !slices.Equal(got, want) {
			t.Errorf("owners(%q) = %v, want %v", host, got, want)
		}
	}
}
