package ingress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/index"
	"sutler/internal/metrics"
)

// serverMark is the environment variable that makes this test program a server, so that
// its CPU time can be told from that of the load: its value is the path of a blob.
const serverMark = "SUTLER_TEST_SERVER"

// warm answers as an engine does that has everything in memory.
type warm struct {
	small []byte
	path  string
	size  int64
}

// Classify knows nothing.
func (*warm) Classify(ecosystem.Request) (ecosystem.Resource, ecosystem.Ecosystem, error) {
	return ecosystem.Resource{}, nil, ecosystem.ErrUnknown
}

// Serve answers /small from memory and everything else with the file.
func (s *warm) Serve(_ context.Context, req ecosystem.Request) (*engine.Answer, error) {
	a := &engine.Answer{Outcome: engine.Hit, Resource: ecosystem.Resource{Ecosystem: "npm", Kind: ecosystem.Artifact, URL: "https://npm.example/x"},
		Type: "application/octet-stream", ETag: `"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`,
		Modified: modified, Age: time.Hour, Trust: index.Signed, Size: int64(len(s.small)), Bytes: s.small}
	if req.URL.Path == "/small" {
		return a, nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	b := &blobReader{ReadSeekCloser: f, ReaderAt: f, file: f, verified: true, size: s.size}
	a.Bytes, a.Body, a.Blob, a.Size = nil, b, b, s.size // closed when it is collected: there is no engine to do it
	return a, nil
}

// serveChild serves until its standard input ends. Each line there is answered with the
// CPU time spent so far, in nanoseconds.
func serveChild() int {
	path := os.Getenv(serverMark)
	info, err := os.Stat(path)
	if err != nil {
		return 1
	}
	p, err := New(Options{Engine: &warm{make([]byte, 4<<10), path, info.Size()}, Passer: &passer{}, Receipts: &lines{},
		Profiles: profiles, Metrics: metrics.New("bench", "npm"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 1
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	s := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := &url.URL{Scheme: "https", Host: "npm.example", Path: r.URL.Path, RawQuery: r.URL.RawQuery}
		p.Respond(w, r, p.Request(r, u, Build(r)))
	}), slog.New(slog.DiscardHandler))
	go func() { _ = s.Serve(Listener(l, nil)) }() // until the process ends
	fmt.Println(l.Addr())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return 1
		}
		fmt.Println(u.Utime.Nano() + u.Stime.Nano())
	}
	return 0
}

// A child is a server in a process of its own.
type child struct {
	address string
	in      io.WriteCloser
	out     *bufio.Scanner
}

// startChild starts one with a blob of size bytes, under the commands given, if any.
func startChild(tb testing.TB, size int64, under ...string) *child {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "blob")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		tb.Fatal(err)
	}
	args := append(under, os.Args[0])
	cmd := exec.CommandContext(tb.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), serverMark+"="+path, "GOMAXPROCS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	c := &child{in: in, out: bufio.NewScanner(out)}
	if !c.out.Scan() {
		tb.Skipf("%v does not start", args)
	}
	c.address = c.out.Text()
	return c
}

// cpu returns the CPU time that the child has used.
func (c *child) cpu(tb testing.TB) time.Duration {
	tb.Helper()
	if _, err := io.WriteString(c.in, "\n"); err != nil || !c.out.Scan() {
		tb.Fatalf("the server is gone: %v", err)
	}
	n, err := strconv.ParseInt(c.out.Text(), 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return time.Duration(n)
}

// load sends n requests for path over conns connections, each as soon as the one before
// is answered.
func load(tb testing.TB, address, path string, conns, n int) {
	tb.Helper()
	var group sync.WaitGroup
	for i := range conns {
		share := n / conns
		if i < n%conns {
			share++
		}
		group.Go(func() {
			if err := loadOne(address, path, share); err != nil {
				tb.Error(err)
			}
		})
	}
	group.Wait()
}

// loadOne sends n requests over one connection.
func loadOne(address, path string, n int) error {
	if n == 0 {
		return nil
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: h\r\nUser-Agent: npm/10\r\nAccept: */*\r\n\r\n")
	buf := make([]byte, 256<<10)
	r := bufio.NewReaderSize(c, 64<<10)
	for range n {
		if _, err := c.Write(request); err != nil {
			return err
		}
		size, err := head(r)
		if err != nil {
			return err
		}
		for size > 0 {
			m, err := r.Read(buf[:min(int64(len(buf)), size)])
			if err != nil {
				return err
			}
			size -= int64(m)
		}
	}
	return nil
}

// head reads the head of an answer and returns the length of its body.
func head(r *bufio.Reader) (size int64, err error) {
	size = -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			return size, nil
		}
		if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if size, err = strconv.ParseInt(strings.TrimSpace(v), 10, 64); err != nil {
				return 0, err
			}
		}
	}
}

// BenchmarkServeSmall measures a warm answer of 4 KiB over plain HTTP, 64 connections:
// the CPU time is that of the server alone.
func BenchmarkServeSmall(b *testing.B) {
	c := startChild(b, 1)
	load(b, c.address, "/small", 64, 6400)
	before := c.cpu(b)
	b.SetBytes(4 << 10)
	b.ResetTimer()
	load(b, c.address, "/small", 64, b.N)
	b.StopTimer()
	b.ReportMetric(float64(c.cpu(b)-before)/float64(b.N)/1000, "cpu-us/req")
}

// BenchmarkServeFile measures a warm answer of 64 MiB from a file over plain HTTP.
func BenchmarkServeFile(b *testing.B) {
	const size = 64 << 20
	c := startChild(b, size)
	load(b, c.address, "/file", 1, 2)
	before := c.cpu(b)
	b.SetBytes(size)
	b.ResetTimer()
	load(b, c.address, "/file", 1, b.N)
	b.StopTimer()
	b.ReportMetric(float64(c.cpu(b)-before)/float64(b.N)/size, "cpu-s/GB")
}

// quiet is a response writer that costs nothing.
type quiet struct{ h http.Header }

// Header returns the fields.
func (q quiet) Header() http.Header { return q.h }

// Write drops p.
func (q quiet) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader does nothing.
func (q quiet) WriteHeader(int) {}

// BenchmarkRespond measures what this package adds to net/http for a small answer.
func BenchmarkRespond(b *testing.B) {
	p, err := New(Options{Engine: &warm{small: make([]byte, 4<<10)}, Passer: &passer{}, Receipts: &lines{},
		Profiles: profiles, Metrics: metrics.New("bench", "npm"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.Context(), "GET", "https://npm.example/small", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.RemoteAddr = "172.17.0.2:4711"
	w := quiet{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		p.Respond(w, r, p.Request(r, r.URL, Build(r)))
	}
}

// traced starts a child whose calls that send are traced, and returns it with a function
// that returns the traced lines.
func traced(t *testing.T, size int64) (*child, func() []string) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	c := startChild(t, size, "strace", "-f", "-qq", "-e", "trace=sendfile,write,writev", "-e", "signal=none", "-o", trace)
	return c, func() []string {
		c.cpu(t) // an answer means that what came before is done
		got, err := os.ReadFile(trace)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(string(got), "\n")
	}
}

func TestLargeBlobsAreSentBySendfile(t *testing.T) {
	const size = 4 << 20
	c, calls := traced(t, size)
	load(t, c.address, "/file", 1, 1)
	var sent int
	for _, line := range calls() {
		if i := strings.LastIndex(line, "= "); strings.Contains(line, "sendfile") && i > 0 {
			n, _ := strconv.Atoi(strings.Fields(line[i+2:])[0]) // "-1 EAGAIN" and "?" count nothing
			sent += max(0, n)
		}
	}
	if sent < size-64<<10 {
		t.Errorf("%d of %d bytes went by sendfile", sent, size)
	}
}

func TestSmallAnswersAreSentAtOnce(t *testing.T) {
	c, calls := traced(t, 1)
	const requests = 20
	load(t, c.address, "/small", 1, requests)
	var sent int
	for _, line := range calls() {
		// Pieces of 4 KiB or more are answers; the others are the child's own talk.
		if i := strings.LastIndex(line, "= "); i > 0 && strings.Contains(line, "write") && len(strings.Fields(line[i+2:])[0]) >= 4 {
			sent++
		}
	}
	if sent != requests {
		t.Errorf("%d calls for %d answers", sent, requests)
	}
}
