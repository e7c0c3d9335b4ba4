package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sutler/internal/ca"
	"sutler/internal/netfilter"
)

// standIn is what intercepted hosts resolve to.
var standIn = netfilter.StandIn.String()

// A resident is a sutler that lives in an engine's own file system and network, as it would
// on a machine: its configuration is in /etc, and the engine finds its wrapper on PATH.
type resident struct {
	t    *testing.T
	name string // of the engine
	tree string
	url  string // of a file of the npm registry
	host string // of that
}

// residentImage has what the tests run in containers.
const residentImage = "sutler-e2e/resident"

// residentFolders are those in which a resident leaves something, in the engine's words.
var residentFolders = [...]string{"/etc/sutler", "/var/lib/sutler", "/var/cache/sutler", "/run/sutler", "/run/sutler-steps"}

// reside starts a sutler in an engine, with the wrapper installed, until the test ends.
func reside(t *testing.T, name string) *resident {
	t.Helper()
	engine(t, name)
	r := &resident{t: t, name: name, tree: strings.TrimSpace(output(t, "./engines.sh", "root", name)), url: registryFile(t)}
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	r.host = u.Hostname()
	if _, err := os.Stat(r.tree + "/usr/sbin/nft"); err != nil {
		lacks(t, "the tree of "+name+" was made without nftables: remove "+r.tree)
	}
	program := r.tree + "/usr/local/bin/sutler"
	write(t, program, contents(t, binary))
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("sutler: %s\n%s\n%s", r.run("sutler", "status").out, r.run("nft", "list", "table", "inet", netfilter.Table).out,
				r.run("tail", "-n40", "/var/lib/sutler/sutler.log").out)
		}
		r.run("sutler", "down", "-y")
		r.run("sutler", "runtime", "remove", "/usr/local/sbin/runc")
		for _, dir := range append(residentFolders[:], "/usr/local/bin/sutler", residentRoots) {
			if err := os.RemoveAll(r.tree + dir); err != nil {
				t.Error(err)
			}
		}
	})
	write(t, r.tree+residentRoots, roots())
	r.up()
	r.must("sutler", "runtime", "install", "/usr/local/sbin/runc")
	r.build("FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl\n"+
		"COPY roots.pem /etc/ssl/certs/ca-certificates.crt\n", "-t", residentImage)
	return r
}

// residentRoots is where an engine's tree has the roots that this machine trusts.
const residentRoots = "/var/lib/sutler-e2e.pem"

// roots returns the certificates that this machine trusts.
func roots() string {
	pem, _ := ca.SystemRoots()
	return string(pem)
}

// up starts sutler.
func (r *resident) up() {
	r.t.Helper()
	r.must("env", "SSL_CERT_FILE="+residentRoots, "sutler", "up", "--only", "none")
}

// run runs a command where the engine runs.
func (r *resident) run(command ...string) result {
	r.t.Helper()
	args := append([]string{"chroot", r.name, "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, command...)
	cmd := exec.Command("./engines.sh", args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	got := result{}
	if err := cmd.Run(); err != nil {
		got.code = max(1, cmd.ProcessState.ExitCode())
	}
	got.out, got.err = out.String(), errs.String()
	return got
}

// must runs a command that has to succeed.
func (r *resident) must(command ...string) result {
	r.t.Helper()
	got := r.run(command...)
	if got.code != 0 {
		r.t.Fatalf("%s: exit %d\n%s%s", strings.Join(command, " "), got.code, got.out, got.err)
	}
	return got
}

// build builds a Dockerfile by a plain docker build, every step anew.
func (r *resident) build(dockerfile string, args ...string) string {
	r.t.Helper()
	dir := r.t.TempDir()
	write(r.t, dir+"/Dockerfile", dockerfile)
	write(r.t, dir+"/roots.pem", roots())
	out, err := exec.Command("docker", append(append([]string{"build", "--no-cache"}, args...), dir)...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("docker build: %v\n%s", err, out)
	}
	return string(out)
}

// ignorant is a Dockerfile with a step whose client takes no proxy.
func (r *resident) ignorant() string {
	return "FROM " + residentImage + "\nRUN curl --noproxy '*' -fsS -o /dev/null " + r.url + "\n"
}

// container runs a command in a container that is no build step.
func (r *resident) container(network string, command ...string) string {
	r.t.Helper()
	return output(r.t, "docker", append([]string{"run", "--rm", "--network", network, residentImage}, command...)...)
}

// fetch has a container fetch a URL and returns the address that it came from.
func (r *resident) fetch(network, url string) string {
	r.t.Helper()
	return strings.TrimSpace(r.container(network, "curl", "-fsS", "-o", "/dev/null", "-w", "%{remote_ip}", url))
}

// lastStep returns the receipt of the last step.
func (r *resident) lastStep() (s struct {
	summary
	Command string
}) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.must("sutler", "receipt", "show", "last", "--json").out), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// answers returns how much clients were answered, and not through tunnels.
func (r *resident) answers() (n int64) {
	r.t.Helper()
	var s struct {
		Counters struct{ Answers map[string]int64 }
	}
	if err := json.Unmarshal([]byte(r.must("sutler", "status", "--json").out), &s); err != nil {
		r.t.Fatal(err)
	}
	for outcome, count := range s.Counters.Answers {
		if outcome != "bypass" {
			n += count
		}
	}
	return n
}

// until waits until a condition holds, and returns how long that took.
func (r *resident) until(what string, within time.Duration, holds func() bool) time.Duration {
	r.t.Helper()
	for started := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if holds() {
			return time.Since(started)
		}
		if time.Since(started) > within {
			r.t.Fatalf("%s: not within %s", what, within)
		}
	}
}

// gone fails if an attach left anything.
func (r *resident) gone() {
	r.t.Helper()
	if got := r.run("nft", "list", "tables"); strings.Contains(got.out, netfilter.Table) {
		r.t.Errorf("left in the packet filter: %s", got.out)
	}
	if _, err := os.Stat(r.tree + "/etc/sutler"); !errors.Is(err, fs.ErrNotExist) {
		r.t.Errorf("/etc/sutler: %v", err)
	}
	if out := output(r.t, "docker", "ps", "-aq", "--filter", "label=sutler-probe"); out != "" {
		r.t.Errorf("left in the engine: %s", out)
	}
}

// TestAttachNames leads containers to sutler by names: build steps are opened and have
// receipts, all others have their connections tunnelled and their ports left to them.
func TestAttachNames(t *testing.T) {
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			r := reside(t, name)
			if got := r.fetch("bridge", r.url); got == standIn {
				t.Fatal("attached already")
			}
			if out := r.must("sutler", "attach", "dns", "--dry-run").out; !strings.Contains(out, "+bridges = true") {
				t.Errorf("dry run: %s", out)
			}
			r.gone()
			started := time.Now()
			out := r.must("sutler", "attach", "dns").err
			t.Logf("attached in %s: %s", time.Since(started).Round(time.Millisecond), out)
			if !strings.Contains(out, "a container on network bridge is led to sutler for "+r.host) || !strings.Contains(out, "bridge reaches https://"+r.host) {
				t.Errorf("no container was asked: %s", out)
			}
			if out := r.must("sutler", "attach", "dns").err; !strings.Contains(out, "nothing to change") {
				t.Errorf("again: %s", out)
			}
			r.strangers()
			for _, buildkit := range []string{"0", "1"} {
				t.Setenv("DOCKER_BUILDKIT", buildkit)
				r.stepsAreOpened()
			}
			r.portsAreFree()
			r.networks()
			r.neighbours()
			r.internal()
			r.must("sutler", "detach", "dns")
			r.gone()
			if got := r.fetch("bridge", r.url); got == standIn {
				t.Error("detached, and containers are led to sutler")
			}
		})
	}
}

// strangers fetches as containers do that are no build steps: over TLS the real host answers,
// with its own certificate, and over plain HTTP the cache.
func (r *resident) strangers() {
	r.t.Helper()
	before := r.answers()
	if got := r.fetch("bridge", r.url); got != standIn {
		r.t.Errorf("a container reached %s at %s", r.host, got)
	}
	if n := r.answers() - before; n != 0 {
		r.t.Errorf("the connection of a container was opened: %d answers", n)
	}
	r.container("bridge", "apt-get", "update")
	if n := r.answers() - before; n == 0 {
		r.t.Error("plain HTTP went past the cache")
	}
}

// stepsAreOpened builds twice; the second time all comes from the store.
func (r *resident) stepsAreOpened() {
	r.t.Helper()
	for _, outcome := range []string{"", "hit"} {
		before := len(r.receipts())
		r.build(r.ignorant())
		r.until("a receipt of the step", 10*time.Second, func() bool { return len(r.receipts()) > before })
		s := r.lastStep()
		if !strings.Contains(s.Command, "--noproxy") || len(s.Lines) != 1 || s.Lines[0].URL != r.url || s.Lines[0].Ecosystem != "npm" || outcome != "" && s.Lines[0].Outcome != outcome {
			r.t.Errorf("the receipt of a step: %+v", s)
		}
	}
}

func (r *resident) receipts() (all []any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.must("sutler", "receipt", "ls", "--json").out), &all); err != nil {
		r.t.Fatal(err)
	}
	return all
}

// portsAreFree publishes all ports that clients of sutler ask for.
func (r *resident) portsAreFree() {
	r.t.Helper()
	id := strings.TrimSpace(output(r.t, "docker", "run", "-d", "-p", "53:53", "-p", "53:53/udp", "-p", "80:80", "-p", "443:443", residentImage, "sleep", "60"))
	output(r.t, "docker", "rm", "-f", id)
}

// networks makes two networks with a container of one alias on each, while sutler runs. Names
// of the network are the engine's. Newer engines also ask for the other names themselves.
func (r *resident) networks() {
	r.t.Helper()
	for _, n := range []string{"sutler-e2e-one", "sutler-e2e-two"} {
		output(r.t, "docker", "network", "create", n)
		defer func() { output(r.t, "docker", "network", "rm", n) }()
		id := strings.TrimSpace(output(r.t, "docker", "run", "-d", "--network", n, "--network-alias", "db", residentImage, "sleep", "300"))
		defer func() { output(r.t, "docker", "rm", "-f", id) }()
		own := strings.TrimSpace(output(r.t, "docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", id))
		led := func() bool {
			out, err := exec.Command("docker", "exec", id, "getent", "ahostsv4", r.host).CombinedOutput()
			if err != nil { // until it leads here, it is the machine's resolver that may fail
				r.t.Logf("no answer on %s: %v: %s", n, err, out)
			}
			return strings.Contains(string(out), standIn)
		}
		byEngine := strings.Contains(output(r.t, "docker", "exec", id, "cat", "/etc/resolv.conf"), "host(")
		if !byEngine {
			r.until("network "+n+" leads to sutler", 10*time.Second, led)
		}
		if got := r.container(n, "getent", "ahostsv4", "db"); !strings.HasPrefix(got, own+" ") {
			r.t.Errorf("db on %s is %q, want %s", n, got, own)
		}
		if got := r.fetch(n, r.url); (got == standIn) == byEngine {
			r.t.Errorf("a container on %s reached %s at %s; does the engine ask for names itself? %t", n, r.host, got, byEngine)
		}
	}
}

// neighbours has a container ask another one on its bridge for names: nobody answers in its place.
func (r *resident) neighbours() {
	r.t.Helper()
	id := strings.TrimSpace(output(r.t, "docker", "run", "-d", residentImage, "sleep", "60"))
	defer func() { output(r.t, "docker", "rm", "-f", id) }()
	at := strings.TrimSpace(output(r.t, "docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", id))
	out, _ := exec.Command("docker", "run", "--rm", "--dns", at, residentImage, "timeout", "2", "getent", "ahostsv4", r.host).CombinedOutput() // nobody listens
	if len(out) > 0 {
		r.t.Errorf("a question to %s was answered: %s", at, out)
	}
}

// internal makes a network whose containers are to reach nothing outside, and one beside it.
func (r *resident) internal() {
	r.t.Helper()
	bridge := func(name string, flags ...string) string {
		id := output(r.t, "docker", append(append([]string{"network", "create"}, flags...), name)...)
		r.t.Cleanup(func() { output(r.t, "docker", "network", "rm", name) })
		return "br-" + id[:12]
	}
	shut, open := bridge("sutler-e2e-shut", "--internal"), bridge("sutler-e2e-open")
	gateway := strings.TrimSpace(output(r.t, "docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", "sutler-e2e-shut"))
	if gateway == "" { // older engines leave it out until it is used
		r.t.Log("the gateway of an internal network is not known")
		gateway = "none"
	}
	status := ""
	r.until("the network that is not internal to be served", 10*time.Second, func() bool {
		status = r.must("sutler", "status").out
		return strings.Contains(status, open)
	})
	if strings.Contains(status, shut) || strings.Contains(status, gateway+":") {
		r.t.Errorf("sutler serves the internal network %s, %s:\n%s", shut, gateway, status)
	}
}

// TestAttachNamesBadWeather kills sutler while containers are led to it, and takes the port
// of names from it.
func TestAttachNamesBadWeather(t *testing.T) {
	need(t, "dnsmasq")
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			r := reside(t, name)
			r.otherResolver()
			r.must("sutler", "attach", "dns")
			if got := r.fetch("bridge", r.url); got != standIn {
				t.Errorf("beside another resolver, a container reached %s at %s", r.host, got)
			}
			id := strings.TrimSpace(output(t, "docker", "run", "-d", residentImage, "sleep", "600"))
			defer func() { output(t, "docker", "rm", "-f", id) }()
			led := func() bool { // a client waits five seconds for an answer that is lost
				out, err := exec.Command("docker", "exec", id, "timeout", "1", "getent", "ahostsv4", r.host).Output()
				return err != nil || !strings.Contains(string(out), r.host) || strings.Contains(string(out), standIn)
			}
			if !led() {
				t.Fatal("a container is not led to sutler")
			}
			r.kill()
			t.Logf("killed: real addresses after %s", r.until("real addresses", 4*time.Second, func() bool { return !led() }))
			r.build(r.ignorant())
			r.must("sutler", "down")
			r.gone()

			// A bad configuration is an error to who asks, and changes nothing.
			r.up()
			r.must("sutler", "attach", "dns")
			bad := r.tree + "/etc/sutler/conf.d/60-bad.toml"
			write(t, bad, "[dns]\nstatic = [\"nonsense\"]\n")
			if got := r.run("sutler", "reload"); got.code == 0 || !strings.Contains(got.err, "dns.static") {
				t.Errorf("reload: exit %d: %s", got.code, got.err)
			}
			if !led() {
				t.Error("a bad configuration ended the redirect")
			}
			write(t, bad, "listen = [\"127.0.0.1:7999\"]\n[dns]\ndomain = \"box\"\n")
			if got := r.must("sutler", "reload").out; !strings.Contains(got, "applied: dns.domain\n") || !strings.Contains(got, "restart: listen\n") {
				t.Errorf("reload: %s", got)
			}
			if err := os.Remove(bad); err != nil {
				t.Fatal(err)
			}
			r.must("sutler", "down")
			r.gone()
		})
	}
}

// otherResolver runs dnsmasq on the bridge's port of names until the test ends.
func (r *resident) otherResolver() {
	r.t.Helper()
	dir := r.t.TempDir()
	cmd := exec.Command("nsenter", "--net=/run/netns/"+os.Getenv("SUTLER_E2E_NETNS"), "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
		"--listen-address=172.17.0.1", "--bind-interfaces", "--user=root", "--pid-file="+filepath.Join(dir, "pid"))
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it runs
		_ = cmd.Wait()         // its status is the signal
	})
	r.until("dnsmasq listens", 5*time.Second, func() bool {
		return strings.Contains(output(r.t, "nsenter", "--net=/run/netns/"+os.Getenv("SUTLER_E2E_NETNS"), "ss", "-lnu"), "172.17.0.1:53 ")
	})
}

// kill ends sutler at once.
func (r *resident) kill() {
	r.t.Helper()
	var s struct{ PID int }
	if err := json.Unmarshal([]byte(r.must("sutler", "status", "--json").out), &s); err != nil {
		r.t.Fatal(err)
	}
	r.must("sh", "-c", "kill -9 $0", strconv.Itoa(s.PID))
}
