package daemon

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"sutler/internal/ingress/dns"
)

// TestClosed keeps away from bridges of internal networks, and, while that is not certain,
// says so. What no engine knows is nobody's business.
func TestClosed(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "docker.sock")
	c := newClosed(dns.Engine{URL: "unix://" + socket}, dir)
	for name, text := range map[string]string{"a.json": `{"network_interface":"podman0","internal":false}`, "b.json": `{"network_interface":"podman1","internal":true}`, "c.json": "{"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	is := func(index int, name string, internal, certain bool) {
		t.Helper()
		if i, k := c.is(t.Context(), bridge{name: name, index: index}); i != internal || k != certain {
			t.Errorf("%s: internal %v, certain %v", name, i, k)
		}
	}
	is(1, "docker0", false, true)
	is(2, "podman0", false, true)
	is(3, "podman1", true, true)
	is(4, "br-0123456789ab", false, false)
	asked := 0
	serveUnix(t, socket, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/networks" {
			t.Errorf("asked %s", r.URL)
		}
		_, _ = w.Write([]byte(`[{"Id":"0123456789abcdef","Driver":"bridge","Internal":true},{"Id":"aaaaaaaaaaaaaaaa","Driver":"bridge"},
			{"Id":"cccccccccccccccc","Driver":"bridge","Internal":true,"Options":{"com.docker.network.bridge.name":"br-dddddddddddd"}}]`))
	}))
	for range 2 {
		is(4, "br-0123456789ab", true, true)
		is(5, "br-aaaaaaaaaaaa", false, true)
		is(6, "br-dddddddddddd", true, true)
	}
	if asked != 3 {
		t.Errorf("the engine was asked %d times", asked)
	}
	is(7, "br-eeeeeeeeeeee", false, false)
	for name, want := range map[string]bool{"docker0": true, "br-0123456789ab": true, "br-lan": false, "br-ex": false, "br-0123456789abc": false, "br-0123456789xx": false, "eth0": false} {
		if dns.IsBridge(name) != want {
			t.Errorf("%s", name)
		}
	}
}

// serveUnix serves on a socket until the test ends.
func serveUnix(t *testing.T, socket string, h http.Handler) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-ended })
}
