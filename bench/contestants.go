package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Sizes of the bodies.
const (
	small = 4 << 10
	large = 64 << 20
)

// A contestant is a way to the origin's files.
type contestant struct {
	name string
	addr string
	host string
	// prefix is put before the path: the origin's URL where the contestant is a forward proxy.
	prefix string
	pid    int // 0: no process to measure
}

func (c contestant) target(path string) string { return c.prefix + path }

// A bench is everything that runs.
type bench struct {
	ctx         context.Context
	dir         string
	binary      string
	origin      string
	contestants []contestant
	stop        []func()
}

// newBench starts the origin, nginx and sutler.
func newBench(ctx context.Context, binary string) (_ *bench, err error) {
	b := &bench{ctx: ctx, binary: binary}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.dir, err = os.MkdirTemp("", "sutler-bench-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(b.dir, 0o755); err != nil { // nginx's workers are another user
		return nil, err
	}
	if b.origin, err = freeAddr(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if _, err := b.start("1", nil, self, "origin", b.origin); err != nil {
		return nil, err
	}
	b.contestants = []contestant{{name: "direct", addr: b.origin, host: b.origin}}
	if err := errors.Join(b.startNginx(), b.startSutler()); err != nil {
		return nil, err
	}
	for _, c := range b.contestants {
		if err := await(ctx, c.addr); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return b, pinSelf("1")
}

// start runs a program on one core, until close.
func (b *bench) start(core string, env []string, name string, args ...string) (int, error) {
	logFile, err := os.Create(filepath.Join(b.dir, filepath.Base(name)+".log"))
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("taskset", append([]string{"-c", core, name}, args...)...) //nolint:gosec,noctx // our own programs, ended by close
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	b.stop = append(b.stop, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = cmd.Wait()                          // its status says nothing new
		_ = logFile.Close()
	})
	return cmd.Process.Pid, nil
}

func (b *bench) startNginx() error {
	path, err := exec.LookPath("nginx")
	if err != nil {
		return fmt.Errorf("nginx is missing (apt-get install nginx-light): %w", err)
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	conf := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/nginx-error.log;
events { worker_connections 2048; }
http {
	access_log off; sendfile on; keepalive_requests 1000000; keepalive_timeout 300s;
	client_body_temp_path %[1]s/nb; proxy_temp_path %[1]s/np; fastcgi_temp_path %[1]s/nf; uwsgi_temp_path %[1]s/nu; scgi_temp_path %[1]s/ns;
	proxy_cache_path %[1]s/nginx keys_zone=z:10m max_size=8g inactive=1d use_temp_path=off;
	server {
		listen %[2]s;
		location / { proxy_pass http://%[3]s; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_cache z; proxy_cache_lock on; proxy_cache_valid 200 1d; }
	}
}
`, b.dir, addr, b.origin)
	file := filepath.Join(b.dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil { //nolint:gosec // no secret
		return err
	}
	pid, err := b.start("0", nil, path, "-c", file, "-p", b.dir)
	b.contestants = append(b.contestants, contestant{name: "nginx", addr: addr, host: addr, pid: pid})
	return err
}

func (b *bench) startSutler() error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(b.origin)
	env := []string{"SUTLER_LISTEN=" + addr, "SUTLER_BRIDGES=false", "SUTLER_SOCKET=" + b.dir + "/s/sutler.sock",
		"SUTLER_STORE_DIR=" + b.dir + "/cache", "SUTLER_STORE_STATE=" + b.dir + "/state",
		"SUTLER_STORE_MIN_FREE=0", "SUTLER_HOSTS=generic=" + host, "SUTLER_UPSTREAM_ALLOW_LOOPBACK=" + b.origin, "SUTLER_LOG_LEVEL=warn"}
	if err := os.Mkdir(b.dir+"/s", 0o700); err != nil {
		return err
	}
	pid, err := b.start("0", env, b.binary, "serve")
	b.contestants = append(b.contestants, contestant{name: "sutler", addr: addr, host: b.origin, prefix: "http://" + b.origin, pid: pid})
	return err
}

// close ends what runs, last started first, and removes the files.
func (b *bench) close() {
	for _, stop := range slices.Backward(b.stop) {
		stop()
	}
	_ = os.RemoveAll(b.dir) // a left-over temporary folder harms nobody
}

// freeAddr returns an address on loopback that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// await waits until somebody listens.
func await(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		c, err := dial(ctx, addr)
		if err == nil {
			return c.conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func pinSelf(core string) error {
	out, err := exec.Command("taskset", "-a", "-c", "-p", core, strconv.Itoa(os.Getpid())).CombinedOutput() //nolint:gosec,noctx // short
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, out)
	}
	return nil
}

// fetches returns how often the origin was asked for a path.
func (b *bench) fetches(path string) (float64, error) {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://"+b.origin+"/count"+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
}
