package probe

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// aSutler answers as one does: ready, a first request that works and one that does not,
// and TLS behind CONNECT by the server's own certificate.
func aSutler(t *testing.T) (endpoint, roots string) {
	t.Helper()
	inner := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(inner.Close)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")                                                // the client notices
			_ = tls.Server(c, &tls.Config{Certificates: inner.TLS.Certificates}).HandshakeContext(r.Context()) // likewise
		case r.URL.Path == "/npm/x":
			http.Error(w, "lookup npm.example: no such host", http.StatusBadGateway)
		}
	}))
	t.Cleanup(front.Close)
	return front.Listener.Addr().String(), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: inner.Certificate().Raw}))
}

func TestLook(t *testing.T) {
	endpoint, roots := aSutler(t)
	s := Spec{Endpoint: endpoint, TLS: "example.com", Roots: roots, Names: []string{"localhost"}, Requests: []Request{{"apt", "/apt/x"}, {"npm", "/npm/x"}}}
	r := Look(t.Context(), s)
	if r.Connect.Kind != Fine || r.Ready.Status != 200 || r.TLS.Kind != Fine || r.Requests[0].Kind != Fine || r.Names[0].Kind != Fine {
		t.Errorf("%+v", r)
	}
	if q := r.Requests[1]; q.Kind != Failed || !strings.Contains(q.Error, "no such host") || q.Name != "npm" {
		t.Errorf("%+v", q)
	}
	s.Roots = ""
	if r := Look(t.Context(), s); r.TLS.Kind != Distrusted {
		t.Errorf("without the authority: %+v", r.TLS)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Endpoint = l.Addr().String()
	_ = l.Close() // nobody listens there now
	if r := Look(t.Context(), s); r.Connect.Kind != Closed || len(r.Requests) > 0 {
		t.Errorf("nobody listens: %+v", r)
	}
	s.Others = []string{s.Endpoint, endpoint}
	t.Setenv("http_proxy", "http://build:x@proxy.example:7885")
	if r := Look(t.Context(), s); r.At != endpoint || len(r.Requests) != 2 || r.Proxy != "proxy.example:7885" {
		t.Errorf("somebody else listens: %+v", r)
	}
	if r := Look(t.Context(), Spec{Names: []string{"localhost"}}); r.Connect.Kind != "" || r.Names[0].Kind != Fine {
		t.Errorf("without an endpoint: %+v", r)
	}
}

// TestLed asks for names until they lead to an address, and hosts whoever they are.
func TestLed(t *testing.T) {
	host := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(host.Close)
	at := host.Listener.Addr().String()
	s := Spec{Names: []string{"localhost"}, Led: "127.0.0.1", Await: time.Minute, Hosts: []string{at}}
	r := Look(t.Context(), s)
	if r.Names[0].Kind != Fine || r.Hosts[0].Status != http.StatusNotFound || r.Hosts[0].Name != "https://"+at+"/" {
		t.Errorf("%+v", r)
	}
	host.Close()
	s.Led, s.Await = "192.0.2.80", time.Millisecond
	if r := Look(t.Context(), s); r.Names[0].Kind != Failed || !strings.Contains(r.Names[0].Error, "leads to 127.0.0.1") && !strings.Contains(r.Names[0].Error, "leads to ::1") || r.Hosts[0].Status != 0 {
		t.Errorf("elsewhere, and down: %+v", r)
	}
}

func TestKinds(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Kind
	}{
		{&net.DNSError{IsNotFound: true}, Unresolved},
		{&net.DNSError{IsTimeout: true}, TimedOut},
		{fmt.Errorf("dial: %w", syscall.EHOSTUNREACH), Forbidden},
		{fmt.Errorf("dial: %w", syscall.ECONNREFUSED), Closed},
		{errors.New("odd"), Failed},
	} {
		if got := kindOf(tt.err); got != tt.want {
			t.Errorf("%v is %s, want %s", tt.err, got, tt.want)
		}
	}
}

// TestParse finds a report in what builders print around it.
func TestParse(t *testing.T) {
	for name, text := range map[string]string{
		"alone":         Print(Report{ID: "1"}),
		"BuildKit":      "#4 DONE\n#5 0.153 " + Print(Report{ID: "1"}) + "\n#5 DONE 0.2s\n",
		"the step too":  "Step 3/3 : RUN [\"/sutler-probe/sutler\",\"probe\",\"{}\"]\n ---> Running\n" + Print(Report{ID: "1"}) + "\n",
		"of an old one": Print(Report{ID: "0"}) + "\n" + Print(Report{ID: "1"}),
	} {
		if r, err := Parse(text, "1"); err != nil || r.ID != "1" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := Parse("building\nexec format error\n", "1"); !errors.Is(err, errNoReport) || !strings.Contains(err.Error(), "exec format error") {
		t.Errorf("no report: %v", err)
	}
}

// TestGone tells who has ended from who runs.
func TestGone(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[string]bool{Owner(): true, "": true, strconv.Itoa(cmd.Process.Pid): true, strconv.Itoa(os.Getppid()): false} {
		if got := Gone(owner); got != want {
			t.Errorf("Gone(%q) = %v", owner, got)
		}
	}
}
