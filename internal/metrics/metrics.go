// Package metrics defines every metric of sutler, in this one file.
//
// Names are sutler_<noun>_<unit>, with _total for counters; units are seconds and bytes.
// Labels are bounded sets: the ecosystem, the outcome, a result. Never a package, a host
// that clients chose, or a build. What can be derived is not counted: hits and misses are
// outcomes of responses, the hit ratio is a division.
//
// Counters of the hit path are looked up when the program starts, so that counting an
// answer allocates nothing and takes no lock.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Other is the ecosystem label of requests that no ecosystem knows.
const Other = "other"

// Tunnel results.
const (
	TunnelOpened  = "opened"  // the host was reached
	TunnelRefused = "refused" // policy or address guard said no
	TunnelFailed  = "failed"  // the host could not be reached
)

// Metrics are the counters of one process. All methods are safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	answers  map[string]*row // by ecosystem; read only once made

	originRequests *prometheus.CounterVec
	originSeconds  *prometheus.HistogramVec
	originBytes    *prometheus.CounterVec
	verifyFailures *prometheus.CounterVec
	tunnels        *prometheus.CounterVec
	tunnelsOpen    prometheus.Gauge
	tunnelBytes    *prometheus.CounterVec
	handshakes     prometheus.Counter
	names          map[string]map[string]prometheus.Counter // by zone and result; read only once made
}

// A row holds the counters of one ecosystem, by place in outcomes.
type row struct {
	responses, bytes [len(outcomes)]prometheus.Counter
}

// outcomes are the values of engine.Outcome, which this package must not import.
var outcomes = [...]string{"hit", "revalidated", "miss", "joined", "stale", "bypass", "refused", "bad", "error"}

// place returns the place of an outcome in outcomes; what is unknown counts as an error.
func place(outcome string) int {
	for i, o := range outcomes {
		if o == outcome {
			return i
		}
	}
	return len(outcomes) - 1
}

// New returns metrics in a registry of their own, for a program of that version with those
// ecosystems.
func New(version string, ecosystems ...string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), answers: map[string]*row{}}
	responses := counters("responses_total", "Answers to clients, by how they came about.", "ecosystem", "outcome")
	bytes := counters("response_bytes_total", "Bytes of bodies sent to clients.", "ecosystem", "outcome")
	m.originRequests = counters("origin_requests_total", "Requests sent to origins, mirrors and parent caches.", "ecosystem", "result")
	m.originSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "sutler", Name: "origin_request_duration_seconds",
		Help:    "Time from sending a request to an origin until the head of its answer.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"ecosystem"})
	m.originBytes = counters("origin_bytes_total", "Bytes of bodies received from origins.", "ecosystem")
	m.verifyFailures = counters("verify_failures_total", "Bytes that contradicted what was promised. None should ever occur.", "ecosystem")
	m.tunnels = counters("tunnels_total", "CONNECT requests that were not intercepted.", "result")
	m.tunnelsOpen = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "sutler", Name: "tunnels_open", Help: "Tunnels that are open now."})
	m.tunnelBytes = counters("tunnel_bytes_total", "Bytes that went through tunnels unseen, in the client's eyes.", "direction")
	m.handshakes = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "sutler", Name: "handshake_failures_total",
		Help: "TLS handshakes that intercepted clients broke off, mostly because they do not trust the local authority."})
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "sutler", Name: "build_info", Help: "The running program; always 1."},
		[]string{"version", "goversion"})
	info.WithLabelValues(version, runtime.Version()).Set(1)
	m.registry.MustRegister(responses, bytes, m.originRequests, m.originSeconds, m.originBytes, m.verifyFailures, m.tunnels,
		m.tunnelsOpen, m.tunnelBytes, m.handshakes, info, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, e := range append([]string{Other}, ecosystems...) {
		m.answers[e] = newRow(e, responses, bytes)
		m.verifyFailures.WithLabelValues(e) // shown from the start, so that an alert can see it rise
	}
	return m
}

// counters returns a family of counters.
func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "sutler", Name: name, Help: help}, labels)
}

// newRow looks up the counters of an ecosystem.
func newRow(ecosystem string, responses, bytes *prometheus.CounterVec) *row {
	r := new(row)
	for i, o := range outcomes {
		r.responses[i] = responses.WithLabelValues(ecosystem, o)
		r.bytes[i] = bytes.WithLabelValues(ecosystem, o)
	}
	return r
}

// known returns ecosystem if New was told of it, else Other: labels stay bounded.
func (m *Metrics) known(ecosystem string) string {
	if m.answers[ecosystem] == nil {
		return Other
	}
	return ecosystem
}

// Served counts one answer with the bytes of its body that were sent.
func (m *Metrics) Served(ecosystem, outcome string, bytes int64) {
	r, i := m.answers[ecosystem], place(outcome)
	if r == nil {
		r = m.answers[Other]
	}
	r.responses[i].Inc()
	if bytes > 0 {
		r.bytes[i].Add(float64(bytes))
	}
}

// Asked counts one request to an origin. result is a bounded word ("ok", "not_modified",
// "not_found", "forbidden", "unavailable", "invalid"); took is the time until the head of
// the answer.
func (m *Metrics) Asked(ecosystem, result string, took time.Duration) {
	ecosystem = m.known(ecosystem)
	m.originRequests.WithLabelValues(ecosystem, result).Inc()
	m.originSeconds.WithLabelValues(ecosystem).Observe(took.Seconds())
}

// Received counts bytes of bodies that came from origins.
func (m *Metrics) Received(ecosystem string, bytes int64) {
	m.originBytes.WithLabelValues(m.known(ecosystem)).Add(float64(max(0, bytes)))
}

// VerifyFailed counts bytes that contradicted what was promised.
func (m *Metrics) VerifyFailed(ecosystem string) {
	m.verifyFailures.WithLabelValues(m.known(ecosystem)).Inc()
}

// Tunnel counts a CONNECT that was not intercepted, by one of the tunnel results. After
// TunnelOpened, the caller calls TunnelClosed.
func (m *Metrics) Tunnel(result string) {
	m.tunnels.WithLabelValues(result).Inc()
	if result == TunnelOpened {
		m.tunnelsOpen.Inc()
	}
}

// TunnelClosed counts the bytes that the client of a tunnel received and sent.
func (m *Metrics) TunnelClosed(received, sent int64) {
	m.tunnelsOpen.Dec()
	m.tunnelBytes.WithLabelValues("received").Add(float64(received))
	m.tunnelBytes.WithLabelValues("sent").Add(float64(sent))
}

// HandshakeFailed counts a TLS handshake that an intercepted client broke off.
func (m *Metrics) HandshakeFailed() { m.handshakes.Inc() }

// Gauges are values that are read when somebody asks for the metrics. A nil member is not
// shown. They must be cheap and safe for concurrent use.
type Gauges struct {
	StoreBytes func() float64 // size of the store
	StoreBlobs func() float64 // number of blobs in it
	Flights    func() float64 // fetches that run now
}

// Watch adds gauges. It is called at most once.
func (m *Metrics) Watch(g Gauges) {
	for _, d := range []struct {
		name, help string
		read       func() float64
	}{
		{"store_bytes", "Bytes that the store holds.", g.StoreBytes},
		{"store_blobs", "Blobs that the store holds.", g.StoreBlobs},
		{"flights_running", "Fetches from origins that are running.", g.Flights},
	} {
		if d.read != nil {
			m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "sutler", Name: d.name, Help: d.help}, d.read))
		}
	}
}

// Handler returns the handler that shows the metrics in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
