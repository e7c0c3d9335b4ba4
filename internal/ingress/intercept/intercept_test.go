package intercept

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sutler/internal/ingress"
	"sutler/internal/ingress/ingresstest"
	"sutler/internal/policy"
)

func TestIntercepted(t *testing.T) {
	g := newRig(t, nil, nil)
	for _, h2 := range []bool{false, true} {
		c := g.client(h2, g.roots)
		for target, want := range map[string]string{
			"https://npm.example/a%2fb?c":    "GET https://npm.example/a%2fb?c ab12",
			"https://cdn.eu.files.example/x": "GET https://cdn.eu.files.example/x ab12",
		} {
			resp, body, err := ingresstest.Get(t, c, target)
			if err != nil || body != want || (resp.ProtoMajor == 2) != h2 {
				t.Errorf("h2=%v %s: %v %q %v", h2, target, resp, body, err)
			}
		}
	}
}

func TestOthersAreTunnelled(t *testing.T) {
	address, roots := newReal(t)
	g := newRig(t, network{"far.example.com:443": address}, nil)
	c := g.client(true, roots)
	_, body, err := ingresstest.Get(t, c, "https://far.example.com/")
	if err != nil || body != "real" {
		t.Errorf("%q, %v", body, err)
	}
	c.CloseIdleConnections()
	if l := g.receipts.next(t); l.Ecosystem != ingress.Tunnel || l.URL != "far.example.com:443" || l.Outcome != "bypass" || l.Build != "ab12" || l.Error != "" {
		t.Errorf("receipt line %+v", l)
	}
}

// TestStrangers has clients that are no build steps reach the real host of a name to
// intercept, whatever the rules say of hosts, and be answered over plain HTTP.
func TestStrangers(t *testing.T) {
	address, roots := newReal(t)
	g := newRig(t, network{"pinned.example.com:443": address}, func(o *ingress.ConduitOptions) { o.Rules = policy.Rules{RefuseUnknown: true} })
	g.led("192.0.2.80:443") // where names lead everybody
	ours := g.client(true, g.roots)
	if _, body, err := ingresstest.Get(t, ours, "https://pinned.example.com/"); err != nil || body != "GET https://pinned.example.com/ ab12" {
		t.Errorf("a step: %q, %v", body, err)
	}
	ours.CloseIdleConnections()
	g.strange.Store(true)
	theirs := g.client(true, roots)
	if _, body, err := ingresstest.Get(t, theirs, "https://pinned.example.com/"); err != nil || body != "real" {
		t.Errorf("a stranger: %q, %v", body, err)
	}
	theirs.CloseIdleConnections()
	if l := g.receipts.next(t); l.Ecosystem != ingress.Tunnel || l.Outcome != "bypass" || l.Build != "" {
		t.Errorf("receipt line %+v", l)
	}
	g.led("192.0.2.80:80")
	if _, body, err := ingresstest.Get(t, g.client(false, roots), "http://npm.example/a"); err != nil || body != "GET http://npm.example/a " {
		t.Errorf("plain HTTP: %q, %v", body, err)
	}
	// The address that stands in is nowhere to go on to.
	c := ingresstest.Dial(t, g.address)
	if _, err := c.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if l := g.receipts.next(t); l.Outcome != "refused" || l.URL != "unnamed:443" {
		t.Errorf("receipt line %+v", l)
	}
}

// TestTunnelledByteForByte sends handshakes as they are, in records of few bytes and in
// segments of few bytes, with a megabyte behind each.
func TestTunnelledByteForByte(t *testing.T) {
	whole := hello(t, &tls.Config{ServerName: "far.example.com"})
	if len(whole) < 1400 {
		t.Fatalf("the hello has %d bytes, want one with a post-quantum key", len(whole))
	}
	old := hello(t, &tls.Config{ServerName: "far.example.com", MaxVersion: tls.VersionTLS12})
	load := make([]byte, 1<<20)
	if _, err := rand.Read(load); err != nil {
		t.Fatal(err)
	}
	g := newRig(t, network{"far.example.com:443": ingresstest.Far(t, mirror).Addr().String(), "192.0.2.1:443": ingresstest.Far(t, mirror).Addr().String()}, nil)
	for name, tt := range map[string]struct {
		hello   []byte
		segment int
	}{
		"whole":          {whole, len(whole)},
		"two segments":   {whole, 1200},
		"single bytes":   {old, 1},
		"tiny records":   {inRecords(whole, 3), 700},
		"with the load":  {append(bytes.Clone(whole), load...), 1 << 20},
		"TLS 1.2 clumsy": {inRecords(old, 64), 65},
	} {
		t.Run(name, func(t *testing.T) {
			c := ingresstest.Dial(t, g.address)
			for b := range chunks(tt.hello, tt.segment) {
				if _, err := c.Write(b); err != nil {
					t.Fatal(err)
				}
			}
			_, err := c.Write(load)
			if err := errors.Join(err, c.CloseWrite()); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, append(bytes.Clone(tt.hello), load...)) {
				t.Errorf("%d bytes came back, %v, want %d", len(got), err, len(tt.hello)+len(load))
			}
		})
	}
}

// inRecords cuts the one record of a handshake message into records of n bytes.
func inRecords(record []byte, n int) []byte {
	var out []byte
	for b := range chunks(record[5:], n) {
		out = append(append(out, record[0], record[1], record[2], byte(len(b)>>8), byte(len(b))), b...)
	}
	return out
}

// chunks yields b in pieces of n bytes.
func chunks(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 && yield(b[:min(n, len(b))]) {
			b = b[min(n, len(b)):]
		}
	}
}

// TestGoals says where connections lead, with and without what the packet filter knows.
func TestGoals(t *testing.T) {
	named := hello(t, &tls.Config{ServerName: "far.example.com"})
	unnamed := hello(t, &tls.Config{InsecureSkipVerify: true})
	hidden := hello(t, &tls.Config{ServerName: "secret.example", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfig(t, "far.example.com")})
	broken := bytes.Clone(named)
	broken[9] ^= 0xff // a version that does not matter
	broken[43] = 0xff // the length of the session's name, which does
	huge := []byte("\x16\x03\x01\x40\x00\x01\xff\xff\xff")
	huge = append(huge, make([]byte, 512<<10)...)
	for _, tt := range []struct {
		name     string
		send     []byte
		original string
		want     string // URL of the receipt line
		outcome  string
	}{
		{"name", named, "", "far.example.com:443", "bypass"},
		{"name and address", named, "192.0.2.1:443", "far.example.com:443", "bypass"},
		{"name that leads to ourselves", hello(t, &tls.Config{ServerName: "loop.example"}), "", "loop.example:443", "refused"},
		{"no name", unnamed, "", "unnamed:443", "refused"},
		{"no name but an address", unnamed, "192.0.2.1:443", "192.0.2.1:443", "bypass"},
		{"hidden name", hidden, "", "unnamed:443", "refused"},
		{"hidden name and an address", hidden, "192.0.2.1:443", "192.0.2.1:443", "bypass"},
		{"no TLS", []byte("\x00\x01ssh"), "", "unnamed:443", "refused"},
		{"no TLS but an address", []byte("\x00\x01ssh"), "192.0.2.1:443", "192.0.2.1:443", "bypass"},
		{"broken hello", broken, "", "unnamed:443", "refused"},
		{"broken hello but an address", broken, "192.0.2.1:443", "192.0.2.1:443", "bypass"},
		{"huge hello", huge, "", "unnamed:443", "refused"},
		{"intercepted, but no HTTP inside", hello(t, &tls.Config{ServerName: "npm.example", NextProtos: []string{"acme-tls/1"}}), "", "npm.example:443", "bypass"},
		{"IPv6", unnamed, "[2001:db8::1]:443", "[2001:db8::1]:443", "bypass"},
		{"the packet filter leads to ourselves", unnamed, "127.0.0.1:443", "127.0.0.1:443", "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := ingresstest.Far(t, mirror).Addr().String()
			g := newRig(t, network{"far.example.com:443": h, "192.0.2.1:443": h, "npm.example:443": h, "[2001:db8::1]:443": h}, nil)
			if tt.original != "" {
				g.led(tt.original)
			}
			c := ingresstest.Dial(t, g.address)
			_, err := c.Write(tt.send)
			if tt.outcome == "bypass" {
				if err := errors.Join(err, c.CloseWrite()); err != nil {
					t.Fatal(err)
				}
			}
			got, err := io.ReadAll(c)
			if tt.outcome == "bypass" && (err != nil || !bytes.Equal(got, tt.send)) {
				t.Errorf("%d bytes came back, %v, want %d", len(got), err, len(tt.send))
			}
			if tt.outcome != "bypass" && len(got) > 0 {
				t.Errorf("%d bytes came back", len(got))
			}
			if l := g.receipts.next(t); l.URL != tt.want || l.Outcome != tt.outcome || (l.Error == "") != (tt.outcome == "bypass") {
				t.Errorf("receipt line %+v", l)
			}
		})
	}
}

// echConfig returns a list with one configuration of ECH under a public name.
func echConfig(t *testing.T, public string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := binary.BigEndian.AppendUint16([]byte{1}, 0x0020) // an id, DHKEM(X25519)
	body = append(binary.BigEndian.AppendUint16(body, 32), key.PublicKey().Bytes()...)
	body = append(body, 0, 4, 0, 1, 0, 1, 32, byte(len(public))) // HKDF-SHA256, AES-128-GCM
	body = append(append(body, public...), 0, 0)
	config := binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(body)))
	config = append(config, body...)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)
}

func TestPolicy(t *testing.T) {
	g := newRig(t, network{"far.example.com:443": ingresstest.Far(t, mirror).Addr().String()}, func(o *ingress.ConduitOptions) { o.Rules = policy.Rules{RefuseUnknown: true} })
	c := ingresstest.Dial(t, g.address)
	if _, err := c.Write(hello(t, &tls.Config{ServerName: "far.example.com"})); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("%d bytes", len(b))
	}
	if l := g.receipts.next(t); l.Outcome != "refused" || !strings.Contains(l.Error, "policy.unknown_hosts") {
		t.Errorf("receipt line %+v", l)
	}
}

// TestSlowClients checks that who says nothing, or too slowly, is hung up on, while others
// are served.
func TestSlowClients(t *testing.T) {
	const limit = 300 * time.Millisecond
	g := newRig(t, nil, func(o *ingress.ConduitOptions) { o.HandshakeTimeout = limit })
	whole := hello(t, &tls.Config{ServerName: "npm.example"})
	silent, slow := ingresstest.Dial(t, g.address), ingresstest.Dial(t, g.address)
	began := time.Now()
	slowed := make(chan error, 1)
	go func() {
		tick := time.NewTicker(limit / 20)
		defer tick.Stop()
		for _, b := range whole {
			<-tick.C
			if _, err := slow.Write([]byte{b}); err != nil {
				slowed <- err
				return
			}
		}
		slowed <- nil
	}()
	if _, body, err := ingresstest.Get(t, g.client(true, g.roots), "https://npm.example/x"); err != nil || body == "" {
		t.Errorf("meanwhile: %q, %v", body, err)
	}
	for name, c := range map[string]net.Conn{"silent": silent, "slow": slow} {
		if b, err := io.ReadAll(c); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if took := time.Since(began); took < limit || took > 10*limit {
		t.Errorf("hung up after %v, want %v", took, limit)
	}
	if err := <-slowed; err == nil {
		t.Error("the slow client could send all of it")
	}
}

func TestShutdownDoesNotWaitForSilence(t *testing.T) {
	g := newRig(t, nil, nil)
	silent, begun := ingresstest.Dial(t, g.address), ingresstest.Dial(t, g.address)
	if _, err := begun.Write([]byte{0x16, 3, 1}); err != nil {
		t.Fatal(err)
	}
	if _, body, err := ingresstest.Get(t, g.client(true, g.roots), "https://npm.example/x"); err != nil || body == "" {
		t.Fatal(err) // by now the others were accepted
	}
	began := time.Now()
	g.stop()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("Shutdown took %v", took)
	}
	for _, c := range []net.Conn{silent, begun} {
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("still open: %v", err)
		}
	}
}

// TestPinnedClients checks that a client that insists on the origin's certificate gets it
// after three tries, that others are still intercepted where they trust us, and that a
// build that refuses tunnels gets none.
func TestPinnedClients(t *testing.T) {
	address, roots := newReal(t)
	for _, strict := range []bool{false, true} {
		g := newRig(t, network{"pinned.example.com:443": address}, func(o *ingress.ConduitOptions) { o.Rules.Strict = strict })
		pinned := func() error {
			c := g.client(true, roots)
			_, body, err := ingresstest.Get(t, c, "https://pinned.example.com/")
			if err == nil && body != "real" {
				t.Errorf("body %q", body)
			}
			c.CloseIdleConnections()
			return err
		}
		var unknown x509.UnknownAuthorityError
		for range 3 {
			if err := pinned(); !errors.As(err, &unknown) {
				t.Fatalf("strict=%v: %v, want a certificate of ours", strict, err)
			}
		}
		d := <-g.doubts
		if d.Host != "pinned.example.com" || d.Peer != netip.MustParseAddr("127.0.0.1") || !strings.Contains(d.Why, "certificate") {
			t.Errorf("doubt %+v", d)
		}
		if err := pinned(); (err == nil) == strict {
			t.Errorf("strict=%v, fourth try: %v", strict, err)
		}
		if list := g.Conduit.Doubts(); len(list) != 1 || list[0].Host != d.Host {
			t.Errorf("doubts %+v", list)
		}
		if _, body, err := ingresstest.Get(t, g.client(true, g.roots), "https://npm.example/x"); err != nil || body != "GET https://npm.example/x ab12" {
			t.Errorf("another host: %q, %v", body, err)
		}
	}
}

// TestPinnedCurl does the same with OpenSSL, which says it in its own way.
func TestPinnedCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	address, _ := newReal(t)
	for _, version := range [][]string{{"--tls-max", "1.2"}, {"--tlsv1.3"}} {
		g := newRig(t, network{"pinned.example.com:443": address}, nil)
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			err := exec.CommandContext(ctx, "curl", append(version, "-sS", "--connect-to", "::"+g.address, "https://pinned.example.com/")...).Run()
			cancel()
			if err == nil {
				t.Errorf("%s: try %d succeeds", version, i)
			}
		}
		select {
		case d := <-g.doubts:
			if !strings.Contains(d.Why, "unknown certificate authority") {
				t.Errorf("%s: doubt %+v", version, d)
			}
		case <-time.After(patience):
			t.Errorf("%s: no doubt", version)
		}
	}
}

func TestOriginThatAsksForCertificates(t *testing.T) {
	address, roots := newReal(t)
	g := newRig(t, network{"pinned.example.com:443": address}, nil)
	open := g.client(true, g.roots)
	if _, body, err := ingresstest.Get(t, open, "https://pinned.example.com/"); err != nil || body != "GET https://pinned.example.com/ ab12" {
		t.Fatalf("%q, %v", body, err)
	}
	g.Conduit.ClientCertificate("far.example.com") // not intercepted: nothing to give up
	g.Conduit.ClientCertificate("pinned.example.com")
	g.Conduit.ClientCertificate("pinned.example.com")
	if d := <-g.doubts; d.Host != "pinned.example.com" || d.Peer.IsValid() || len(g.doubts) > 0 {
		t.Errorf("doubt %+v and %d more", d, len(g.doubts))
	}
	if _, body, err := ingresstest.Get(t, open, "https://pinned.example.com/"); err != nil || body != "GET https://pinned.example.com/ ab12" {
		t.Errorf("on the open connection: %q, %v", body, err)
	}
	if _, body, err := ingresstest.Get(t, g.client(true, roots), "https://pinned.example.com/"); err != nil || body != "real" {
		t.Errorf("on a new one: %q, %v", body, err)
	}
}

func TestPlain(t *testing.T) {
	for _, tt := range []struct {
		name, request, original string
		status                  string
		want                    string // body
	}{
		{"by its Host field", "GET /debian/x?y HTTP/1.1\r\nHost: DEB.example", "", "200", "GET http://deb.example/debian/x?y ab12"},
		{"with port", "GET /x HTTP/1.1\r\nHost: deb.example:80", "", "200", "GET http://deb.example/x ab12"},
		{"led here", "GET /x HTTP/1.1\r\nHost: deb.example", "192.0.2.1:80", "200", "GET http://deb.example/x ab12"},
		{"led here from another port", "GET /x HTTP/1.1\r\nHost: deb.example:8080", "192.0.2.1:8080", "200", "GET http://deb.example:8080/x ab12"},
		{"other port", "GET /x HTTP/1.1\r\nHost: deb.example:8080", "", "421", ""},
		{"no host", "GET /x HTTP/1.0", "", "421", ""},
		{"no host, led here", "GET /x HTTP/1.0", "192.0.2.1:80", "200", "GET http://192.0.2.1/x ab12"},
		{"absolute form", "GET http://deb.example/x HTTP/1.1\r\nHost: h", "", "200", "GET http://deb.example/x ab12"},
		{"absolute form, other scheme", "GET https://deb.example/x HTTP/1.1\r\nHost: h", "", "421", ""},
		{"going up", "GET /a/../x HTTP/1.1\r\nHost: deb.example", "", "400", ""},
		{"no host name", "GET /x HTTP/1.1\r\nHost: 0x7f.1", "", "400", ""},
		{"a proxy's request", "CONNECT npm.example:443 HTTP/1.1\r\nHost: npm.example:443", "", "405", ""},
		{"a name of its own for the build", "GET /x HTTP/1.1\r\nHost: deb.example\r\nProxy-Authorization: Basic Y2Q6eA==", "", "200", "GET http://deb.example/x ab12"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, nil, nil)
			if tt.original != "" {
				g.led(tt.original)
			}
			c := ingresstest.Dial(t, g.address)
			if _, err := io.WriteString(c, tt.request+"\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			head, body, _ := strings.Cut(string(got), "\r\n\r\n")
			if err != nil || !strings.HasPrefix(head[min(9, len(head)):], tt.status) || tt.want != "" && body != tt.want {
				t.Errorf("%q, %v, want %s %q", got, err, tt.status, tt.want)
			}
		})
	}
}

// TestClients asks with programs that check certificates each in their own way.
func TestClients(t *testing.T) {
	g := newRig(t, nil, nil)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, g.root, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		command []string
		stdin   string
		want    string
	}{
		"curl, HTTP/2":   {[]string{"curl", "-sS", "--http2", "--cacert", file, "--connect-to", "::" + g.address, "https://npm.example/x"}, "", "GET https://npm.example/x ab12"},
		"curl, HTTP/1.1": {[]string{"curl", "-sS", "--http1.1", "--cacert", file, "--connect-to", "::" + g.address, "https://a.files.example/x"}, "", "GET https://a.files.example/x ab12"},
		"curl, no TLS":   {[]string{"curl", "-sS", "--connect-to", "::" + g.address, "http://deb.example/x"}, "", "GET http://deb.example/x ab12"},
		"openssl": {[]string{"openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", file, "-connect", g.address, "-servername", "npm.example", "-verify_hostname", "npm.example"},
			"GET /x HTTP/1.1\r\nHost: npm.example\r\nConnection: close\r\n\r\n", "GET https://npm.example/x ab12"},
		"openssl, TLS 1.2": {[]string{"openssl", "s_client", "-quiet", "-verify_return_error", "-tls1_2", "-CAfile", file, "-connect", g.address, "-servername", "npm.example"},
			"GET /x HTTP/1.1\r\nHost: npm.example\r\nConnection: close\r\n\r\n", "GET https://npm.example/x ab12"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(tt.command[0]); err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, tt.command[0], tt.command[1:]...)
			cmd.Stdin = strings.NewReader(tt.stdin)
			out, err := cmd.Output()
			if err != nil || !strings.HasSuffix(string(out), tt.want) {
				t.Errorf("%q, %v, want %q", out, err, tt.want)
			}
		})
	}
}

// TestListenOnAddressThatDoesNotExistYet checks that the bridge may come later.
func TestCrowd(t *testing.T) { ingresstest.Crowd(t, newRig(t, nil, nil).address) }

func TestListenOnAddressThatDoesNotExistYet(t *testing.T) {
	for _, address := range []string{"192.0.2.77:0", "[2001:db8::77]:0"} {
		l, err := Listen(t.Context(), address)
		if err != nil {
			if strings.HasPrefix(address, "[") {
				t.Skip(err) // no IPv6 here
			}
			t.Fatal(err)
		}
		_ = l.Close()
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := New(t.Context(), Options{}); err == nil {
		t.Error("New accepts nothing at all")
	}
}
