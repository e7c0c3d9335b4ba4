package ca

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// everyIP returns one address of each family.
func everyIP() []net.IP { return []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")} }

// An interceptor answers CONNECT by speaking TLS itself, with the certificates given, and
// every request inside with 200.
type interceptor struct {
	address string
	leaves  map[string]*tls.Certificate
}

// startInterceptor listens until the test ends.
func startInterceptor(t *testing.T, leaves map[string]*tls.Certificate) *interceptor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &interceptor{address: l.Addr().String(), leaves: leaves}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed by the clean-up
			}
			group.Go(func() { i.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); group.Wait() })
	return i
}

// serve answers one connection. A client that goes away is what half of the tests want,
// so errors end it and say nothing.
func (i *interceptor) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	host, _, _ := net.SplitHostPort(r.Host)
	fmt.Fprint(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*i.leaves[host]}, MinVersion: tls.VersionTLS12})
	if _, err := http.ReadRequest(bufio.NewReader(s)); err != nil {
		return
	}
	fmt.Fprint(s, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
	_ = s.Close()
}

// javaClient asks for one URL through the proxy of the system properties.
const javaClient = `
public class Get {
  public static void main(String[] a) throws Exception {
    System.out.write(new java.net.URL(a[0]).openStream().readAllBytes());
    System.out.flush();
  }
}`

// nodeClient does the same; node's own client knows no proxy.
const nodeClient = `
const http = require('http'), tls = require('tls');
const [proxy, host] = process.argv.slice(1), [ip, port] = proxy.split(':');
http.request({host: ip, port, method: 'CONNECT', path: host + ':443'}).on('connect', (res, socket) => {
  const s = tls.connect({socket, servername: host}, () => s.write('GET / HTTP/1.1\r\nHost: ' + host + '\r\n\r\n'));
  s.on('data', d => { process.stdout.write(d); s.end(); });
  s.on('error', e => { console.error(e); process.exit(1); });
}).end();`

// clients are programs with TLS of different make. run asks for https://host/ through the
// proxy, trusting the file root alone.
var clients = []struct {
	name     string
	program  string
	required bool // in continuous integration
	run      func(ctx context.Context, dir, proxy, host string) *exec.Cmd
}{
	{"curl", "curl", true, func(ctx context.Context, dir, proxy, host string) *exec.Cmd {
		return exec.CommandContext(ctx, "curl", "-sS", "-x", "http://"+proxy, "--cacert", dir+"/root.pem", "https://"+host+"/")
	}},
	{"openssl", "openssl", true, func(ctx context.Context, dir, proxy, host string) *exec.Cmd {
		c := exec.CommandContext(ctx, "openssl", "s_client", "-proxy", proxy, "-connect", host+":443", "-servername", host,
			"-verify_hostname", host, "-verify_return_error", "-CAfile", dir+"/root.pem", "-quiet")
		c.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		return c
	}},
	{"wget", "wget", false, func(ctx context.Context, dir, proxy, host string) *exec.Cmd {
		return exec.CommandContext(ctx, "wget", "-nv", "-t1", "-O-", "--no-hsts", "-e", "https_proxy=http://"+proxy+"/",
			"--ca-certificate="+dir+"/root.pem", "https://"+host+"/")
	}},
	{"node", "node", false, func(ctx context.Context, dir, proxy, host string) *exec.Cmd {
		c := exec.CommandContext(ctx, "node", "-e", nodeClient, proxy, host)
		c.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+dir+"/root.pem")
		return c
	}},
	{"java", "javac", false, func(ctx context.Context, dir, proxy, host string) *exec.Cmd {
		ip, port, _ := strings.Cut(proxy, ":")
		return exec.CommandContext(ctx, "java", "-Dhttps.proxyHost="+ip, "-Dhttps.proxyPort="+port,
			"-Djavax.net.ssl.trustStore="+dir+"/root.p12", "-Djavax.net.ssl.trustStorePassword=changeit",
			dir+"/Get.java", "https://"+host+"/")
	}},
}

func TestClientsEnforceTheConstraints(t *testing.T) {
	if testing.Short() {
		t.Skip("starts other programs")
	}
	c := open(t, folder(t), nil, "registry.example", "*.files.example")
	leaves := map[string]*tls.Certificate{
		"bank.example": forge(t, c, &x509.Certificate{DNSNames: []string{"bank.example"},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}),
	}
	for _, name := range []string{"registry.example", "a.files.example"} {
		leaf, err := c.Certificate(name)
		if err != nil {
			t.Fatal(err)
		}
		leaves[name] = leaf
	}
	proxy := startInterceptor(t, leaves)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "root.pem"), c.Root())
	writeFile(t, filepath.Join(dir, "Get.java"), []byte(javaClient))
	for _, tt := range clients {
		t.Run(tt.name, func(t *testing.T) {
			need(t, tt.program, tt.required)
			if tt.name == "java" {
				importRoot(t, dir)
			}
			for host, inside := range map[string]bool{"registry.example": true, "a.files.example": true, "bank.example": false} {
				out, err := tt.run(t.Context(), dir, proxy.address, host).CombinedOutput()
				answered := strings.Contains(string(out), "ok\n")
				if answered != inside {
					t.Errorf("%s: answered = %v, want %v: %v\n%s", host, answered, inside, err, out)
				}
			}
		})
	}
}

// need skips the test if the program is absent, or fails it where it must be present.
func need(t *testing.T, program string, required bool) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if required && os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
}

// importRoot makes the trust store that Java reads.
func importRoot(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "keytool", "-importcert", "-noprompt", "-alias", "sutler", "-storetype", "PKCS12",
		"-file", dir+"/root.pem", "-keystore", dir+"/root.p12", "-storepass", "changeit").CombinedOutput()
	if err != nil {
		t.Fatalf("keytool: %v\n%s", err, out)
	}
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
