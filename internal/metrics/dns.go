package metrics

import "github.com/prometheus/client_golang/prometheus"

// WatchNames makes the counters of names that clients asked for. It is called at most once,
// before Named.
func (m *Metrics) WatchNames(zones, results []string) {
	v := counters("dns_queries_total", "Names that clients asked for, by who knew them and how the answer was.", "zone", "result")
	m.registry.MustRegister(v)
	m.names = map[string]map[string]prometheus.Counter{}
	for _, z := range zones {
		m.names[z] = map[string]prometheus.Counter{}
		for _, r := range results {
			m.names[z][r] = v.WithLabelValues(z, r)
		}
	}
}

// Named counts one answer to a question for a name. What WatchNames was not told of is not
// counted: labels stay bounded.
func (m *Metrics) Named(zone, result string) {
	if c := m.names[zone][result]; c != nil {
		c.Inc()
	}
}
