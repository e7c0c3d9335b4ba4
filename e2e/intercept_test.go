package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"sutler/internal/ecosystem/pypi"
)

// The network of the client that knows nothing of sutler, and an address outside of it.
const (
	ledGateway = "10.213.77.1"
	ledClient  = "10.213.77.2"
	ledOutside = "198.51.100.10"
)

// A ledWorld is a network namespace whose ports 80 and 443 the packet filter leads to
// sutler, with trust stores and a hosts file of its own.
type ledWorld struct {
	t     *testing.T
	dir   string
	ns    string
	table string
}

// newLedWorld makes one. hosts are lines of its hosts file.
func newLedWorld(t *testing.T, hosts ...string) *ledWorld {
	t.Helper()
	if os.Getuid() != 0 {
		lacks(t, "network namespaces need root")
	}
	need(t, "ip", "nft", "unshare", "mount", "cp", "update-ca-certificates")
	w := &ledWorld{t: t, dir: t.TempDir(), ns: "sutler-e2e-led", table: "sutler_e2e_led"}
	w.down() // of a run that was killed
	t.Cleanup(w.down)
	for _, c := range []string{
		"ip netns add " + w.ns,
		"ip link add se2eled type veth peer name eth0 netns " + w.ns,
		"ip addr add " + ledGateway + "/24 dev se2eled",
		"ip link set se2eled up",
		"ip -n " + w.ns + " addr add " + ledClient + "/24 dev eth0",
		"ip -n " + w.ns + " link set eth0 up",
		"ip -n " + w.ns + " link set lo up",
		"ip -n " + w.ns + " route add default via " + ledGateway,
	} {
		f := strings.Fields(c)
		output(t, f[0], f[1:]...)
	}
	rules := fmt.Sprintf("table ip %s {\n chain pre {\n  type nat hook prerouting priority dstnat - 5;\n"+
		"  iifname \"se2eled\" ip daddr != %s tcp dport { 80, 443 } dnat to %s\n }\n}\n", w.table, ledGateway, ledGateway)
	write(t, w.dir+"/rules", rules)
	output(t, "nft", "-f", w.dir+"/rules")
	output(t, "cp", "-a", "/etc/ssl", w.dir+"/ssl")
	output(t, "cp", "-a", "/usr/local/share/ca-certificates", w.dir+"/local")
	write(t, w.dir+"/hosts", "127.0.0.1 localhost\n"+strings.Join(hosts, "\n")+"\n")
	write(t, w.dir+"/resolv.conf", "nameserver 127.0.0.1\n") // where nobody answers
	return w
}

// down removes the world.
func (w *ledWorld) down() {
	for _, c := range []string{"nft delete table ip " + w.table, "ip link del se2eled", "ip netns del " + w.ns} {
		f := strings.Fields(c)
		_ = exec.Command(f[0], f[1:]...).Run() // it may not be there
	}
}

// command returns a command line that runs in the world.
func (w *ledWorld) command(words ...string) []string {
	script := "set -e; for m in ssl:/etc/ssl local:/usr/local/share/ca-certificates hosts:/etc/hosts resolv.conf:/etc/resolv.conf; do " +
		"mount --bind " + w.dir + "/${m%%:*} ${m#*:}; done; exec \"$@\""
	return append([]string{"ip", "netns", "exec", w.ns, "unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"}, words...)
}

// run runs a command in the world, for at most two minutes.
func (w *ledWorld) run(d *daemon, words ...string) result {
	w.t.Helper()
	command := w.command(append([]string{"timeout", "120"}, words...)...)
	return d.run(d.dir, nil, command[0], command[1:]...)
}

// must runs a command that has to succeed.
func (w *ledWorld) must(d *daemon, words ...string) result {
	w.t.Helper()
	r := w.run(d, words...)
	if r.code != 0 {
		w.t.Fatalf("%s: exit %d\n%s\n%s", strings.Join(words, " "), r.code, r.out, r.err)
	}
	return r
}

// stores describes all that the trust stores of the world hold.
func (w *ledWorld) stores() string {
	w.t.Helper()
	var out strings.Builder
	for _, top := range []string{"ssl", "local"} {
		err := filepath.WalkDir(filepath.Join(w.dir, top), func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			what := ""
			switch {
			case e.Name() == "java" && e.IsDir():
				return fs.SkipDir // a hook of the system keeps it, and writes other bytes each time
			case info.Mode()&fs.ModeSymlink != 0:
				what, err = os.Readlink(p)
			case info.Mode().IsRegular():
				var text []byte
				text, err = os.ReadFile(p)
				sum := sha256.Sum256(text)
				what = hex.EncodeToString(sum[:8])
			}
			fmt.Fprintln(&out, strings.TrimPrefix(p, w.dir), info.Mode(), what)
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return out.String()
}

// answerDNS answers on a UDP port: the names of the table with their address, all others
// as this machine's resolver does.
func answerDNS(t *testing.T, table map[string][4]byte) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		for b := make([]byte, 4096); ; {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return // closed by the clean-up
			}
			var m dnsmessage.Message
			if err := m.Unpack(b[:n]); err != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			var addrs [][4]byte
			if a, ok := table[q.Name.String()]; ok {
				addrs = append(addrs, a)
			} else if ips, err := net.LookupIP(strings.TrimSuffix(q.Name.String(), ".")); err == nil {
				for _, ip := range ips {
					if v4 := ip.To4(); v4 != nil {
						addrs = append(addrs, [4]byte(v4))
					}
				}
			}
			if q.Type == dnsmessage.TypeA {
				for _, a := range addrs {
					m.Answers = append(m.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: a}})
				}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = c.WriteTo(out, from) // who asked asks again
			}
		}
	}()
	return c.LocalAddr().String()
}

// counters are what the tests read of `status --json`.
type counters struct {
	Tunnelled []string
	Counters  struct {
		Answers          map[string]int64
		Bytes, FromStore int64
	}
}

func (d *daemon) counters() counters {
	d.t.Helper()
	var c counters
	if err := json.Unmarshal([]byte(d.sutler("status", "--json").out), &c); err != nil {
		d.t.Fatal(err)
	}
	return c
}

// TestLedHere serves clients that know nothing of sutler but that their system's trust
// store holds its CA, takes it out again, and leaves no trace.
func TestLedHere(t *testing.T) {
	need(t, "curl", "wget", "openssl", "apt-get", "npm", "python3")
	file := registryFile(t)
	registry, err := url.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	uri, suite := archive(t)
	debian, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	load := make([]byte, 20<<20)
	if _, err := rand.Read(load); err != nil {
		t.Fatal(err)
	}
	real := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(load) }))
	if real.Listener, err = net.Listen("tcp", "127.0.0.9:443"); err != nil {
		lacks(t, err.Error())
	}
	real.StartTLS()
	defer real.Close()
	index := newPythonIndex(t)
	pythonHosts := pypi.New(pypi.Options{}).Profile().Hosts
	w := newLedWorld(t,
		ledGateway+" "+registry.Hostname(), // as the DNS would lead it here
		ledOutside+" far.example.com loop.example "+debian.Hostname()+" "+pythonHosts[0]+" "+pythonHosts[1])
	resolver := answerDNS(t, map[string][4]byte{"far.example.com.": {127, 0, 0, 9}, "loop.example.": {10, 213, 77, 1}})
	d := start(t, append(index.settings(t), "INTERCEPT_LISTEN="+ledGateway+":443,"+ledGateway+":80", "UPSTREAM_NAMESERVERS="+resolver)...)
	d.stop()
	d.set("UPSTREAM_ALLOW_LOOPBACK=far.example.com:443," + strings.TrimPrefix(index.server.URL, "https://"))
	d.serve()

	w.must(d, "update-ca-certificates") // so that what it changes by itself is changed
	before := w.stores()
	plain := filepath.Join(d.dir, "plain.crt")
	output(t, "cp", "/etc/ssl/certs/ca-certificates.crt", plain)
	if r := w.run(d, "curl", "-sS", "-o", "/dev/null", file); r.code != 60 {
		t.Errorf("before it is trusted: exit %d, %s", r.code, r.err)
	}
	if r := w.must(d, binary, "ca", "trust", "--dry-run"); !strings.Contains(r.err, "would write") || w.stores() != before {
		t.Errorf("dry run: %s", r.err)
	}
	w.must(d, binary, "ca", "trust")
	t.Run("Clients", func(t *testing.T) { ledClients(t, w, d, file, uri, suite) })
	t.Run("Tunnel", func(t *testing.T) { ledTunnel(t, w, d, real, load) })
	t.Run("Rotate", func(t *testing.T) {
		d.sutler("ca", "rotate", "--overlap=1h")
		w.must(d, binary, "ca", "trust")
		w.must(d, "curl", "-fsS", "-o", "/dev/null", file) // the old one signs
		d.sutler("ca", "rotate", "--now")
		w.must(d, "curl", "-fsS", "-o", "/dev/null", file) // the next one does
		w.must(d, binary, "ca", "trust")                   // drops the old one
		w.must(d, "wget", "-q", "-O", "/dev/null", file)
	})
	t.Run("Pinned", func(t *testing.T) {
		for range 2 { // the third was the very first connection
			if r := w.run(d, "curl", "-sS", "-o", "/dev/null", "--cacert", plain, "--capath", d.dir, file); r.code != 60 {
				t.Fatalf("exit %d, %s", r.code, r.err)
			}
		}
		w.must(d, "curl", "-fsS", "-o", "/dev/null", "--cacert", plain, "--capath", d.dir, file)
		if c := d.counters(); len(c.Tunnelled) != 1 || !strings.Contains(c.Tunnelled[0], registry.Hostname()) {
			t.Errorf("tunnelled: %q", c.Tunnelled)
		}
	})
	w.must(d, binary, "ca", "untrust")
	if after := w.stores(); after != before {
		write(t, d.dir+"/before", before)
		write(t, d.dir+"/after", after)
		diff, _ := exec.Command("diff", d.dir+"/before", d.dir+"/after").Output() // they differ
		t.Errorf("the trust stores are not what they were:\n%s", diff)
	}
}

// ledClients fetches with clients that have their own ways with certificates, twice.
func ledClients(t *testing.T, w *ledWorld, d *daemon, file, uri, suite string) {
	hello := filepath.Join(t.TempDir(), "hello")
	root := newAptRoot(t, "deb [signed-by="+debianKeyring+"] "+uri+" "+suite+" main\n")
	for i := range 2 {
		for _, c := range [][]string{
			{"curl", "-fsS", "-o", "/dev/null", file},
			{"curl", "-fsS", "--http1.1", "-o", "/dev/null", file},
			{"wget", "-q", "-O", "/dev/null", file},
			root.args("update"),
			root.args("install", "--download-only", "--reinstall", "hello"),
			{"npm", "pack", "--silent", "--cache", filepath.Join(t.TempDir(), "npm"), "--pack-destination", t.TempDir(), "left-pad@1.3.0"},
			{"/usr/bin/python3", "-m", "pip", "install", "-q", "--no-cache-dir", "--no-deps", "--target", filepath.Join(hello, fmt.Sprint(i)), "appkit"},
		} {
			r := w.run(d, c...)
			if r.code != 0 {
				t.Errorf("%s: exit %d\n%s%s", strings.Join(c, " "), r.code, r.out, r.err)
			}
		}
	}
	c := d.counters()
	if c.Counters.Answers["hit"] < 6 || c.Counters.Answers["error"] > 0 || len(c.Tunnelled) > 0 {
		t.Errorf("answers %v, tunnelled %v", c.Counters.Answers, c.Tunnelled)
	}
}

// ledTunnel reaches a host that is not intercepted: its own certificate, its own bytes; and
// one whose name leads to sutler itself.
func ledTunnel(t *testing.T, w *ledWorld, d *daemon, real *httptest.Server, load []byte) {
	own := filepath.Join(t.TempDir(), "own.pem")
	write(t, own, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: real.Certificate().Raw})))
	for range 3 {
		if r := w.must(d, "curl", "-fsS", "--cacert", own, "https://far.example.com/"); r.out != string(load) {
			t.Errorf("%d bytes came through, not those of the origin", len(r.out))
		}
	}
	began := time.Now()
	if r := w.run(d, "curl", "-sS", "https://loop.example/"); r.code == 0 || time.Since(began) > 5*time.Second {
		t.Errorf("a name of our own: exit %d after %s", r.code, time.Since(began))
	}
	if log := d.log.String(); !strings.Contains(log, "address of sutler itself") {
		t.Error("the log does not say that the name leads to sutler itself")
	}
}
