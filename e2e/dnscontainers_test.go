package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A namer is a resolver of sutler's in the network of a real container engine.
type namer struct {
	t *testing.T
	*daemon
}

// nameServer is where a namer listens.
const nameServer = "127.0.0.1:5354"

// docker runs the engine's client, and returns the first line of what it prints.
func (n namer) docker(args ...string) string {
	n.t.Helper()
	line, _, _ := strings.Cut(n.must(n.dir, nil, "docker", args...).out, "\n")
	return strings.TrimSpace(line)
}

// tidy removes what may not be there. It is for the end of tests too, when a namer runs
// nothing any more.
func tidy(args ...string) { _ = exec.Command("docker", args...).Run() }

// start runs a container until the test ends and returns its id.
func (n namer) start(name string, args ...string) string {
	n.t.Helper()
	tidy("rm", "-f", name) // of a run that was killed
	n.t.Cleanup(func() { tidy("rm", "-f", name) })
	return n.docker(append(append([]string{"run", "-d", "--name", name}, args...), "debian:bookworm-slim", "sh", "-c", "trap exit TERM; sleep 600 & wait")...)
}

// network makes a network until the test ends.
func (n namer) network(name string, args ...string) {
	n.t.Helper()
	tidy("network", "rm", name) // likewise
	n.t.Cleanup(func() { tidy("network", "rm", name) })
	n.docker(append(append([]string{"network", "create"}, args...), name)...)
}

// ask returns the code and the sorted data of an answer in one line.
func (n namer) ask(query ...string) string {
	n.t.Helper()
	host, port, _ := strings.Cut(nameServer, ":")
	out := n.run(n.dir, nil, "dig", append([]string{"@" + host, "-p", port, "+time=5", "+tries=1", "+noall", "+comments", "+answer"}, query...)...).out
	return parseDig(out)
}

// parseDig returns the code and the sorted data of what dig printed.
func parseDig(out string) string {
	status, data := "none", []string{}
	for line := range strings.Lines(out) {
		if _, rest, ok := strings.Cut(line, "status: "); ok {
			status, _, _ = strings.Cut(rest, ",")
		} else if f := strings.Fields(line); len(f) >= 5 && !strings.HasPrefix(line, ";") {
			data = append(data, f[4])
		}
	}
	slices.Sort(data)
	return strings.Join(append([]string{status}, data...), " ")
}

// want waits until a question is answered so: an answer of the engine serves for a second.
func (n namer) want(want string, query ...string) {
	n.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; {
		got := n.ask(query...)
		if got == want {
			return
		}
		if time.Now().After(end) {
			n.t.Errorf("%v is %q, want %q", query, got, want)
			return
		}
	}
}

// addressesIn returns an answer with all addresses of containers, in the form of ask.
func (n namer) addressesIn(field string, containers ...string) string {
	n.t.Helper()
	var all []string
	for _, c := range containers {
		all = append(all, strings.Fields(n.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{."+field+"}} {{end}}", c))...)
	}
	slices.Sort(all)
	return strings.Join(append([]string{"NOERROR"}, slices.Compact(all)...), " ")
}

// addressIn returns the address of a container in one network.
func (n namer) addressIn(network, container string) string {
	n.t.Helper()
	return n.docker("inspect", "-f", fmt.Sprintf("{{(index .NetworkSettings.Networks %q).IPAddress}}", network), container)
}

// newNamer starts an engine and a resolver beside it.
func newNamer(t *testing.T, name string) namer {
	t.Helper()
	need(t, "dig")
	engine(t, name)
	d := startIn(t, []string{"nsenter", "--net=/run/netns/" + os.Getenv("SUTLER_E2E_NETNS")}, "127.0.0.1:7885", "DNS_LISTEN="+nameServer, "DNS_INTERCEPT=false")
	return namer{t, d}
}

// TestDNSContainers asks for containers of real engines.
func TestDNSContainers(t *testing.T) {
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			n := newNamer(t, name)
			n.network("sutler-a", "--ipv6", "--subnet=10.88.1.0/24", "--subnet=fd88:1::/64")
			n.network("sutler-b", "--subnet=10.88.2.0/24")
			id := n.start("sutler-web", "--network=sutler-a", "--network-alias=sutler-alias")
			n.docker("network", "connect", "sutler-b", "sutler-web")
			n.start("sutler-other", "--network=sutler-b", "--network-alias=sutler-alias", "--network-alias=cafe")
			n.start("sutler-alone", "--network=none")
			containerNames(n, id)
			containerChanges(n)
			t.Run("Compose", func(t *testing.T) { composeNames(namer{t, n.daemon}, name) })
			t.Run("IPv6Bridge", func(t *testing.T) { redirectBridge(namer{t, n.daemon}) })
			engineGone(n, name)
		})
	}
}

// containerNames asks for every name that containers have.
func containerNames(n namer, id string) {
	n.t.Helper()
	web := n.addressesIn("IPAddress", "sutler-web")
	if len(strings.Fields(web)) != 3 {
		n.t.Fatalf("sutler-web is at %q, not in two networks", web)
	}
	for _, name := range []string{"sutler-web", id[:12], id[:20], id[:63]} { // a label has 63 bytes at most, a full id 64
		n.want(web, name+".docker", "A")
	}
	n.want(n.addressesIn("GlobalIPv6Address", "sutler-web"), "sutler-web.docker", "AAAA")
	here := n.addressIn("sutler-a", "sutler-web")
	there := n.addressIn("sutler-b", "sutler-other")
	n.want("NOERROR "+here+" "+there, "sutler-alias.docker", "A") // sutler-web has no alias in sutler-b
	n.want("NOERROR "+there, "cafe.docker", "A")                  // no beginning of an id
	n.want("NOERROR", "sutler-alone.docker", "A")
	n.want("NXDOMAIN", "sutler-nobody.docker", "A")
	for _, address := range append(strings.Fields(web)[1:], strings.Fields(n.addressesIn("GlobalIPv6Address", "sutler-web"))[1:]...) {
		n.want("NOERROR sutler-web.docker.", "-x", address)
	}
}

// containerChanges stops, renames and removes a container.
func containerChanges(n namer) {
	n.t.Helper()
	n.docker("kill", "sutler-other")
	n.want("NOERROR", "sutler-other.docker", "A") // it is there, and has no address
	here := n.addressIn("sutler-a", "sutler-web")
	n.want("NOERROR "+here, "sutler-alias.docker", "A")
	n.docker("start", "sutler-other")
	n.docker("rename", "sutler-other", "sutler-renamed")
	n.t.Cleanup(func() { tidy("rm", "-f", "sutler-renamed") })
	n.want(n.addressesIn("IPAddress", "sutler-renamed"), "sutler-renamed.docker", "A")
	n.want("NXDOMAIN", "sutler-other.docker", "A")
	n.docker("rm", "-f", "sutler-renamed")
	n.want("NXDOMAIN", "sutler-renamed.docker", "A")
	n.want("NXDOMAIN", "cafe.docker", "A")
}

// composeNames asks for services of projects that real docker compose started: two projects
// with a service of the same name each.
func composeNames(n namer, engine string) {
	compose := []string{"docker-compose"}
	if engine == "docker28" {
		compose = []string{"docker", "compose"}
		if n.run(n.dir, nil, "docker", "compose", "version").code != 0 {
			lacks(n.t, "docker compose is missing in the tree of docker28")
		}
	} else {
		need(n.t, "docker-compose")
	}
	dir := n.t.TempDir()
	file := filepath.Join(dir, "docker-compose.yml")
	write(n.t, file, "version: '3'\nservices:\n  sutlerdb:\n    image: debian:bookworm-slim\n    command: sleep 600\n    networks: {default: {aliases: [sutler-store]}}\n")
	run := func(project string, args ...string) {
		n.t.Helper()
		command := append(slices.Clone(compose), append([]string{"-p", project, "-f", file}, args...)...)
		n.must(dir, nil, command[0], command[1:]...)
	}
	var containers []string
	for _, project := range []string{"sutlershop", "sutlermill"} {
		n.t.Cleanup(func() { run(project, "down", "-t", "0") })
		run(project, "up", "-d", "--scale", "sutlerdb=2")
		ids := strings.Fields(n.must(dir, nil, "docker", "ps", "-q", "--filter", "label=com.docker.compose.project="+project).out)
		if len(ids) != 2 {
			n.t.Fatalf("%s has containers %v", project, ids)
		}
		n.want(n.addressesIn("IPAddress", ids...), "sutlerdb."+project+".docker", "A")
		containers = append(containers, ids...)
	}
	n.want(n.addressesIn("IPAddress", containers...), "sutlerdb.docker", "A")
	n.want(n.addressesIn("IPAddress", containers...), "sutler-store.docker", "A")
	name := strings.TrimPrefix(n.docker("inspect", "-f", "{{.Name}}", containers[0]), "/")
	n.want(n.addressesIn("IPAddress", containers[0]), name+".docker", "A")
}

// redirectBridge asks from a container, over both families and a resolver that nobody is.
func redirectBridge(n namer) {
	const bridge, gateway, gateway6 = "sutlerbr6", "10.88.6.1", "fd88:6::1"
	n.network("sutler-six", "--ipv6", "--subnet=10.88.6.0/24", "--gateway="+gateway, "--subnet=fd88:6::/64", "--gateway="+gateway6,
		"-o", "com.docker.network.bridge.name="+bridge)
	d := startIn(n.t, n.in, "127.0.0.1:7886", "DNS_LISTEN="+gateway+":53,["+gateway6+"]:53", "DNS_REDIRECT="+bridge, "DNS_INTERCEPT=false", "DNS_STATIC=six.test A 192.0.2.6", "DNS_UPSTREAMS=192.0.2.53")
	defer d.stop()
	for _, server := range []string{"192.0.2.53", "2001:db8::53"} {
		script := fmt.Sprintf("echo 'nameserver %s' >/etc/resolv.conf; for i in 1 2 3 4 5 6 7 8; do getent hosts six.test && exit; done; exit 1", server)
		r := d.run(d.dir, nil, "docker", "run", "--rm", "--network=sutler-six", "debian:bookworm-slim", "sh", "-c", script)
		if r.code != 0 || !strings.Contains(r.out, "192.0.2.6") {
			n.t.Errorf("by %s: exit code %d\n%s%s", server, r.code, r.out, r.err)
		}
	}
}

// engineGone ends the engine and starts it again: whoever cannot know does not say that
// there is no such name.
func engineGone(n namer, name string) {
	n.t.Helper()
	output(n.t, "./engines.sh", "chroot", name, "sh", "-c", "kill -TERM 1")
	n.want("SERVFAIL", "sutler-web.docker", "A")
	n.want("SERVFAIL", "sutler-nobody.docker", "A")
	output(n.t, "./engines.sh", "restart", name)
	n.want("NOERROR", "sutler-web.docker", "A") // it is there, and has ended
	n.docker("start", "sutler-web")
	n.want(n.addressesIn("IPAddress", "sutler-web"), "sutler-web.docker", "A")
}
