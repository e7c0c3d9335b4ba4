package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestBurst lets 50 clients ask for the same new file at once. One hangs up, one reads
// only after all others have ended; the origin is asked once, and then goes away.
func TestBurst(t *testing.T) {
	const size = 8 << 20
	var fetches atomic.Int64
	release := make(chan struct{})
	body := []byte(strings.Repeat("0123456789abcdef", size/16))
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".tar.gz") {
			http.NotFound(w, r)
			return
		}
		fetches.Add(1)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = w.Write(body[:size/2])
		<-release
		_, _ = w.Write(body[size/2:])
	}))
	defer origin.Close()
	d := start(t, "HOSTS=generic=127.0.0.1", "UPSTREAM_ALLOW_LOOPBACK="+strings.TrimPrefix(origin.URL, "http://"))
	target := origin.URL + "/tool-1.2.3.tar.gz"

	ctx, hangUp := context.WithCancel(t.Context())
	leaver := d.fetch(ctx, t, target)
	if _, err := io.ReadFull(leaver, make([]byte, 1000)); err != nil {
		t.Fatalf("first bytes while the origin still sends: %v", err)
	}
	slow := d.fetch(t.Context(), t, target)
	if _, err := io.ReadFull(slow, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(body)
	var clients sync.WaitGroup
	for range 48 {
		r := d.fetch(t.Context(), t, target)
		clients.Go(func() {
			h := sha256.New()
			if n, err := io.Copy(h, r); err != nil || n != size || [32]byte(h.Sum(nil)) != want {
				t.Errorf("%d of %d bytes, %v", n, size, err)
			}
		})
	}
	hangUp()
	close(release)
	clients.Wait()
	if n, err := io.Copy(io.Discard, slow); err != nil || n != size-1 {
		t.Errorf("slow reader: %d bytes, %v", n, err)
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	origin.Close()
	if n, err := io.Copy(io.Discard, d.fetch(t.Context(), t, target)); err != nil || n != size {
		t.Errorf("with the origin gone: %d bytes, %v", n, err)
	}
}

// fetch asks for a URL through the proxy and returns the body, which the test closes.
func (d *daemon) fetch(ctx context.Context, t *testing.T, target string) io.Reader {
	t.Helper()
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: d.addr})}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = resp.Body.Close() // it was read, or given up on purpose
		tr.CloseIdleConnections()
	})
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %s", resp.Status)
	}
	return resp.Body
}
