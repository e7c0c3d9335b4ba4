// Package e2e runs the real program with real clients: apt-get, npm, curl, wget,
// debootstrap, docker. What a machine lacks is reported as skipped with the reason; with
// CI=true it fails.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		binary = os.Getenv("SUTLER_BIN")
		if binary != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "sutler-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "sutler")
		build := exec.Command("go", "build", "-o", binary, "sutler/cmd/sutler")
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make does: only then an image can be made of it
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// need skips the test if a program is missing; with CI=true it fails.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			lacks(t, p+" is not installed")
		}
	}
}

// lacks skips the test for a reason; with CI=true it fails.
func lacks(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("cannot run: %s", reason)
	}
	t.Skipf("cannot run: %s", reason)
}

// A daemon is one sutler with folders of its own.
type daemon struct {
	t    *testing.T
	dir  string
	addr string
	env  []string
	in   []string // runs a command where the daemon runs: a network namespace, or nothing
	cmd  *exec.Cmd
	log  *bytes.Buffer
}

// start runs `sutler serve` on a free port until the test ends. settings are KEY=VALUE
// of the configuration's variables, without the SUTLER_ prefix.
func start(t *testing.T, settings ...string) *daemon {
	t.Helper()
	return startIn(t, nil, freeAddr(t), settings...)
}

// startIn is start for another network: in is the command that enters it.
func startIn(t *testing.T, in []string, addr string, settings ...string) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{t: t, dir: dir, addr: addr, in: in}
	d.env = append(os.Environ(), "SUTLER_LISTEN="+d.addr, "SUTLER_BRIDGES=false", "SUTLER_ATTACH_ROOT="+dir+"/root", "SUTLER_SOCKET="+dir+"/run/sutler.sock", "SUTLER_STEPS="+dir+"/steps",
		"SUTLER_STORE_DIR="+dir+"/cache", "SUTLER_STORE_STATE="+dir+"/state", "SUTLER_STORE_MIN_FREE=0", "HOME="+dir, "XDG_CONFIG_HOME="+dir+"/config",
		"npm_config_cache="+dir+"/npm", "npm_config_update_notifier=false", "npm_config_fund=false", "SUTLER_E2E_DIR="+cacheDir(t)) // engines.sh is found by HOME otherwise
	if err := os.Mkdir(dir+"/run", 0o700); err != nil {
		t.Fatal(err)
	}
	d.set(settings...)
	d.serve()
	t.Cleanup(d.stop)
	return d
}

// set changes settings for the next serve.
func (d *daemon) set(settings ...string) {
	for _, s := range settings {
		d.env = append(d.env, "SUTLER_"+s)
	}
}

// serve starts the process and waits until it is ready.
func (d *daemon) serve() {
	d.t.Helper()
	d.log = &bytes.Buffer{}
	command := append(append([]string{}, d.in...), binary, "serve")
	d.cmd = exec.Command(command[0], command[1:]...)
	d.cmd.Env = d.env
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		r := d.run(d.dir, nil, binary, "status")
		if r.code == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.stop()
			d.t.Fatalf("sutler is not ready: %s\n%s", r.err, d.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop ends the process as an operator would, and prints its log if the test failed.
func (d *daemon) stop() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	if err := d.cmd.Wait(); err != nil && !d.t.Failed() {
		d.t.Errorf("sutler serve: %v\n%s", err, d.log)
	}
	d.cmd = nil
	if d.t.Failed() {
		d.t.Logf("log of sutler:\n%s", d.log)
	}
}

// kill ends the process at once.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it runs: nothing else can fail
	_ = d.cmd.Wait()         // its status is the signal
	d.cmd = nil
}

// A result is what a command did.
type result struct {
	out, err string
	code     int
}

// run runs a command with the daemon's environment in a folder, bounded in time.
func (d *daemon) run(dir string, env []string, name string, args ...string) result {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Minute)
	defer cancel()
	command := append(append([]string{}, d.in...), append([]string{name}, args...)...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(append([]string{}, d.env...), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := result{out: stdout.String(), err: stderr.String()}
	if err != nil {
		r.code = max(1, cmd.ProcessState.ExitCode())
	}
	return r
}

// must runs a command that has to succeed.
func (d *daemon) must(dir string, env []string, name string, args ...string) result {
	d.t.Helper()
	r := d.run(dir, env, name, args...)
	if r.code != 0 {
		d.t.Fatalf("%s %s: exit %d\n%s\n%s", name, strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r
}

// sutler runs the program under test.
func (d *daemon) sutler(args ...string) result {
	d.t.Helper()
	return d.must(d.dir, nil, binary, args...)
}

// through runs a command by `sutler exec` in a folder and returns its receipt.
func (d *daemon) through(dir string, command ...string) (result, summary) {
	d.t.Helper()
	r := d.must(dir, nil, binary, append([]string{"exec", "--"}, command...)...)
	return r, d.last()
}

// A summary is what the tests read of `receipt show --json`.
type summary struct {
	Files, Bytes, FromStore, Downloaded, Upstream, Verified, Unvouched, Failed, Tunnelled int64
	Lines                                                                                 []line
}

type line struct {
	Ecosystem, URL, Outcome, Trust, Digest, Voucher, Signer, Error string
	Size, Bytes                                                    int64
}

// last returns the receipt of the last build.
func (d *daemon) last() summary {
	d.t.Helper()
	var s summary
	out := d.sutler("receipt", "show", "last", "--json").out
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		d.t.Fatalf("receipt: %v\n%s", err, out)
	}
	return s
}

// allFromStore fails unless at least that share of the bytes came from the store.
func (s summary) allFromStore(t *testing.T, share float64) {
	t.Helper()
	if s.Bytes == 0 || float64(s.FromStore) < share*float64(s.Bytes) {
		t.Errorf("%d of %d bytes from the store, want %.0f %%", s.FromStore, s.Bytes, 100*share)
		for _, l := range s.Lines {
			if l.Outcome != "hit" {
				t.Logf("%s %s %d %s", l.Outcome, l.URL, l.Bytes, l.Error)
			}
		}
	}
}

// freeAddr returns an address on loopback that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// write makes a file and its folders.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
