package attach

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestResolver plans, attaches and detaches the resolver on a machine without an engine that
// runs.
func TestResolver(t *testing.T) {
	b := setUp(t, "")
	b.at.Machine.System = true
	b.at.Machine.Getenv = func(string) string { return "" }
	reloads, answer := 0, error(nil)
	r := &Resolver{Machine: b.at.Machine, Reload: func(context.Context) error { reloads++; return answer }}
	file := b.at.Machine.Root + "/etc/sutler/conf.d/50-attach-dns.toml"
	wish := Wish{DropIns: "/etc/sutler/conf.d", Hosts: []string{"npm.example"}}

	if _, err := r.Plan(t.Context(), wish); !errors.Is(err, ErrAbsent) {
		t.Errorf("without an engine: %v", err)
	}
	b.check(os.MkdirAll(b.at.Machine.Root+"/usr/bin", 0o755))
	b.check(os.WriteFile(b.at.Machine.Root+"/usr/bin/dockerd", nil, 0o755))
	if _, err := r.Plan(t.Context(), Wish{DNS: true}); !errors.Is(err, ErrAbsent) {
		t.Errorf("docker's own settings were asked for: %v", err)
	}
	if _, err := r.Plan(t.Context(), Wish{}); !errors.Is(err, ErrUnable) || !strings.Contains(err.Error(), "bridges = true") {
		t.Errorf("one configuration file: %v", err)
	}
	r.Machine.System = false
	if _, err := r.Plan(t.Context(), wish); !errors.Is(err, ErrUnable) || !strings.Contains(err.Error(), "root") {
		t.Errorf("not root: %v", err)
	}
	r.Machine.System = true
	t.Setenv("PATH", t.TempDir())
	if _, err := r.Plan(t.Context(), wish); !errors.Is(err, ErrUnable) || !strings.Contains(err.Error(), "nftables") {
		t.Errorf("without nft: %v", err)
	}
	nft := t.TempDir()
	b.check(os.WriteFile(nft+"/nft", []byte("#!/bin/true\n"), 0o755))
	t.Setenv("PATH", nft)

	answer = errors.New("line 3: nonsense")
	if _, err := b.at.Attach(t.Context(), r, wish); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("a configuration that is wrong: %v", err)
	}
	if _, err := os.Stat(b.at.Machine.Root + "/etc/sutler"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was left: %v", err)
	}
	answer, reloads = nil, 0
	out, err := b.at.Attach(t.Context(), r, wish)
	if err != nil || out.State != Attached || reloads != 1 {
		t.Errorf("Attach = %+v, %v, %d reloads", out, err, reloads)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.HasSuffix(string(text), dnsSettings) {
		t.Errorf("%q, %v", text, err)
	}
	answer = ErrDown
	out, err = b.at.Detach(t.Context(), r)
	if err != nil || out.State != Detached || reloads != 2 || len(out.Notes) != 1 {
		t.Errorf("Detach = %+v, %v, %d reloads", out, err, reloads)
	}
	if _, err := os.Stat(b.at.Machine.Root + "/etc/sutler"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was left: %v", err)
	}
	b.gone()
}
