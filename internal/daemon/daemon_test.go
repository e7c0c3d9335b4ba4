package daemon

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sutler/internal/config"
	"sutler/internal/control"
)

// settings returns a configuration with folders of its own, for an origin on loopback.
func testConfig(t *testing.T, origin string) config.Config {
	t.Helper()
	c := config.Default(config.Place{Getenv: os.Getenv})
	dir := t.TempDir()
	c.Store.Dir, c.Store.State, c.Socket = dir+"/cache", dir+"/state", dir+"/run/s"
	c.Store.MinFree = 0
	c.Listen, c.Bridges, c.ACNG = []string{freeAddr(t)}, false, freeAddr(t)
	c.Hosts = []string{"generic=127.0.0.1"}
	c.Upstream.AllowLoopback = []string{origin}
	return c
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a daemon until the test ends, and returns a client of it.
func start(t *testing.T, c config.Config) *control.Client {
	t.Helper()
	ready, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- Run(ctx, c, Options{Version: "test", Log: slog.New(slog.DiscardHandler), Ready: func(control.Status) { close(ready) }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return control.NewClient(c.Socket)
}

// get fetches a URL through the proxy of a build.
func get(t *testing.T, proxy, target string) (body, cache string) {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), resp.Header.Get("Cache-Status")
}

// TestBuild runs a build's requests through a whole daemon: cold, warm, by another way in,
// after a restart with the origin gone; and reads its receipt.
func TestBuild(t *testing.T) {
	var fetches atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".tar.gz") {
			http.NotFound(w, r)
			return
		}
		fetches.Add(1)
		fmt.Fprint(w, "tool 1.2.3")
	}))
	defer origin.Close()
	c := testConfig(t, strings.TrimPrefix(origin.URL, "http://"))
	target := origin.URL + "/tool-1.2.3.tar.gz"
	t.Run("running", func(t *testing.T) {
		client := start(t, c)
		b, err := client.Begin(t.Context(), control.BuildRequest{Command: "test", Dir: "/d"})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"sutler; fwd=miss; stored", "sutler; hit"} {
			if body, cache := get(t, b.Proxy, target); body != "tool 1.2.3" || cache != want {
				t.Errorf("request %d: %q, %q", i, body, cache)
			}
		}
		s, err := client.End(t.Context(), b.ID, 0)
		if err != nil || s.Files != 2 || s.Bytes != 20 || s.FromStore != 10 || s.Unvouched != 2 {
			t.Errorf("End = %+v, %v", s, err)
		}
		if err := Run(t.Context(), c, Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), c.Store.Dir) {
			t.Errorf("a second daemon on the store: %v", err)
		}
		if p, err := client.Verify(t.Context(), func(control.Progress) {}); err != nil || p.Damaged != 0 || p.Blobs == 0 {
			t.Errorf("Verify = %+v, %v", p, err)
		}
	})
	origin.Close()
	t.Run("restarted", func(t *testing.T) {
		client := start(t, c)
		if body, cache := get(t, "http://"+c.Listen[0], target); body != "tool 1.2.3" || cache != "sutler; hit" {
			t.Errorf("after a restart: %q, %q", body, cache)
		}
		items, err := client.Items(t.Context(), "tool-1.2.3", 0)
		if err != nil || len(items) != 1 || !items[0].Present {
			t.Fatalf("Items = %+v, %v", items, err)
		}
		for _, spelling := range []string{target, strings.Replace(target, "tool", "%74ool", 1), items[0].Key} {
			if i, err := client.Item(t.Context(), spelling); err != nil || i.URL != target {
				t.Errorf("Item(%q) = %q, %v", spelling, i.URL, err)
			}
		}
		if got, err := client.Purge(t.Context(), control.PurgeRequest{Match: "tool-1.2.3"}, func(control.Progress) {}); err != nil || got.Entries != 1 {
			t.Errorf("Purge = %+v, %v", got, err)
		}
		if _, err := client.Item(t.Context(), target); !errors.Is(err, control.ErrNotFound) {
			t.Errorf("Item after purge: %v", err)
		}
	})
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

// A disk that is too full for anything to stay is trouble that status names.
func TestStatusNamesAFullDisk(t *testing.T) {
	c := testConfig(t, "127.0.0.1:1")
	c.Store.MinFree = 1 << 60
	s, err := start(t, c).Status(t.Context())
	if err != nil || len(s.Trouble) == 0 || !strings.Contains(s.Trouble[len(s.Trouble)-1], `less free than store.min_free = `) {
		t.Errorf("Trouble = %q, %v", s.Trouble, err)
	}
}

// TestTermsOfABuild serves each of three builds by its own terms.
func TestTermsOfABuild(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "tool") }))
	defer origin.Close()
	c := testConfig(t, strings.TrimPrefix(origin.URL, "http://"))
	client := start(t, c)
	begin := func(r control.BuildRequest) control.Build {
		t.Helper()
		r.Command, r.Dir = "test", "/d"
		b, err := client.Begin(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plain, strict, offline := begin(control.BuildRequest{}), begin(control.BuildRequest{Strict: true}), begin(control.BuildRequest{Offline: true})
	for _, tt := range []struct{ name, proxy, path, want string }{
		{"offline, not stored", offline.Proxy, "/a-1.0.tar.gz", "offline"},
		{"plain", plain.Proxy, "/a-1.0.tar.gz", "tool"},
		{"offline, stored", offline.Proxy, "/a-1.0.tar.gz", "tool"},
		{"strict", strict.Proxy, "/a-1.0.tar.gz", "policy.strict"},
	} {
		if body, _ := get(t, tt.proxy, origin.URL+tt.path); !strings.Contains(body, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, body, tt.want)
		}
	}
	if _, err := client.End(t.Context(), strict.ID, 0); err != nil {
		t.Fatal(err)
	}
	if body, _ := get(t, strict.Proxy, origin.URL+"/a-1.0.tar.gz"); body != "tool" {
		t.Errorf("after its end the build has terms: %q", body)
	}
}

// TestPruneOlder removes what nobody uses any more: not what was used lately, nor what
// vouches for it; what nobody vouches for stays pinned to its bytes.
func TestPruneOlder(t *testing.T) {
	var changed atomic.Bool
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/dir/SHA256SUMS":
			fmt.Fprintf(w, "%x  a-1.0.tar.gz\n", sha256.Sum256([]byte("body /dir/a-1.0.tar.gz")))
		case !strings.HasSuffix(r.URL.Path, ".gz"):
			http.NotFound(w, r)
		case changed.Load():
			fmt.Fprint(w, "BODY "+r.URL.Path)
		default:
			fmt.Fprint(w, "body "+r.URL.Path)
		}
	}))
	defer origin.Close()
	c := testConfig(t, strings.TrimPrefix(origin.URL, "http://"))
	client, proxy := start(t, c), "http://"+c.Listen[0]
	for _, path := range []string{"/dir/a-1.0.tar.gz", "/b-1.0.tar.gz"} {
		if body, _ := get(t, proxy, origin.URL+path); body != "body "+path {
			t.Fatalf("%s: %q", path, body)
		}
	}
	prune := func(r control.PruneRequest) control.Removed {
		t.Helper()
		got, err := client.Prune(t.Context(), r, func(control.Progress) {})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	b, err := client.Begin(t.Context(), control.BuildRequest{Command: "test", Dir: "/d"})
	if err != nil {
		t.Fatal(err)
	}
	if body, cache := get(t, b.Proxy, origin.URL+"/b-1.0.tar.gz"); cache != "sutler; hit" {
		t.Errorf("%q, %q", body, cache)
	}
	if got := prune(control.PruneRequest{Older: time.Hour}); got != (control.Removed{}) {
		t.Errorf("what was used just now was removed: %+v", got)
	}
	dry := prune(control.PruneRequest{Older: time.Nanosecond, DryRun: true})
	if got := prune(control.PruneRequest{Older: time.Nanosecond}); got != dry || got.Blobs < 3 {
		t.Errorf("removed %+v, announced %+v", got, dry)
	}
	items, err := client.Items(t.Context(), "", 0)
	if err != nil || len(items) != 2 || items[0].Present || items[1].Present || items[0].Kind != "artifact" || items[1].Kind != "artifact" {
		t.Errorf("left: %+v, %v; want the pins of a and b", items, err)
	}
	changed.Store(true)
	if body, _ := get(t, proxy, origin.URL+"/b-1.0.tar.gz"); strings.Contains(body, "BODY") {
		t.Errorf("other bytes under a pinned name: %q", body)
	}
	changed.Store(false)
	if body, _ := get(t, proxy, origin.URL+"/b-1.0.tar.gz"); body != "body /b-1.0.tar.gz" {
		t.Errorf("fetched again: %q", body)
	}
}

// TestAptCacherPaths checks that only the listener that stands for apt-cacher-ng has its paths.
func TestAptCacherPaths(t *testing.T) {
	c := testConfig(t, "127.0.0.1:1")
	c.Upstream.Offline = true
	start(t, c)
	for address, want := range map[string]int{c.ACNG: http.StatusGatewayTimeout, c.Listen[0]: http.StatusNotFound} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/archive.example/debian/dists/stable/InRelease", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", address, resp.StatusCode, want)
		}
	}
}
