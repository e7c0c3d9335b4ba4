package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/freshness"
)

// piped returns a client whose connections all lead to serve, through memory, so that time
// can be fake. The other ends stop before t does.
func piped(t *testing.T, serve func(net.Conn)) *Client {
	var ends sync.WaitGroup
	t.Cleanup(ends.Wait)
	return &Client{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		},
		connect: func(context.Context, netip.AddrPort) (net.Conn, error) {
			here, there := net.Pipe()
			ends.Go(func() {
				defer there.Close()
				if _, err := http.ReadRequest(bufio.NewReader(there)); err == nil {
					serve(there)
				}
			})
			return here, nil
		},
	}
}

// silence waits until the other end hangs up.
func silence(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func TestTimeouts(t *testing.T) {
	drip := func(n int, pause time.Duration) func(net.Conn) {
		return func(conn net.Conn) {
			_, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n)
			for i := 0; i < n && err == nil; i++ {
				time.Sleep(pause)
				_, err = io.WriteString(conn, "x")
			}
		}
	}
	for _, tt := range []struct {
		name     string
		kind     ecosystem.Kind
		serve    func(net.Conn)
		want     error
		min, max time.Duration
	}{
		{"no header", ecosystem.Artifact, silence, ErrUnavailable, 60 * time.Second, 61 * time.Second},
		{"a large artifact, slowly", ecosystem.Artifact, drip(2000, 50*time.Second), nil, 100000 * time.Second, 100000 * time.Second},
		{"an artifact that stops", ecosystem.Artifact, drip(3, 70*time.Second), ErrUnavailable, 60 * time.Second, 60 * time.Second},
		{"a document, slowly", ecosystem.Document, drip(11, 50*time.Second), nil, 550 * time.Second, 550 * time.Second},
		{"a document, too slowly", ecosystem.Document, drip(100, 50*time.Second), ErrUnavailable, 10 * time.Minute, 10 * time.Minute},
		{"endless informational answers", ecosystem.Artifact, func(conn net.Conn) {
			var err error
			for err == nil {
				_, err = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </"+strings.Repeat("x", 1000)+">\r\n\r\n")
			}
		}, ErrUnavailable, 0, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := piped(t, tt.serve)
				defer c.Close()
				start := time.Now()
				resp, err := c.Fetch(t.Context(), ecosystem.Resource{URL: "http://x.example/a", Kind: tt.kind}, freshness.Validator{})
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close() // it has ended
				}
				if took := time.Since(start); !errors.Is(err, tt.want) || took < tt.min || took > tt.max {
					t.Errorf("ended with %v after %v, want %v after %v to %v", err, took, tt.want, tt.min, tt.max)
				}
			})
		})
	}
}

func TestDialTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := piped(t, nil)
		c.connect = func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		defer c.Close()
		start := time.Now()
		if _, err := c.DialContext(t.Context(), "tcp", "x.example:443"); !errors.Is(err, ErrUnavailable) || time.Since(start) != dialTimeout {
			t.Errorf("DialContext = %v after %v", err, time.Since(start))
		}
		start = time.Now()
		v := freshness.Validator{ETag: `"x"`}
		_, err := c.Fetch(t.Context(), ecosystem.Resource{URL: "http://x.example/a"}, v)
		if took := time.Since(start); !errors.Is(err, ErrUnavailable) || took > 21*time.Second {
			t.Errorf("conditional Fetch = %v after %v", err, took)
		}
	})
}
