package control

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sutler/internal/ecosystem"
	"sutler/internal/index"
	"sutler/internal/receipt"
	"sutler/internal/receipt/memory"
)

// A fake is everything behind the interface, in memory.
type fake struct {
	*memory.Store
	stopped chan struct{}
	begun   BuildRequest
	pruned  PruneRequest
	broken  error // verify ends with it
}

func (f *fake) Status(context.Context) (Status, error) {
	return Status{Version: "1.2.3", Listen: []string{"127.0.0.1:7885"}}, nil
}

func (f *fake) Stop() { close(f.stopped) }

// Reload implements Daemon.
func (f *fake) Reload(context.Context) (Reloaded, error) {
	return Reloaded{Applied: []string{"dns.bridges"}}, nil
}

// RotateCA implements Daemon.
func (f *fake) RotateCA(_ context.Context, r RotateRequest) (CA, error) {
	return CA{Subject: r.Overlap.String()}, nil
}

func (f *fake) Begin(ctx context.Context, r BuildRequest) (Build, error) {
	f.begun = r
	return Build{ID: "beef", Env: []ecosystem.Setting{{Name: "A", Value: "b"}}, Files: map[string][]byte{"ca.pem": []byte("\x00roots")}},
		f.Store.Begin(ctx, receipt.Build{ID: "beef", Command: r.Command})
}

func (f *fake) End(ctx context.Context, id string, code int) (receipt.Summary, error) {
	if err := f.Store.End(ctx, id, time.Unix(1e9, 0), code); err != nil {
		return receipt.Summary{}, err
	}
	return f.Store.Build(ctx, id)
}

func (f *fake) List(ctx context.Context, limit int) ([]receipt.Summary, error) {
	return f.Builds(ctx, limit)
}

func (f *fake) Show(ctx context.Context, id string) (Receipt, error) {
	s, err := f.Store.Build(ctx, id)
	return Receipt{Summary: s}, err
}

func (f *fake) Items(_ context.Context, match string, limit int) ([]Item, error) {
	return []Item{{URL: match, Size: int64(limit)}}, nil
}

func (f *fake) Item(_ context.Context, name string) (Item, error) {
	if name != "https://a.example/?q=1&r" {
		return Item{}, index.ErrNotFound
	}
	return Item{URL: name}, nil
}

func (f *fake) Usage(context.Context) ([]Usage, error) { return []Usage{{Ecosystem: "apt"}}, nil }

func (f *fake) Prune(_ context.Context, r PruneRequest, report func(Progress)) (Removed, error) {
	f.pruned = r
	report(Progress{Blobs: 1})
	return Removed{Blobs: 1}, nil
}

func (f *fake) Purge(_ context.Context, r PurgeRequest, _ func(Progress)) (Removed, error) {
	if r.Match == "" && !r.All {
		return Removed{}, errors.New("purge needs a pattern")
	}
	return Removed{Entries: 2}, nil
}

func (f *fake) Verify(_ context.Context, report func(Progress)) (Progress, error) {
	report(Progress{Blobs: 1, Total: 2})
	return Progress{Blobs: 2, Total: 2, Damaged: 1}, f.broken
}

// serve answers on a socket until the test ends.
func serve(t *testing.T) (*fake, *Client, string) {
	t.Helper()
	f := &fake{Store: memory.New(), stopped: make(chan struct{})}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: Handler(f, f, f)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(Private(l)) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return f, NewClient(path), path
}

func TestBuild(t *testing.T) {
	f, c, _ := serve(t)
	req := BuildRequest{Command: "make all", Address: "172.17.0.1", Dir: "/dev/sutler", Steps: true}
	b, err := c.Begin(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := Build{ID: "beef", Env: []ecosystem.Setting{{Name: "A", Value: "b"}}, Files: map[string][]byte{"ca.pem": []byte("\x00roots")}}
	if diff := cmp.Diff(want, b); diff != "" || f.begun != req {
		t.Errorf("Begin sent %+v, got (-want +got)\n%s", f.begun, diff)
	}
	s, err := c.End(t.Context(), "beef", 42)
	if err != nil || s.ExitCode != 42 {
		t.Errorf("End = %+v, %v, want exit code 42", s, err)
	}
	all, err := c.Builds(t.Context(), 0)
	if err != nil || len(all) != 1 {
		t.Errorf("Builds = %v, %v, want one", all, err)
	}
	if r, err := c.Receipt(t.Context(), "last"); err != nil || r.ID != "beef" {
		t.Errorf("Receipt(last) = %s, %v, want beef", r.ID, err)
	}
	if _, err := c.End(t.Context(), "none", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("End of an unknown build = %v, want ErrNotFound", err)
	}
	if _, err := c.Receipt(t.Context(), "../status"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Receipt with a path = %v, want ErrNotFound", err)
	}
}

func TestStock(t *testing.T) {
	f, c, _ := serve(t)
	if items, err := c.Items(t.Context(), "a&b=c", 7); err != nil || len(items) != 1 || items[0].URL != "a&b=c" || items[0].Size != 7 {
		t.Errorf("Items = %+v, %v", items, err)
	}
	if i, err := c.Item(t.Context(), "https://a.example/?q=1&r"); err != nil || i.URL == "" {
		t.Errorf("Item = %+v, %v", i, err)
	}
	if _, err := c.Item(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Item(none) = %v, want ErrNotFound", err)
	}
	var seen []Progress
	report := func(p Progress) { seen = append(seen, p) }
	if got, err := c.Prune(t.Context(), PruneRequest{MaxSize: 5, Older: time.Hour, DryRun: true}, report); err != nil || got.Blobs != 1 ||
		f.pruned != (PruneRequest{Older: time.Hour, MaxSize: 5, DryRun: true}) || len(seen) != 1 {
		t.Errorf("Prune = %+v, %v, sent %+v", got, err, f.pruned)
	}
	if got, err := c.Purge(t.Context(), PurgeRequest{All: true}, report); err != nil || got.Entries != 2 {
		t.Errorf("Purge = %+v, %v", got, err)
	}
	if _, err := c.Purge(t.Context(), PurgeRequest{}, report); err == nil || err.Error() != "purge needs a pattern" {
		t.Errorf("Purge of nothing = %v, want the daemon's own words", err)
	}
	if u, err := c.Usage(t.Context()); err != nil || len(u) != 1 {
		t.Errorf("Usage = %+v, %v", u, err)
	}
}

func TestVerifyStreams(t *testing.T) {
	f, c, _ := serve(t)
	var seen []int64
	last, err := c.Verify(t.Context(), func(p Progress) { seen = append(seen, p.Blobs) })
	if err != nil || last.Damaged != 1 || !last.Done {
		t.Errorf("Verify = %+v, %v, want one damaged, done", last, err)
	}
	if diff := cmp.Diff([]int64{1, 2}, seen); diff != "" {
		t.Errorf("reported: (-want +got)\n%s", diff)
	}
	f.broken = errors.New("disk is gone")
	if _, err := c.Verify(t.Context(), func(Progress) {}); err == nil || err.Error() != "disk is gone" {
		t.Errorf("Verify of a broken store = %v, want why", err)
	}
}

func TestStop(t *testing.T) {
	f, c, _ := serve(t)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-f.stopped
}

func TestNotRunning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if _, err := NewClient(path).Status(t.Context()); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), path) {
		t.Errorf("Status without a socket = %v, want ErrNotRunning that names it", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(path).Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Status on a plain file = %v, want ErrNotRunning", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewClient(path).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Status after cancel = %v, want Canceled", err)
	}
}

// TestRequests sends what the client never would.
func TestRequests(t *testing.T) {
	_, _, path := serve(t)
	h := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}}
	for _, tt := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/purge", `{"match":"x","alll":true}`, 400},
		{"POST", "/prune", `not json`, 400},
		{"POST", "/builds", `{"command":"` + strings.Repeat("x", maxRequest) + `"}`, 400},
		{"GET", "/stop", "", 405},
		{"GET", "/nothing", "", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://sutler"+prefix+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s = %d, want %d", tt.method, tt.path, resp.StatusCode, tt.want)
		}
	}
}

func TestAdmits(t *testing.T) {
	for _, tt := range []struct {
		owner, peer int
		want        bool
	}{{1000, 1000, true}, {1000, 0, true}, {0, 0, true}, {1000, 1001, false}, {0, 1000, false}, {1000, -1, false}} {
		if got := admits(tt.owner, tt.peer); got != tt.want {
			t.Errorf("admits(%d, %d) = %v, want %v", tt.owner, tt.peer, got, tt.want)
		}
	}
}

// TestStrangersStayOut connects as another user, which only root can. The socket is open
// to all here, so that nothing but Private is in the way.
func TestStrangersStayOut(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("cannot run: only root can connect as somebody else")
	}
	_, _, path := serve(t)
	for p := path; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	out, err := asNobody(t, path)
	if err == nil || strings.Contains(out, "1.2.3") {
		t.Errorf("another user got in: %v\n%s", err, out)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := asNobody(t, path); !strings.Contains(out, fs.ErrPermission.Error()) {
		t.Errorf("another user is told %q, want that permission is denied", out)
	}
}

func TestRotateCA(t *testing.T) {
	_, c, _ := serve(t)
	if ca, err := c.RotateCA(t.Context(), RotateRequest{Overlap: time.Hour}); err != nil || ca.Subject != "1h0m0s" {
		t.Errorf("RotateCA = %+v, %v", ca, err)
	}
}
