package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"sutler/internal/config"
	"sutler/internal/control"
)

// A written configuration is what Reload reads.
type written struct {
	mu sync.Mutex
	c  config.Config
	e  error
}

func (w *written) read() (config.Config, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.c, w.e
}

func (w *written) write(change func(*config.Config)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.c)
}

// startReloading runs a daemon that reads w again, until the test ends.
func startReloading(t *testing.T, w *written) *control.Client {
	t.Helper()
	ready, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- Run(ctx, w.c, Options{Version: "test", Log: slog.New(slog.DiscardHandler), Reload: w.read, Ready: func(control.Status) { close(ready) }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return control.NewClient(w.c.Socket)
}

// asks waits until a name has an address at a resolver; "" is no answer at all.
func asks(t *testing.T, at, name, want string) {
	t.Helper()
	var got string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		m := new(miekg.Msg)
		m.SetQuestion(name, miekg.TypeA)
		client := miekg.Client{Net: "tcp"}
		answer, _, err := client.ExchangeContext(t.Context(), m, at)
		got = ""
		if err == nil && len(answer.Answer) == 1 {
			if a, ok := answer.Answer[0].(*miekg.A); ok {
				got = a.A.String()
			}
		}
		if got == want {
			return
		}
	}
	t.Errorf("%s at %s is %q, want %q", name, at, got, want)
}

// TestReload changes the configuration of a running daemon: what can be is applied, the rest
// is named, and a wrong one changes nothing.
func TestReload(t *testing.T) {
	w := &written{c: testConfig(t, "127.0.0.1:1")}
	client := startReloading(t, w)
	names, web := freeAddr(t), freeAddr(t)
	reload := func() control.Reloaded {
		t.Helper()
		r, err := client.Reload(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := reload(); len(r.Applied)+len(r.Restart) > 0 {
		t.Errorf("nothing has changed, and Reload = %+v", r)
	}
	w.write(func(c *config.Config) {
		c.DNS.Listen, c.DNS.Static, c.Intercept.Listen, c.Attach.Tools = []string{names}, []string{"db.example A 10.0.0.7"}, []string{web}, []string{"none"}
		c.Store.MaxSize, c.Credentials = 1<<30, []config.Credential{{Prefix: "https://a.example/"}}
	})
	if r := reload(); !slices.Equal(r.Applied, []string{"dns.listen", "dns.static", "intercept.listen"}) || !slices.Equal(r.Restart, []string{"credentials", "store.max_size"}) {
		t.Errorf("Reload = %+v", r)
	}
	asks(t, names, "db.example.", "10.0.0.7")
	conn, err := net.Dial("tcp", web)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := client.Status(t.Context())
	if err != nil || !slices.Equal(s.Named, []string{names}) || s.Settings["dns.listen"] != `["`+names+`"]` || s.Settings["store.max_size"] == `"1GiB"` {
		t.Errorf("Status: %v %+v", err, s)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, change := range map[string]func(*config.Config){
		"dns.static":          func(c *config.Config) { c.DNS.Static = []string{"nonsense"} },
		taken.Addr().String(): func(c *config.Config) { c.Intercept.Listen = []string{freeAddr(t), taken.Addr().String()} },
	} {
		good := w.c
		w.write(change)
		if _, err := client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Reload = %v, want something of %s", err, want)
		}
		asks(t, names, "db.example.", "10.0.0.7")
		if s, err := client.Status(t.Context()); err != nil || !slices.Equal(s.Led, []string{web}) {
			t.Errorf("listeners: %v, %v", s.Led, err)
		}
		w.write(func(c *config.Config) { *c = good })
	}

	// By signal; the connection that was open before goes on.
	w.write(func(c *config.Config) {
		c.DNS.Static, c.Intercept.Listen = []string{"db.example A 10.0.0.8"}, nil
	})
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	asks(t, names, "db.example.", "10.0.0.8")
	if c, err := net.Dial("tcp", web); err == nil {
		t.Error("a listener that is configured no more is open", c.Close())
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")); err != nil {
		t.Error(err)
	}
	if n, err := conn.Read(make([]byte, 16)); n == 0 {
		t.Errorf("a connection was cut off: %v", err)
	}

	w.mu.Lock()
	w.e = errors.New("line 3: nonsense")
	w.mu.Unlock()
	if _, err := client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("Reload = %v", err)
	}
	if _, err := control.NewClient(w.c.Socket + "x").Reload(t.Context()); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("without a daemon: %v", err)
	}
}
