package engine

import (
	"slices"
	"strings"

	"sutler/internal/ecosystem"
)

// routes finds the ecosystems that own a host, as positions in the engine's list. There are
// hundreds of hosts, and every request asks.
type routes struct {
	exact map[string][]int
	below map[string][]int // "name" of "*.name"
}

func newRoutes(profiles []ecosystem.Profile) routes {
	r := routes{exact: map[string][]int{}, below: map[string][]int{}}
	for i, p := range profiles {
		for _, h := range p.Hosts {
			if name, ok := strings.CutPrefix(h, "*."); ok {
				r.below[name] = append(r.below[name], i)
			} else {
				r.exact[h] = append(r.exact[h], i)
			}
		}
	}
	return r
}

// owners returns the ecosystems that own host, in their order.
func (r routes) owners(host string) []int {
	own := r.exact[host]
	for rest := host; ; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok {
			return own
		}
		if more := r.below[parent]; len(more) > 0 {
			own = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(own), more...))))
		}
		rest = parent
	}
}
