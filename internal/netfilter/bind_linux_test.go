package netfilter

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// folder names, in the environment, where slowNft says what it does.
const folder = "NETFILTER_TEST_FOLDER"

// slowNft takes a while before it does what it is told.
const slowNft = `#!/bin/sh
echo $$ >"$NETFILTER_TEST_FOLDER/began.new" && mv "$NETFILTER_TEST_FOLDER/began.new" "$NETFILTER_TEST_FOLDER/began"
until [ -e "$NETFILTER_TEST_FOLDER/go" ]; do sleep 0.01; done
cat >"$NETFILTER_TEST_FOLDER/landed"
`

// TestMain is also the process that is killed while it renews.
func TestMain(m *testing.M) {
	if os.Getenv(folder) != "" {
		_ = nft(context.Background(), "renewal\n") // it is killed before this returns
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKilledWhileRenewing kills a process whose renewal has begun: it must not land later,
// or names would lead to nobody for another while.
func TestKilledWhileRenewing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nft"), []byte(slowNft), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), folder+"="+dir, "PATH="+dir+":"+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	var pid []byte
	await("nft was not run", func() bool {
		pid, err = os.ReadFile(filepath.Join(dir, "began"))
		return err == nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is the signal
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await("nft goes on", func() bool {
		command, err := os.ReadFile("/proc/" + string(pid[:len(pid)-1]) + "/cmdline")
		return err != nil || len(command) == 0 // a dead one that nobody has waited for has none
	})
	if landed, err := os.ReadFile(filepath.Join(dir, "landed")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the renewal %q has landed after the death: %v", landed, err)
	}
}
