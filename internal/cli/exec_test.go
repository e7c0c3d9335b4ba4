package cli

import (
	"errors"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sutler/internal/receipt"
)

func TestExec(t *testing.T) {
	for _, tt := range []struct {
		name    string
		running bool
	}{{"through the one that runs", true}, {"through one of its own", false}} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.fake.lines = []receipt.Line{{Method: "GET", URL: "https://a.example/x", Outcome: "hit", Size: 500, Bytes: 500, Trust: "signed", Digest: "sha256:00"}}
			b.env = append(b.env, "NO_PROXY=corp.example", "http_proxy=http://old.example", "KEEP=1")
			if tt.running {
				b.start()
			}
			script := `echo "$http_proxy|$NO_PROXY|$KEEP"; cat "$SSL_CERT_FILE"; cat; stat -c %a "${SSL_CERT_FILE%/*}"; echo "${SSL_CERT_FILE%/*}" >` + b.dir + `/where; exit 7`
			b.want([]string{"exec", "sh", "-c", script}, 7, "out: http://127.0.0.1:7885|localhost,corp.example|1\nrootsin755\n",
				"err: sutler  1 file, 500 B: 100 % from store   verified 1/1   receipt 7f3a9c00")
			where, err := os.ReadFile(b.dir + "/where")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(strings.TrimSpace(string(where))); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder of the settings is left behind: %v", err)
			}
			if !tt.running && (b.fake.served.Listen[0] != "127.0.0.1:0" || b.fake.served.Bridges) {
				t.Errorf("the temporary daemon listens on %v, bridges %v", b.fake.served.Listen, b.fake.served.Bridges)
			}
			s, err := b.fake.receipts.Build(t.Context(), "last")
			if err != nil || s.ExitCode != 7 || s.Ended.IsZero() {
				t.Errorf("the receipt says %+v, %v; want it ended with 7", s.Build, err)
			}
		})
	}
}

// TestExecTerms asks for the terms of one command, and fails a strict one that went well
// without what it was refused.
func TestExecTerms(t *testing.T) {
	hit := receipt.Line{Method: "GET", URL: "https://a.example/x", Outcome: "hit", Size: 500, Bytes: 500, Trust: "signed"}
	with := func(l receipt.Line) []receipt.Line { return []receipt.Line{hit, l} }
	for _, tt := range []struct {
		name, flags, command string
		lines                []receipt.Line
		code                 int
		says                 string
	}{
		{"fine", "--strict --offline", "true", with(hit), 0, "2 files"},
		{"unvouched", "--strict", "true", with(receipt.Line{Outcome: "hit", Bytes: 1, Trust: "unvouched"}), 4, "nobody vouches for 1"},
		{"bad", "--strict", "true", with(receipt.Line{Outcome: "bad", Error: "e"}), 4, "1 of the answers"},
		{"refused", "--strict", "true", with(receipt.Line{Outcome: "refused", Error: "rule r"}), 5, "refused: rule r"},
		{"refused, own code", "--strict", "false", with(receipt.Line{Outcome: "refused", Error: "rule r"}), 1, "refused: rule r"},
		{"not stored", "--strict --offline", "true", with(receipt.Line{Outcome: "error", Error: "u: offline"}), 6, "offline: u: offline"},
		{"not stored, lenient", "--offline", "true", with(receipt.Line{Outcome: "error", Error: "u: offline"}), 0, "offline: u: offline"},
		{"failed online", "--strict", "true", with(receipt.Line{Outcome: "error", Error: "down"}), 0, "1 failed"},
		{"failed command", "", "false", with(receipt.Line{URL: "https://b.example/y", Outcome: "error", Error: "origin unavailable: https://b.example/y: no such host"}), 1,
			"failed: https://b.example/y: origin unavailable: no such host"},
		{"failed command, not found", "", "false", with(receipt.Line{URL: "u", Outcome: "error", Error: "u: 404 Not Found"}), 1, "1 failed   receipt 7f3a9c00\n"},
		{"long reason", "--strict", "true", with(receipt.Line{Outcome: "refused", Error: strings.Repeat("long ", 40) + "(rule r)"}), 5, "(rule r)"},
		{"lenient", "", "true", with(receipt.Line{Outcome: "refused", Error: "rule r"}), 0, "1 failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.fake.lines = tt.lines
			b.start()
			b.want(append(append([]string{"exec"}, strings.Fields(tt.flags)...), "--", tt.command), tt.code, "err: "+tt.says)
			if r := b.fake.began[0]; r.Strict != strings.Contains(tt.flags, "strict") || r.Offline != strings.Contains(tt.flags, "offline") {
				t.Errorf("began %+v", r)
			}
		})
	}
}

// TestUpWhileRunning names the settings that do not take effect.
func TestUpWhileRunning(t *testing.T) {
	b := newBench(t)
	b.fake.settings = map[string]string{"store.max_size": `"20GiB"`, "policy.strict": "false", "store.dir": `"` + b.dir + `/cache"`}
	b.start()
	if r := b.want([]string{"up"}, 0, "err: sutler is running already\n"); strings.Contains(r.err, "settings") {
		t.Errorf("up: %s", r.err)
	}
	b.env = append(b.env, "SUTLER_STORE_MAX_SIZE=1GiB")
	r := b.want([]string{"up", "--strict"}, 0, `err: store.max_size = "1GiB" (SUTLER_STORE_MAX_SIZE)`, "err: policy.strict = true (--strict)", "err: sutler down")
	if strings.Contains(r.err, "store.dir") {
		t.Errorf("up names what is the same: %s", r.err)
	}
}

// fakeDocker puts a docker on PATH of which only builds, by the classic builder, work.
func (b *bench) fakeDocker(build string) {
	b.t.Helper()
	dir := b.t.TempDir()
	script := "#!/bin/sh\ncase $1 in\nversion) echo '20.10.24|20.10.24|amd64' ;;\nnetwork) echo '[{\"IPAM\":{\"Config\":[{\"Gateway\":\"172.17.0.1\"}]}}]' ;;\n" +
		"build) " + build + " ;;\n*) exit 1 ;;\nesac\n"
	if err := os.WriteFile(dir+"/docker", []byte(script), 0o700); err != nil {
		b.t.Fatal(err)
	}
	b.env = append(b.env, "PATH="+dir+":"+os.Getenv("PATH"))
	b.t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	b.t.Setenv("DOCKER_CONFIG", dir)
	b.t.Setenv("DOCKER_BUILDKIT", "0")
}

func TestBuildTerms(t *testing.T) {
	b := newBench(t)
	b.fakeDocker("echo built; exit 7")
	b.want([]string{"build", "--offline", "."}, 3, "err: not running")
	b.start()
	b.want([]string{"build", "."}, 7, "out: built", "err: plain HTTP only", "err: receipt 7f3a9c00")
	for _, flag := range []string{"--strict", "--offline"} {
		r := b.want([]string{"build", flag, "."}, 3, "err: would not be served in full", "err: hint: without --strict")
		if strings.Contains(r.out, "built") {
			t.Errorf("%s: the build ran: %s", flag, r.out)
		}
	}
	if r := b.fake.began; len(r) != 3 || r[0].Strict || r[0].Offline || !r[1].Strict || !r[2].Offline {
		t.Errorf("began %+v", r)
	}
	s, err := b.fake.receipts.Build(t.Context(), "last")
	if err != nil || s.ExitCode != 3 || s.Ended.IsZero() {
		t.Errorf("the receipt of a refused build: %+v, %v", s.Build, err)
	}
}

func TestExecEndsAsShellsDo(t *testing.T) {
	b := newBench(t)
	b.start()
	b.want([]string{"exec", "--", "no-such-program"}, 127, "err: command not found")
	b.want([]string{"exec", "--", b.dir}, 127)
	plain := filepath.Join(b.dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.want([]string{"exec", "--", plain}, 126, "err: not executable")
	b.want([]string{"exec", "--", "sh", "-c", "kill -KILL $$"}, 137)
	if r := b.want([]string{"exec", "-q", "--", "true"}, 0); r.err != "" {
		t.Errorf("exec -q talks: %s", r.err)
	}
	b.want([]string{"exec", "echo", "--json", "-q"}, 0, "out: --json -q")
}

// TestOddOrigins keeps what package net/http says of origins off the terminal.
func TestOddOrigins(t *testing.T) {
	b := newBench(t)
	b.fake.odd = "Unsolicited response received"
	b.env = append(b.env, "SUTLER_LOG_LEVEL=debug")
	stderr := os.Stderr
	var err error
	if os.Stderr, err = os.Create(b.dir + "/stderr"); err != nil {
		t.Fatal(err)
	}
	log.SetOutput(os.Stderr)
	b.want([]string{"exec", "-q", "true"}, 0)
	os.Stderr = stderr
	for file, want := range map[string]bool{"/stderr": false, "/state/sutler.log": true} {
		text, err := os.ReadFile(b.dir + file)
		if err != nil || strings.Contains(string(text), b.fake.odd) != want {
			t.Errorf("%s: %q, %v", file, text, err)
		}
	}
}

func TestExecWithoutDaemonSaysWhy(t *testing.T) {
	b := newBench(t)
	b.fake.refuse = errors.New("store is in use")
	b.want([]string{"exec", "true"}, 1, "err: none can be started: store is in use", "err: sutler: hint: the log is in")
}
