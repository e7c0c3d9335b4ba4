package daemon

import (
	"net"
	"testing"

	"sutler/internal/config"
)

// TestReloadClosesWildcards takes a listener back that was configured for all addresses, or by
// a name: as bound it is called something else.
func TestReloadClosesWildcards(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "localhost"} {
		w := &written{c: testConfig(t, "127.0.0.1:1")}
		client := startReloading(t, w)
		_, port, err := net.SplitHostPort(freeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		reload := func(listen ...string) {
			t.Helper()
			w.write(func(c *config.Config) { c.Intercept.Listen = listen })
			if _, err := client.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		at := net.JoinHostPort(host, port)
		reload(at)
		reload()
		if c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			t.Errorf("%s is configured no more, and open: %v", at, c.Close())
		}
		reload(at)
	}
}
