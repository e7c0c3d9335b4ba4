package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A dnsNet is a network of namespaces: a hub with a container bridge, as a host has; a box
// and a peer on the bridge; and the world behind the hub.
type dnsNet struct {
	t      *testing.T
	prefix string
}

// Addresses in a dnsNet.
const (
	hubAddr   = "10.66.0.1" // of the bridge dk0
	boxAddr   = "10.66.0.2"
	peerAddr  = "10.66.0.3"
	worldAddr = "10.67.0.2"

	hubAddr6   = "fd66::1"
	worldAddr6 = "fd67::2"
)

func newDNSNet(t *testing.T) *dnsNet {
	t.Helper()
	need(t, "ip", "nft", "dig", "rawdns", "nsenter", "sysctl")
	if os.Getuid() != 0 {
		lacks(t, "network namespaces need root")
	}
	n := &dnsNet{t, fmt.Sprintf("sdns%d", os.Getpid())}
	for _, name := range []string{"hub", "box", "peer", "world"} {
		n.host("ip", "netns", "add", n.ns(name))
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.ns(name)).Run() })
		n.in(name, "ip", "link", "set", "lo", "up")
	}
	n.in("hub", "ip", "link", "add", "dk0", "type", "bridge")
	n.in("hub", "ip", "addr", "add", hubAddr+"/24", "dev", "dk0")
	n.in("hub", "ip", "link", "set", "dk0", "up")
	n.in("hub", "ip", "addr", "add", hubAddr6+"/64", "dev", "dk0", "nodad")
	n.in("hub", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	for name, a := range map[string]string{"box": boxAddr, "peer": peerAddr, "world": worldAddr} {
		n.in("hub", "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", n.ns(name))
		n.in("hub", "ip", "link", "set", name, "up")
		n.in(name, "ip", "addr", "add", a+"/24", "dev", "eth0")
		n.in(name, "ip", "addr", "add", sixth(a)+"/64", "dev", "eth0", "nodad")
		n.in(name, "ip", "link", "set", "eth0", "up")
		gateway := hubAddr
		if name == "world" {
			gateway = "10.67.0.1"
			n.in("hub", "ip", "addr", "add", gateway+"/24", "dev", name)
			n.in("hub", "ip", "addr", "add", sixth(gateway)+"/64", "dev", name, "nodad")
		} else {
			n.in("hub", "ip", "link", "set", name, "master", "dk0")
		}
		n.in(name, "ip", "route", "add", "default", "via", gateway)
		n.in(name, "ip", "route", "add", "default", "via", sixth(gateway))
	}
	return n
}

// sixth returns the address of IPv6 that goes with one of IPv4 in a dnsNet.
func sixth(a string) string {
	f := strings.Split(a, ".")
	return "fd" + f[1] + "::" + f[3]
}

func (n *dnsNet) ns(name string) string { return n.prefix + "-" + name }

// enter returns the command that enters a namespace.
func (n *dnsNet) enter(name string) []string {
	return []string{"nsenter", "--net=/run/netns/" + n.ns(name)}
}

// host runs a command that has to succeed.
func (n *dnsNet) host(command ...string) string {
	n.t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// in runs a command in a namespace.
func (n *dnsNet) in(name string, command ...string) string {
	n.t.Helper()
	return n.host(append(n.enter(name), command...)...)
}

// rawdns runs the program of that name in a namespace until the test ends, and returns its pid.
func (n *dnsNet) rawdns(name, config string) int {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), "rawdns.json")
	write(n.t, path, config)
	return n.background(name, "rawdns", path)
}

// dig asks from the box and returns the code and the sorted answers in one line.
func (n *dnsNet) dig(server string, query ...string) string {
	n.t.Helper()
	args := append(n.enter("box"), "dig", "+time=1", "+tries=1", "+noall", "+comments", "+answer", "@"+server)
	out, _ := exec.Command(args[0], append(args[1:], query...)...).Output() // no answer is one too
	status, answers := "none", []string{}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if _, rest, ok := strings.Cut(line, "status: "); ok {
			status, _, _ = strings.Cut(rest, ",")
		} else if fields := strings.Fields(line); len(fields) >= 5 && !strings.HasPrefix(line, ";") {
			answers = append(answers, strings.Join(append(fields[:1:1], fields[2:]...), " ")) // without the TTL
		}
	}
	slices.Sort(answers)
	return status + " " + strings.Join(answers, "; ")
}

// until waits for an answer, and returns how long that took.
func (n *dnsNet) until(want string, within time.Duration, server string, query ...string) time.Duration {
	n.t.Helper()
	started := time.Now()
	for {
		got := n.dig(server, query...)
		if got == want {
			return time.Since(started)
		}
		if time.Since(started) > within {
			n.t.Fatalf("%v is %q after %s, want %q", query, got, within, want)
		}
	}
}

// worldZones are what the rest of the world answers.
const worldZones = `{"world.example.": {"type": "static", "addrs": ["192.0.2.1", "2001:db8::1"], "txts": [["hello", "wo\\rld"]]},
	"dl.test.": {"type": "static", "addrs": ["192.0.2.80"]}}`

// fakeDocker is a container engine on a unix socket that knows web, db (of a compose
// project) and off, and returns its URL.
func fakeDocker(t *testing.T) string {
	t.Helper()
	network := func(v4, v6 string) map[string]any { return map[string]any{"IPAddress": v4, "GlobalIPv6Address": v6} }
	containers := []map[string]any{
		{"Id": strings.Repeat("a1", 32), "Name": "/web", "NetworkSettings": map[string]any{"IPAddress": "172.17.0.2",
			"Networks": map[string]any{"bridge": network("172.17.0.2", ""), "n1": network("10.1.0.2", "fd00::2")}}},
		{"Id": strings.Repeat("b2", 32), "Name": "/shop-db-1", "NetworkSettings": map[string]any{"Networks": map[string]any{"shop": network("10.2.0.2", "")}}},
		{"Id": strings.Repeat("c3", 32), "Name": "/off", "NetworkSettings": map[string]any{"Networks": map[string]any{"bridge": network("", "")}}},
	}
	path := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, rest, _ := strings.Cut(r.URL.Path, "/containers/")
		if rest == "json" {
			_ = json.NewEncoder(w).Encode([]map[string]any{{"Id": containers[1]["Id"], "Names": []string{"/shop-db-1", "/app/mysql"},
				"Labels":          map[string]string{"com.docker.compose.service": "db", "com.docker.compose.project": "shop"},
				"NetworkSettings": containers[1]["NetworkSettings"]}})
			return
		}
		name := strings.Trim(strings.TrimSuffix(rest, "json"), "/") // rawdns asks for links with two slashes
		for _, c := range containers {
			if id, _ := c["Id"].(string); c["Name"] == "/"+name || strings.HasPrefix(id, name) || name == "app/mysql" && c["Name"] == "/shop-db-1" {
				_ = json.NewEncoder(w).Encode(c)
				return
			}
		}
		http.NotFound(w, r)
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "unix://" + path
}

// sideBySide starts rawdns on the peer and sutler on the hub with the same configuration.
func sideBySide(t *testing.T) (n *dnsNet, d *daemon, rawPID int) {
	n = newDNSNet(t)
	n.rawdns("world", worldZones)
	config := fmt.Sprintf(`{"docker.": {"type": "containers", "socket": %q},
		"corp.example.": {"type": "static", "addrs": ["10.0.0.7", "10.0.0.8", "2001:db8::7"], "txts": [["a b", "c"], ["d"]],
			"srvs": [{"priority": 10, "weight": 20, "port": 80, "target": "web.example."}]},
		"deep.corp.example.": {"type": "static", "addrs": ["10.0.0.9"]},
		"alias.example.": {"type": "static", "cnames": ["world.example"], "nameservers": [%q]},
		".": {"type": "forwarding", "nameservers": [%q]}}`, fakeDocker(t), worldAddr, worldAddr)
	rawPID = n.rawdns("peer", config)
	path := filepath.Join(t.TempDir(), "zones.json")
	write(t, path, config)
	d = startIn(t, n.enter("hub"), "127.0.0.1:7885", "DNS_LISTEN="+hubAddr+":53", "DNS_RAWDNS="+path, "HOSTS=generic=dl.test", "LOG_LEVEL=info")
	for _, server := range []string{hubAddr, peerAddr} {
		n.until("NOERROR deep.corp.example. IN A 10.0.0.9", 10*time.Second, server, "deep.corp.example", "A")
	}
	return n, d, rawPID
}

// TestDNSLikeRawdns asks sutler and rawdns the same.
func TestDNSLikeRawdns(t *testing.T) {
	n, _, _ := sideBySide(t)
	for _, query := range []string{
		"web.docker A", "web.docker AAAA", "off.docker A", "a1a1a1.docker A", "mysql.app.docker A", strings.Repeat("b2", 31) + "b.docker A",
		"corp.example A", "corp.example AAAA", "corp.example TXT", "corp.example SRV", "corp.example MX", "x.corp.example A", "x.deep.corp.example A",
		"deep.corp.example AAAA", "alias.example A", "alias.example CNAME",
		"world.example A", "world.example AAAA", "world.example TXT", "below.world.example A",
	} {
		args := strings.Fields(query)
		for _, how := range []string{"+notcp", "+tcp", "+noedns"} {
			ours, theirs := n.dig(hubAddr, append(args, how)...), n.dig(peerAddr, append(args, how)...)
			if ours != theirs {
				t.Errorf("%s %s: sutler %q, rawdns %q", query, how, ours, theirs)
			}
		}
	}
	// What rawdns does not do.
	for query, want := range map[string]string{
		"nobody.docker A":                      "NXDOMAIN ", // rawdns 1.6 says so in its log, and answers NOERROR
		"dl.test A":                            "NOERROR dl.test. IN A " + hubAddr,
		"DL.Test A":                            "NOERROR DL.Test. IN A " + hubAddr,
		"dl.test AAAA":                         "NOERROR ",
		"dl.test HTTPS":                        "NOERROR ",
		"_http._tcp.dl.test SRV":               "NXDOMAIN ",
		"db.docker A":                          "NOERROR db.docker. IN A 10.2.0.2",
		"db.shop.docker A":                     "NOERROR db.shop.docker. IN A 10.2.0.2",
		"WEB.docker AAAA":                      "NXDOMAIN ",
		"-x 10.2.0.2":                          "NOERROR 2.0.2.10.in-addr.arpa. IN PTR shop-db-1.docker.",
		"corp.example ANY +notcp":              `NOERROR corp.example. IN HINFO "RFC8482" ""`,
		"world.example A +bufsize=4096 +norec": "NOERROR world.example. IN A 192.0.2.1",
	} {
		if got := n.dig(hubAddr, strings.Fields(query)...); got != want {
			t.Errorf("%s = %q, want %q", query, got, want)
		}
	}
}

// TestDNSDeadMansSwitch kills sutler while a bridge is redirected to it: names are looked up
// where they were before, within four seconds, over IPv4 and IPv6.
func TestDNSDeadMansSwitch(t *testing.T) {
	n := newDNSNet(t)
	n.rawdns("world", worldZones)
	const ours, theirs = "NOERROR dl.test. IN A " + hubAddr, "NOERROR dl.test. IN A 192.0.2.80"
	both := func(want string, within time.Duration) (took time.Duration) {
		t.Helper()
		for _, server := range []string{worldAddr, worldAddr6} {
			took += n.until(want, within-took, server, "dl.test", "A")
		}
		return took
	}
	both(theirs, 10*time.Second)
	d := startIn(t, n.enter("hub"), "127.0.0.1:7885", "DNS_LISTEN="+hubAddr+":53,["+hubAddr6+"]:53", "DNS_REDIRECT=dk0", "DNS_UPSTREAMS="+worldAddr, "HOSTS=generic=dl.test")
	both(ours, 5*time.Second)
	for started := time.Now(); time.Since(started) < 7*time.Second; time.Sleep(50 * time.Millisecond) {
		for _, server := range []string{worldAddr, worldAddr6} {
			if got := n.dig(server, "dl.test", "A"); got != ours {
				t.Fatalf("%s after the start at %s: %q", time.Since(started), server, got)
			}
		}
	}
	for _, server := range []string{worldAddr, worldAddr6} {
		if got := n.dig(server, "dl.test", "A", "+tcp"); got != ours {
			t.Errorf("over TCP at %s: %q", server, got)
		}
	}
	d.kill()
	t.Logf("killed: real answers after %s", both(theirs, 4*time.Second))
	d.serve()
	both(ours, 5*time.Second)
	n.in("hub", "nft", "flush", "ruleset")
	both(ours, 5*time.Second) // rules that somebody flushed are made again
	d.stop()
	for _, server := range []string{worldAddr, worldAddr6} {
		if got := n.dig(server, "dl.test", "A"); got != theirs {
			t.Errorf("after the stop at %s: %q", server, got)
		}
	}
	if out := n.in("hub", "nft", "list", "ruleset"); strings.TrimSpace(out) != "" {
		t.Errorf("left behind:\n%s", out)
	}
}

// TestDNSFamilies asks where only IPv6, and where both families are listened on: whoever asks
// two resolvers gets the same addresses from both.
func TestDNSFamilies(t *testing.T) {
	n := newDNSNet(t)
	const a, aaaa, none = "NOERROR dl.test. IN A " + hubAddr, "NOERROR dl.test. IN AAAA " + hubAddr6, "NOERROR "
	for listen, want := range map[string][2]string{
		"[" + hubAddr6 + "]:53":                 {none, aaaa},
		hubAddr + ":53,[" + hubAddr6 + "]:53":   {a, none},
		hubAddr + ":5353,[" + hubAddr6 + "]:53": {a, none},
		"127.0.0.1:5353,[" + hubAddr6 + "]:53":  {none, aaaa},
	} {
		d := startIn(t, n.enter("hub"), "127.0.0.1:7885", "DNS_LISTEN="+listen, "HOSTS=generic=dl.test")
		n.until(want[0], 5*time.Second, hubAddr6, "dl.test", "A")
		if got := n.dig(hubAddr6, "dl.test", "AAAA"); got != want[1] {
			t.Errorf("listening on %s: AAAA is %q, want %q", listen, got, want[1])
		}
		d.stop()
	}
}

// TestDNSLoad measures sutler beside rawdns: questions a second, the slowest of a hundred,
// and questions for a second of the server's processor.
func TestDNSLoad(t *testing.T) {
	if os.Getenv("SUTLER_E2E_LOAD") == "" {
		t.Skip("a measurement, which make bench runs: what else the machine does would decide")
	}
	n, d, rawPID := sideBySide(t)
	for _, name := range []string{"dl.test", "corp.example", "web.docker", "world.example"} {
		raw := name
		if name == "dl.test" {
			raw = "deep.corp.example" // the same in rawdns: one configured address
		}
		var ours, theirs load
		for range 3 { // round by round, the best of each counts
			ours = ours.better(n.load(hubAddr, name, d.cmd.Process.Pid))
			theirs = theirs.better(n.load(peerAddr, raw, rawPID))
		}
		t.Logf("%-14s sutler %s; rawdns %s", name, ours, theirs)
		if ours.rate < theirs.rate {
			t.Errorf("%s: sutler answers %.0f a second, rawdns %.0f", name, ours.rate, theirs.rate)
		}
		if name == "dl.test" && ours.perCPU < 1.5*theirs.perCPU { // 2.2 times on a quiet machine: the rest is the kernel's
			t.Errorf("%s: sutler answers %.0f for a second of processor, rawdns %.0f", name, ours.perCPU, theirs.perCPU)
		}
	}
}

// A load is what one measurement gave.
type load struct {
	rate, perCPU float64
	p99          time.Duration
}

func (l load) String() string {
	return fmt.Sprintf("%.0f/s, p99 %s, %.0f per CPU second", l.rate, l.p99.Round(time.Microsecond), l.perCPU)
}

func (l load) better(o load) load {
	if o.rate > l.rate {
		return o
	}
	return l
}

// load asks a server for a name from the box, by this very program.
func (n *dnsNet) load(server, name string, pid int) load {
	n.t.Helper()
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	before := cpuSeconds(n.t, pid)
	out := n.in("box", "env", "SUTLER_E2E_DNSLOAD="+server+" "+name, "SUTLER_BIN=none", self, "-test.run=^TestDNSGenerate$", "-test.v")
	used := cpuSeconds(n.t, pid) - before
	var l load
	var answers, micros int
	for line := range strings.Lines(out) {
		if _, rest, ok := strings.Cut(line, "generated "); ok {
			if _, err := fmt.Sscan(rest, &answers, &micros); err != nil {
				n.t.Fatal(err, out)
			}
		}
	}
	if answers == 0 {
		n.t.Fatalf("no answers:\n%s", out)
	}
	l.rate, l.p99 = float64(answers)/generateFor.Seconds(), time.Duration(micros)*time.Microsecond
	l.perCPU = float64(answers) / max(used, 0.01)
	return l
}

// cpuSeconds returns how long a process has had a processor. The clock of /proc ticks a
// hundred times a second.
func cpuSeconds(t *testing.T, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	ticks := 0
	for _, i := range []int{11, 12} { // utime, stime
		v, err := strconv.Atoi(fields[i])
		if err != nil {
			t.Fatal(err)
		}
		ticks += v
	}
	return float64(ticks) / 100
}

const (
	// generateFor is how long one measurement takes.
	generateFor = 2 * time.Second
	// generators is how many clients ask at once, each the next as soon as it has an answer.
	generators = 32
)

// TestDNSGenerate is the load generator that TestDNSLoad starts in another network.
func TestDNSGenerate(t *testing.T) {
	server, name, ok := strings.Cut(os.Getenv("SUTLER_E2E_DNSLOAD"), " ")
	if !ok {
		t.Skip("started by TestDNSLoad")
	}
	query := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, label := range strings.Split(name, ".") {
		query = append(append(query, byte(len(label))), label...)
	}
	query = append(query, 0, 0, 1, 0, 1)
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	end := time.Now().Add(generateFor)
	for range generators {
		all.Go(func() {
			mine := generate(t, server, query, end)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	all.Wait()
	slices.Sort(took)
	t.Logf("generated %d %d", len(took), took[len(took)*99/100].Microseconds())
}

// generate asks until then, and returns how long each answer took.
func generate(t *testing.T, server string, query []byte, end time.Time) []time.Duration {
	conn, err := net.Dial("udp", net.JoinHostPort(server, "53"))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer conn.Close()
	var took []time.Duration
	buffer := make([]byte, 1500)
	for time.Now().Before(end) {
		started := time.Now()
		if _, err := conn.Write(query); err != nil {
			t.Error(err)
			return took
		}
		if err := conn.SetReadDeadline(started.Add(time.Second)); err != nil {
			t.Error(err)
			return took
		}
		n, err := conn.Read(buffer)
		if err != nil {
			continue // lost: it is missing in the count
		}
		if n <= len(query) {
			t.Errorf("%d bytes", n)
			return took
		}
		took = append(took, time.Since(started))
	}
	return took
}
