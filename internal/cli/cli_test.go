package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ecosystem"
	"sutler/internal/index"
	"sutler/internal/receipt"
	"sutler/internal/receipt/memory"
)

// A fake is a daemon that serves no clients: only its control socket is real.
type fake struct {
	receipts *memory.Store
	items    []control.Item
	damaged  int64
	young    int64 // bytes that cannot be pruned yet
	settings map[string]string
	odd      string         // what package net/http says while it serves
	shown    func()         // waits until the first report was shown; nil if nobody looks
	refuse   error          // Serve fails with it
	served   config.Config  // the configuration of the last Serve
	lines    []receipt.Line // what every build is served
	began    []control.BuildRequest
	pruned   control.PruneRequest
	stop     context.CancelFunc
}

func (f *fake) Status(context.Context) (control.Status, error) {
	return control.Status{Version: "1.2.3", PID: os.Getpid(), Settings: f.settings, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Listen: []string{"127.0.0.1:7885"}, Store: control.Store{Dir: "/c", Bytes: 1 << 30, Blobs: 3, MaxSize: 20 << 30, Free: 5 << 30},
		Counters: control.Counters{Answers: map[string]int64{"hit": 1200, "miss": 34}, Bytes: 1000, FromStore: 998},
		CA:       control.CA{Fingerprint: "ab12", Names: []string{"a.example"}, PEM: "-----BEGIN"}}, nil
}

func (f *fake) Stop() { f.stop() }

// Reload implements control.Daemon.
func (f *fake) Reload(context.Context) (control.Reloaded, error) {
	return control.Reloaded{Applied: []string{"dns.bridges"}, Restart: []string{"listen"}}, f.refuse
}

// RotateCA implements control.Daemon.
func (f *fake) RotateCA(context.Context, control.RotateRequest) (control.CA, error) {
	return control.CA{}, errors.New("not here")
}

func (f *fake) Begin(ctx context.Context, r control.BuildRequest) (control.Build, error) {
	f.began = append(f.began, r)
	id := "7f3a9c0000000000"
	b := control.Build{ID: id, Proxy: "http://" + id + ":x@127.0.0.1:7885",
		Env:   []ecosystem.Setting{{Name: "http_proxy", Value: "http://127.0.0.1:7885"}, {Name: "NO_PROXY", Value: "localhost"}, {Name: "SSL_CERT_FILE", Value: r.Dir + "/ca.pem"}},
		Files: map[string][]byte{"ca.pem": []byte("roots"), "sub/apt.conf": []byte("x")}}
	if err := f.receipts.Begin(ctx, receipt.Build{ID: id, Command: r.Command, Started: time.Unix(1e9, 0)}); err != nil {
		return b, err
	}
	for _, l := range f.lines {
		l.Build = id
		f.receipts.Append(l)
	}
	return b, nil
}

func (f *fake) End(ctx context.Context, id string, code int) (receipt.Summary, error) {
	if err := f.receipts.End(ctx, id, time.Unix(1e9+9, 0), code); err != nil {
		return receipt.Summary{}, err
	}
	return f.receipts.Build(ctx, id)
}

func (f *fake) List(ctx context.Context, limit int) ([]receipt.Summary, error) {
	return f.receipts.Builds(ctx, limit)
}

func (f *fake) Show(ctx context.Context, id string) (control.Receipt, error) {
	s, err := f.receipts.Build(ctx, id)
	if err != nil {
		return control.Receipt{}, err
	}
	lines, err := f.receipts.Lines(ctx, s.ID)
	return control.Receipt{Summary: s, Lines: lines}, err
}

func (f *fake) Items(_ context.Context, match string, _ int) (out []control.Item, _ error) {
	for _, i := range f.items {
		if strings.Contains(i.URL, match) {
			out = append(out, i)
		}
	}
	return out, nil
}

func (f *fake) Item(_ context.Context, name string) (control.Item, error) {
	for _, i := range f.items {
		if i.URL == name {
			return i, nil
		}
	}
	return control.Item{}, index.ErrNotFound
}

func (f *fake) Usage(context.Context) ([]control.Usage, error) {
	return []control.Usage{{Ecosystem: "apt", Kind: "artifact", Entries: 2, Bytes: 2048}}, nil
}

func (f *fake) Prune(_ context.Context, r control.PruneRequest, report func(control.Progress)) (control.Removed, error) {
	f.pruned = r
	f.report(report)
	return control.Removed{Blobs: 2, Bytes: 1<<30 - r.MaxSize - f.young}, nil
}

func (f *fake) Purge(_ context.Context, r control.PurgeRequest, report func(control.Progress)) (control.Removed, error) {
	f.report(report)
	return control.Removed{Entries: int64(len(r.Match)), Blobs: 1, Bytes: 1024}, nil
}

// report reports progress and waits until it was seen.
func (f *fake) report(report func(control.Progress)) {
	report(control.Progress{Blobs: 1, Total: 3, Bytes: 2048})
	if f.shown != nil {
		f.shown()
	}
}

func (f *fake) Verify(_ context.Context, report func(control.Progress)) (control.Progress, error) {
	f.report(report)
	return control.Progress{Blobs: 3, Total: 3, Bytes: 3072, Damaged: f.damaged}, nil
}

// serve is Program.Serve: it answers on the control socket until it is told to stop.
func (f *fake) serve(ctx context.Context, service Service) error {
	c := service.Config
	if f.refuse != nil {
		return f.refuse
	}
	f.served = c
	if f.odd != "" {
		log.Print(f.odd)
	}
	ctx, f.stop = context.WithCancel(ctx)
	defer f.stop()
	l, err := net.Listen("unix", c.Socket)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: control.Handler(f, f, f)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	s, _ := f.Status(ctx)
	service.Ready(s)
	<-ctx.Done()
	if err := srv.Close(); err != nil {
		return err
	}
	<-done
	return nil
}

// A result is what a command line did.
type result struct {
	code     int
	out, err string
}

// A bench runs command lines against a fake in folders of their own.
type bench struct {
	t    *testing.T
	fake *fake
	dir  string
	env  []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	return &bench{t: t, fake: &fake{receipts: memory.New()}, dir: dir, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "SUTLER_SOCKET=" + dir + "/s", "SUTLER_CONFIG=" + os.DevNull,
		"SUTLER_STORE_DIR=" + dir + "/cache", "SUTLER_STORE_STATE=" + dir + "/state",
		"SUTLER_ATTACH_ROOT=" + dir}} // the tools of the machine that runs the tests are left alone
}

// start runs `sutler serve` until the test ends.
func (b *bench) start() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	ready, done := make(chan control.Status, 1), make(chan error, 1)
	c := config.Config{Socket: b.dir + "/s"}
	go func() { done <- b.fake.serve(ctx, Service{Config: c, Ready: func(s control.Status) { ready <- s }}) }()
	select {
	case <-ready:
	case err := <-done:
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { cancel(); <-done })
}

func (b *bench) run(args ...string) result {
	b.t.Helper()
	var out, errs bytes.Buffer
	code := Main(b.t.Context(), Program{Version: "1.2.3", Args: args, Env: b.env, Stdin: strings.NewReader("in"),
		Stdout: &out, Stderr: &errs, Serve: b.fake.serve,
		Names: func(c config.Config) (control.Names, error) {
			return control.Names{Listen: c.DNS.Listen, Zones: []control.NamesZone{{Name: "docker", Kind: "containers", By: []string{"unix:///x"}}}, Rules: "table ip sutler\n"}, nil
		}})
	return result{code, out.String(), errs.String()}
}

// want fails the test unless a command line ends with the code and says the texts:
// "out: …" on standard output, "err: …" on standard error.
func (b *bench) want(args []string, code int, texts ...string) result {
	b.t.Helper()
	r := b.run(args...)
	if r.code != code {
		b.t.Errorf("sutler %q: exit %d, want %d\n%s%s", args, r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		where, part, _ := strings.Cut(text, ": ")
		if got := map[string]string{"out": r.out, "err": r.err}[where]; !strings.Contains(got, part) {
			b.t.Errorf("sutler %q: std%s lacks %q:\n%s", args, where, part, got)
		}
	}
	return r
}

func TestUsageErrors(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{
		{"nonsense"}, {"status", "extra"}, {"status", "--nonsense"}, {"receipt", "nonsense"}, {"receipt", "show", "a", "b"},
		{"inspect"}, {"exec"}, {"exec", "--"}, {"purge"}, {"purge", ""}, {"purge", "a", "--all"}, {"config", "nonsense"},
		{"prune", "--max-size", "5"}, {"prune", "--older", "5"}, {"prune", "--older", "-1h"}, {"ls", "--limit", "many"}, {"ca", "shwo"},
	} {
		b.want(args, 2, "err: sutler: error: ", "err: sutler: hint: ")
	}
}

func TestReload(t *testing.T) {
	b := newBench(t)
	b.want([]string{"reload"}, 3, "err: sutler is not running")
	b.start()
	b.want([]string{"reload"}, 0, "out: applied: dns.bridges\nneeds a restart: listen\n")
	b.fake.refuse = errors.New("dns.static: line 3")
	b.want([]string{"reload"}, 1, "err: dns.static: line 3")
}

func TestHelp(t *testing.T) {
	b := newBench(t)
	b.want(nil, 0, "out: sutler up", "out: Exit codes")
	b.want([]string{"help", "exec"}, 0, "out: sutler exec [flags] -- COMMAND")
	b.want([]string{"receipt"}, 0, "out: Available Commands")
}

func TestNotRunning(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{{"status"}, {"receipt", "ls"}, {"receipt", "show"}, {"ls"}, {"inspect", "x"}, {"du"}, {"stats"},
		{"prune"}, {"purge", "x"}, {"verify"}, {"ca", "show"}, {"healthcheck"}, {"status", "--watch"}} {
		b.want(args, 3, "err: sutler: error: sutler is not running", "err: sutler: hint: start it with: sutler up")
	}
	b.want([]string{"down"}, 0, "err: sutler is not running")
}

func TestNames(t *testing.T) {
	b := newBench(t)
	b.want([]string{"dns"}, 0, "out: listening   nowhere", "out: containers  docker  unix:///x")
	b.want([]string{"dns", "--show"}, 0, "out: table ip sutler")
	b.want([]string{"dns", "--json"}, 0, `out: "kind": "containers"`)
}

func TestConfigurationErrors(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "bad.toml")
	if err := os.WriteFile(file, []byte("[store]\nmax_sise = \"1GiB\"\nmin_free = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"config", "check", file}, {"--config", file, "serve"}, {"--config", file, "config", "show"}, {"--config", file, "status"}} {
		b.want(args, 2, "err: "+file+":2:1: store.max_sise: unknown key; did you mean store.max_size?",
			"err: sutler: error: "+file+":3:1: store.min_free: write a size")
	}
	b.start()
	b.want([]string{"--config", file, "--socket", b.dir + "/s", "status"}, 0, "out: running since")
	b.want([]string{"config", "check", b.dir + "/none"}, 2, "err: no such file")
	b.want([]string{"--config", b.dir + "/none", "status"}, 2, "err: "+b.dir+"/none: no such file")
}

func TestResults(t *testing.T) {
	b := newBench(t)
	b.fake.items = []control.Item{{Key: "apt https://a.example/x", Ecosystem: "apt", URL: "https://a.example/x", Kind: "artifact",
		Digest: "sha256:00", Size: 2000, Present: true, Trust: "signed", Builds: []string{"7f3a"}}, {URL: "https://b.example/y", Trust: "stated"}}
	b.start()
	for _, tt := range []struct {
		args string
		want []string
	}{
		{"status", []string{"out: 1.2.3 running since", "out: 1,234: hit 1,200, miss 34", "out: 99.8 % of 1.0 kB", "out: trouble     none"}},
		{"status --json", []string{`out: "pid":`}},
		{"ls a.exa", []string{"out: https://a.example/x", "out: 2.0 kB", "out: signed"}},
		{"ls --json", []string{`out: "url": "https://b.example/y"`}},
		{"inspect https://a.example/x", []string{"out: sha256:00", "out: 2000 bytes", "out: 7f3a"}},
		{"du", []string{"out: apt", "out: 2.0 KiB", "out: on disk"}},
		{"du --json", []string{`out: "maxSize": 21474836480`}},
		{"stats", []string{"out: hit", "out: 1,200", "out: 99.8 %"}},
		{"stats --json", []string{`out: "hit": 1200`}},
		{"prune --dry-run --max-size 256MiB", []string{"out: would delete 2 files, 768 MiB"}},
		{"prune --max-size 0", []string{"out: deleted 2 files, 1024 MiB"}},
		{"purge lib", []string{"out: deleted 1 file, 1.0 KiB; 3 entries forgotten"}},
		{"purge --all --json", []string{`out: "blobs": 1`}},
		{"verify", []string{"out: 3 files, 3.0 KiB: 0 damaged"}},
		{"verify --json", []string{`out: "done": true`}},
		{"ca show", []string{"out: a.example", "out: ab12"}},
		{"ca show --pem", []string{"out: -----BEGIN"}},
		{"receipt ls --json", []string{"out: []"}},
		{"version", []string{"out: sutler 1.2.3 ("}},
		{"version --json", []string{`out: "version": "1.2.3"`}},
	} {
		r := b.want(strings.Fields(tt.args), 0, tt.want...)
		if strings.Contains(tt.args, "--json") && !json.Valid([]byte(r.out)) {
			t.Errorf("sutler %s: not JSON: %s", tt.args, r.out)
		}
		if r.err != "" {
			t.Errorf("sutler %s talks: %s", tt.args, r.err)
		}
	}
	b.want([]string{"inspect", "none"}, 1, `err: nothing is stored under "none"`, "err: hint: sutler ls PATTERN")
	b.want([]string{"receipt", "show", "beef"}, 1, `err: there is no receipt "beef"`, "err: hint: sutler receipt ls")
	b.want([]string{"receipt", "show"}, 1, "err: there is no receipt yet", "err: hint: sutler build")
	b.want([]string{"prune", "--older", "90d", "--dry-run"}, 0, "out: would delete 2 files")
	if want := (control.PruneRequest{Older: 90 * 24 * time.Hour, DryRun: true}); b.fake.pruned != want {
		t.Errorf("asked for %+v, want %+v", b.fake.pruned, want)
	}
	b.fake.young = 100
	b.want([]string{"prune", "--max-size", "1MiB"}, 0, "out: deleted 2 files", "err: files of the last seconds are kept")
	b.fake.damaged = 2
	b.want([]string{"verify"}, 4, "out: 2 damaged", "err: sutler: error: 2 files damaged")
}

func TestConfigCommands(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(b.dir, "new", "sutler.toml")
	b.want([]string{"--config", file, "config", "init"}, 0, "err: wrote "+file)
	b.want([]string{"--config", file, "config", "init"}, 1, "err: --force")
	b.want([]string{"--config", file, "config", "init", "--force"}, 0)
	b.want([]string{"config", "check", file}, 0, "out: no mistakes in 1 file")
	r := b.want([]string{"config", "init", "--stdout"}, 0, "out: #max_size = \"20GiB\"")
	if r.err != "" {
		t.Errorf("config init --stdout talks: %s", r.err)
	}
	b.env = append(b.env, "SUTLER_STORE_MAX_SIZE=3GiB", "SUTLER_STOR_DIR=/x")
	b.want([]string{"config", "show", "--origin"}, 0, `out: = "3GiB"`, "out: # SUTLER_STORE_MAX_SIZE", "out: # default")
	b.want([]string{"config", "show", "--json"}, 0, `out: "origin": "SUTLER_STORE_MAX_SIZE"`)
	b.want([]string{"config", "check"}, 0, "err: ignored: SUTLER_STOR_DIR: unknown variable; did you mean SUTLER_STORE_DIR?")
	b.env = append(b.env, "SUTLER_POLICY_STRICT=perhaps")
	b.want([]string{"config", "check"}, 2, "err: SUTLER_POLICY_STRICT: policy.strict: write true or false")
}

func TestDownDeletesOnlyWhatIsOurs(t *testing.T) {
	b := newBench(t)
	for _, f := range []string{"cache/blobs/sha256/ab", "cache/format", "cache/holiday.jpg", "state/index.db", "state/index.db-wal", "state/ca/ca.pem"} {
		path := filepath.Join(b.dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.want([]string{"down", "--purge", "--dry-run"}, 0, "err: would delete "+b.dir+"/cache/blobs", "err: would delete "+b.dir+"/state/index.db-wal")
	if _, err := os.Stat(b.dir + "/state/ca/ca.pem"); err != nil {
		t.Errorf("--dry-run deleted: %v", err)
	}
	b.want([]string{"down", "--purge"}, 0)
	if _, err := os.Stat(b.dir + "/cache/holiday.jpg"); err != nil {
		t.Errorf("what is not ours was deleted: %v", err)
	}
	for _, gone := range []string{"/cache/blobs", "/state"} {
		if _, err := os.Stat(b.dir + gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", gone, err)
		}
	}
}

func TestSummaryLine(t *testing.T) {
	build := receipt.Build{ID: "7f3a9c0011223344", Took: 9 * time.Second}
	for _, tt := range []struct {
		name   string
		s      receipt.Summary
		before *receipt.Summary
		want   string
	}{
		{"nothing", receipt.Summary{Build: build}, nil, "sutler  no files were fetched   receipt 7f3a9c00"},
		{"all new", receipt.Summary{Build: build, Files: 214, Bytes: 486e6, Downloaded: 214, Upstream: 486e6, Verified: 214}, nil,
			"sutler  214 files, 486 MB: 0 % from store   verified 214/214   receipt 7f3a9c00"},
		{"one new", receipt.Summary{Build: build, Files: 215, Bytes: 487e6, FromStore: 486_500_000, Downloaded: 1, Upstream: 63e3, Verified: 215},
			&receipt.Summary{Build: receipt.Build{Took: 38 * time.Second}},
			"sutler  215 files, 487 MB: 99.8 % from store, 1 downloaded (63 kB)   verified 215/215   38 s → 9.0 s   receipt 7f3a9c00"},
		{"trouble", receipt.Summary{Build: build, Files: 2, Bytes: 10, FromStore: 10, Verified: 1, Unvouched: 1, Tunnelled: 3, Failed: 2}, nil,
			"sutler  2 files, 10 B: 100 % from store   verified 1/2   1 unvouched   3 tunnelled   2 failed   receipt 7f3a9c00"},
	} {
		if got := summaryLine(tt.s, tt.before); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestWriteBuilds(t *testing.T) {
	at := time.Unix(1e9, 0)
	for _, tt := range []struct {
		code int
		want string
	}{{0, " 0 "}, {7, " 7 "}, {receipt.ExitUnknown, " - "}} {
		var out strings.Builder
		b := receipt.Build{ID: "7f3a9c0011223344", Started: at, Ended: at, Took: time.Second, ExitCode: tt.code}
		if err := writeBuilds(&out, []receipt.Summary{{Build: b}}); err != nil {
			t.Fatal(err)
		}
		if _, after, _ := strings.Cut(out.String(), "1.0 s"); !strings.Contains(after, tt.want) || strings.Contains(after, "-1") {
			t.Errorf("exit code %d is shown as %q", tt.code, after)
		}
	}
}

func TestSomeFiles(t *testing.T) {
	for in, want := range map[string]string{"": "", "a b c d": "a, b, c, d", "a b c d e": "a, b, c and 2 more files"} {
		if got := someFiles(strings.Fields(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestShareOf(t *testing.T) {
	for _, tt := range []struct {
		part, whole int64
		want        string
	}{{0, 0, "0 %"}, {5, 0, "0 %"}, {1, 2, "50 %"}, {9999, 10000, "99.9 %"}, {1, 1, "100 %"}, {1, 3, "33.3 %"}} {
		if got := shareOf(tt.part, tt.whole); got != tt.want {
			t.Errorf("shareOf(%d, %d) = %s, want %s", tt.part, tt.whole, got, tt.want)
		}
	}
}

func TestParseBuild(t *testing.T) {
	for _, tt := range []struct{ args, engine, receipt, rest string }{
		{"-t app .", "auto", "", "-t app ."},
		{"--engine podman --strict -t app --receipt=r.json .", "podman", "r.json", "-t app ."},
		{"--build-arg --strict --label --json -- --engine x", "auto", "", "--build-arg --strict --label --json -- --engine x"},
		{"-f - --no-cache --progress=plain .", "auto", "", "-f - --no-cache --progress=plain ."},
	} {
		a := &app{}
		b, err := a.parseBuild(strings.Fields(tt.args))
		if got := strings.Join(b.rest, " "); err != nil || b.engine != tt.engine || b.receipt != tt.receipt || got != tt.rest {
			t.Errorf("parseBuild(%s) = engine %s, receipt %s, rest %s, %v", tt.args, b.engine, b.receipt, got, err)
		}
	}
	for _, bad := range []string{"--engine", "--engine lorry", "--strict=yes", "-t x --receipt"} {
		if _, err := (&app{}).parseBuild(strings.Fields(bad)); err == nil {
			t.Errorf("parseBuild(%s) = nil, want an error", bad)
		}
	}
}
