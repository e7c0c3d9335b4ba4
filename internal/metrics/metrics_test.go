package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// scrape returns what the handler shows.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status = %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestEachEventIsCounted(t *testing.T) {
	m := New("1.2.3", "apt", "npm")
	m.Watch(Gauges{StoreBytes: func() float64 { return 4096 }, Flights: func() float64 { return 2 }})
	m.Served("apt", "hit", 100)
	m.Served("apt", "hit", 50)
	m.Served("npm", "error", 0)
	m.Served("a-host-the-client-chose", "bypass", 7)
	m.Served("apt", "no such outcome", 0)
	m.Asked("apt", "ok", 30*time.Millisecond)
	m.Received("apt", 1000)
	m.VerifyFailed("npm")
	m.Tunnel(TunnelOpened)
	m.Tunnel(TunnelOpened)
	m.Tunnel(TunnelRefused)
	m.TunnelClosed(10, 20)
	m.HandshakeFailed()
	text := scrape(t, m)
	for _, want := range []string{
		`sutler_responses_total{ecosystem="apt",outcome="hit"} 2`,
		`sutler_response_bytes_total{ecosystem="apt",outcome="hit"} 150`,
		`sutler_responses_total{ecosystem="npm",outcome="error"} 1`,
		`sutler_responses_total{ecosystem="other",outcome="bypass"} 1`,
		`sutler_responses_total{ecosystem="apt",outcome="error"} 1`,
		`sutler_origin_requests_total{ecosystem="apt",result="ok"} 1`,
		`sutler_origin_request_duration_seconds_bucket{ecosystem="apt",le="0.05"} 1`,
		`sutler_origin_request_duration_seconds_bucket{ecosystem="apt",le="0.025"} 0`,
		`sutler_origin_bytes_total{ecosystem="apt"} 1000`,
		`sutler_verify_failures_total{ecosystem="npm"} 1`,
		`sutler_verify_failures_total{ecosystem="apt"} 0`,
		`sutler_tunnels_total{result="opened"} 2`,
		`sutler_tunnels_total{result="refused"} 1`,
		`sutler_tunnels_open 1`,
		`sutler_tunnel_bytes_total{direction="received"} 10`,
		`sutler_tunnel_bytes_total{direction="sent"} 20`,
		`sutler_handshake_failures_total 1`,
		`sutler_store_bytes 4096`,
		`sutler_flights_running 2`,
		`sutler_build_info{goversion="`,
		`version="1.2.3"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(text, "client-chose") || strings.Contains(text, "no such outcome") {
		t.Error("a label came from outside")
	}
	if strings.Contains(text, "sutler_store_blobs") {
		t.Error("a gauge that nobody gave is shown")
	}
}

func TestServedAllocatesNothing(t *testing.T) {
	m := New("dev", "apt")
	if n := testing.AllocsPerRun(1000, func() { m.Served("apt", "stale", 4096) }); n != 0 {
		t.Errorf("%v allocations for each answer, want none", n)
	}
}

func BenchmarkServed(b *testing.B) {
	m := New("dev", "apt", "npm", "generic")
	b.ReportAllocs()
	for b.Loop() {
		m.Served("npm", "hit", 4096)
	}
}
