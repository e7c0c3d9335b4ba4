package daemon

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ociruntime"
	"sutler/internal/receipt"
	"sutler/internal/receipt/memory"
)

// TestRecords follows steps: one that asks, one that does not, one whose engine never says
// that it has ended.
func TestRecords(t *testing.T) {
	r, store := newRecords(), memory.New()
	now := time.Unix(1e9, 0)
	for id, container := range map[string]string{"aa11": "c1", "bb22": "c2", "cc33": ""} {
		r.report(ociruntime.Report{ID: id, Container: container, Builder: "buildkit", Args: []string{"/bin/sh", "-c", "apt-get\n  update"}}, now)
	}
	if got := r.silentSince(now); len(got) != 2 || len(r.silentSince(now.Add(-1))) != 0 {
		t.Errorf("silent: %v, want those with a container, and none before they began", got)
	}
	for _, id := range []string{"aa11", "aa11", "cc33", "dd44", ""} {
		r.seen(id)
	}
	for range len(r.first) {
		if err := r.begin(t.Context(), store, <-r.first); err != nil {
			t.Fatal(err)
		}
	}
	r.report(ociruntime.Report{Container: "c1"}, now)
	r.report(ociruntime.Report{Container: "c2"}, now)
	r.report(ociruntime.Report{Container: "of no step"}, now)
	ended := func(at time.Time) (ids []string) {
		if err := r.end(t.Context(), store, at); err != nil {
			t.Fatal(err)
		}
		all, err := store.Builds(t.Context(), 10)
		if err != nil || len(all) != 2 {
			t.Fatalf("%d receipts, want 2: %v", len(all), err)
		}
		for _, s := range all {
			if s.Command != "buildkit: RUN apt-get update" {
				t.Errorf("command %q", s.Command)
			}
			if !s.Ended.IsZero() {
				if s.ExitCode != receipt.ExitUnknown {
					t.Errorf("%s: exit code %d, which nobody told", s.ID, s.ExitCode)
				}
				ids = append(ids, s.ID)
			}
		}
		return ids
	}
	if got := ended(now); len(got) != 0 {
		t.Errorf("ended at once: %v", got)
	}
	if got := ended(now.Add(settle)); len(got) != 1 || got[0] != "aa11" {
		t.Errorf("ended: %v, want aa11", got)
	}
	later := time.Now().Add(forget)
	cc := map[string]string{"cc33": "c3"}
	r.looked(cc, []string{"cc33"}, later)
	if got := ended(later); len(got) != 1 || len(r.steps) != 1 {
		t.Errorf("ended: %v, %d remembered, although one runs", got, len(r.steps))
	}
	r.looked(cc, nil, later)
	if got := ended(later.Add(settle)); len(got) != 2 || len(r.steps) != 0 {
		t.Errorf("ended: %v, %d remembered, although its processes are gone", got, len(r.steps))
	}
	r.report(ociruntime.Report{ID: "ee55", Container: "c5"}, later)
	r.looked(map[string]string{"ee55": "c5"}, nil, later.Add(quiet))
	if ended(later.Add(quiet + settle)); len(r.steps) != 1 {
		t.Error("a step whose processes cannot be seen counts as ended")
	}
	if got := ended(later.Add(forget)); len(got) != 2 || len(r.steps) != 0 {
		t.Errorf("ended: %v, %d remembered", got, len(r.steps))
	}
}

func TestCommand(t *testing.T) {
	for want, args := range map[string][]string{
		`b: RUN make all`: {"/bin/sh", "-c", "make\tall"}, `b: RUN ["/bin/true","<x"]`: {"/bin/true", "<x"},
		"b: RUN " + strings.Repeat("x", maxCommand) + " …": {"sh", "-c", strings.Repeat("x", 1000)},
	} {
		got := command(ociruntime.Report{Builder: "b", Args: args})
		if got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}

// checkSteps checks the folder for steps of a daemon that listens on that address, and sends reports.
func checkSteps(t *testing.T, dir, address string) {
	t.Helper()
	var s ociruntime.Settings
	data, err := os.ReadFile(dir + "/" + ociruntime.SettingsName)
	if err != nil || json.Unmarshal(data, &s) != nil {
		t.Fatalf("%v: %s", err, data)
	}
	if len(s.Listen) != 1 || s.Listen[0].Address != address || s.Listen[0].Interface != "" || !strings.Contains(string(data), ociruntime.ProxyMark) {
		t.Errorf("settings: %s", data)
	}
	if _, err := os.Stat(dir + "/files/ca.pem"); err != nil {
		t.Error(err)
	}
	conn, err := net.Dial("unixgram", dir+"/"+ociruntime.SocketName)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"{", `{"id":"aa11","container":"c"}`} {
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Error(err)
		}
	}
	_ = conn.Close()
}

// serveSteps runs a daemon with that folder for steps until stop is called, at the latest
// when the test ends.
func serveSteps(t *testing.T, steps string) (status control.Status, stop func()) {
	t.Helper()
	dir := t.TempDir()
	c := config.Default(config.Place{Getenv: func(string) string { return dir }})
	c.Listen, c.Bridges, c.Socket, c.Steps = []string{"127.0.0.1:0"}, false, dir+"/run/s", steps
	c.Store.Dir, c.Store.State, c.Store.MinFree = dir+"/cache", dir+"/state", 0
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan control.Status, 1), make(chan error, 1)
	go func() {
		done <- Run(ctx, c, Options{Version: "1", Log: slog.New(slog.DiscardHandler), Ready: func(s control.Status) { ready <- s }})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	select {
	case status = <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon does not get ready")
	}
	return status, stop
}

// TestSteps runs a daemon and looks at what it keeps for steps, also after somebody has
// deleted that, and that nothing but files is left when it ends.
func TestSteps(t *testing.T) {
	steps := t.TempDir() + "/steps"
	status, stop := serveSteps(t, steps)
	checkSteps(t, steps, status.Listen[0])
	if err := os.RemoveAll(steps); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(steps + "/" + ociruntime.SettingsName); err == nil {
			break
		}
	}
	checkSteps(t, steps, status.Listen[0])
	stop()
	left, err := os.ReadDir(steps)
	if err != nil || len(left) != 1 || left[0].Name() != ociruntime.FilesName {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestStepsOfAnother has a second daemon find the folder in use: it says so, and leaves what
// is there alone.
func TestStepsOfAnother(t *testing.T) {
	steps := t.TempDir() + "/steps"
	first, _ := serveSteps(t, steps)
	before, err := os.ReadFile(steps + "/files/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	second, stop := serveSteps(t, steps)
	if !strings.Contains(strings.Join(second.Trouble, "\n"), "another sutler serves them") {
		t.Errorf("trouble: %q", second.Trouble)
	}
	stop()
	if after, err := os.ReadFile(steps + "/files/ca.pem"); err != nil || string(after) != string(before) {
		t.Errorf("the second replaced the authority in the folder: %v", err)
	}
	checkSteps(t, steps, first.Listen[0])
}
