package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sutler/internal/control"
	"sutler/internal/ociruntime"
)

// TestRotateCA checks that builds get both roots while a rotation runs, and that hosts which
// are only named as inside are not intercepted.
func TestRotateCA(t *testing.T) {
	c := testConfig(t, "127.0.0.1:1")
	c.Intercept.Listen = []string{freeAddr(t)}
	client := start(t, c)
	roots := func() int {
		b, err := client.Begin(t.Context(), control.BuildRequest{Command: "test", Dir: "/d"})
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(b.Files["ca.pem"], []byte("BEGIN CERTIFICATE"))
	}
	before := roots()
	ca, err := client.RotateCA(t.Context(), control.RotateRequest{Overlap: time.Hour})
	if err != nil || ca.Next == nil || ca.Next.Fingerprint == ca.Fingerprint {
		t.Fatalf("RotateCA = %+v, %v", ca, err)
	}
	if n := roots(); n != before+1 {
		t.Errorf("%d roots during a rotation, want %d", n, before+1)
	}
	now, err := client.RotateCA(t.Context(), control.RotateRequest{})
	if err != nil || now.Next != nil || now.Fingerprint != ca.Next.Fingerprint {
		t.Errorf("RotateCA = %+v, %v", now, err)
	}
	if n := roots(); n != before {
		t.Errorf("%d roots after a rotation, want %d", n, before)
	}
	s, err := client.Status(t.Context())
	if err != nil || len(s.Led) != 1 || s.Led[0] != c.Intercept.Listen[0] || len(s.CA.Registries) == 0 {
		t.Errorf("Status = %v, %v, %v", s.Led, s.CA.Registries, err)
	}
}

func TestIntercepts(t *testing.T) {
	c := testConfig(t, "127.0.0.1:1")
	c.Hosts = []string{"generic=dl.example"}
	c.Intercept.Except = []string{"*.spared.example", "spared.example"}
	c.Intercept.Hosts = []string{"*.spared.example", "opened.example"}
	c.Upstream.AllowPrivate = []string{"git.corp.example:443"}
	log := slog.New(slog.DiscardHandler)
	d := &process{config: c, options: Options{Log: log}, trouble: trouble{log: log}}
	d.config.Store.State = t.TempDir()
	if err := d.openAuthority(t.Context()); err != nil && d.authority == nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"dl.example": true, "opened.example": true, "a.spared.example": false, "git.corp.example": false, "other.example": false} {
		if got := d.intercepts(host); got != want {
			t.Errorf("intercepts(%s) = %v, want %v", host, got, want)
		}
	}
	if !d.known("git.corp.example") {
		t.Error("a host that is named as inside may have a private address")
	}
}

// TestStepsGetBothRoots checks that the files for build steps follow a rotation.
func TestStepsGetBothRoots(t *testing.T) {
	c := testConfig(t, "127.0.0.1:1")
	c.Steps = t.TempDir()
	client := start(t, c)
	roots := func() int {
		b, err := os.ReadFile(filepath.Join(c.Steps, ociruntime.FilesName, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(b, []byte("BEGIN CERTIFICATE"))
	}
	before := roots()
	if _, err := client.RotateCA(t.Context(), control.RotateRequest{Overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	end := time.After(5 * lookEvery)
	tick := time.NewTicker(lookEvery / 20)
	defer tick.Stop()
	for roots() != before+1 {
		select {
		case <-end:
			t.Fatalf("%d roots, want %d", roots(), before+1)
		case <-tick.C:
		}
	}
}
