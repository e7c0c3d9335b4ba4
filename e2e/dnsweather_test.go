package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// resolvedScript starts systemd-resolved in a mount namespace of its own, with the user that
// it becomes and its configuration. It needs neither systemd nor a bus.
const resolvedScript = `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/resolve /run/of-etc /etc/systemd
(cat /etc/passwd; echo 'systemd-resolve:x:990:990::/:/usr/sbin/nologin') >/run/of-etc/passwd
(cat /etc/group; echo 'systemd-resolve:x:990:') >/run/of-etc/group
chown 990:990 /run/systemd/resolve
mount --bind /run/of-etc/passwd /etc/passwd
mount --bind /run/of-etc/group /etc/group
mount -t tmpfs tmpfs /etc/systemd
printf "$2" >/etc/systemd/resolved.conf
exec "$1"
`

// resolved runs systemd-resolved in the hub and returns its pid.
func (n *dnsNet) resolved(config string) int {
	n.t.Helper()
	program := "/lib/systemd/systemd-resolved"
	if _, err := os.Stat(program); err != nil { // installing it would change this machine's resolver
		need(n.t, "apt-get", "dpkg-deb")
		dir := n.t.TempDir()
		get := exec.Command("apt-get", "-o", "APT::Sandbox::User=root", "download", "systemd-resolved")
		get.Dir = dir
		if out, err := get.CombinedOutput(); err != nil {
			lacks(n.t, "no systemd-resolved: "+string(out))
		}
		packages, err := filepath.Glob(dir + "/*.deb")
		if err != nil || len(packages) != 1 {
			n.t.Fatal(packages, err)
		}
		n.host("dpkg-deb", "-x", packages[0], dir)
		program = dir + program
	}
	return n.background("hub", "unshare", "--mount", "--propagation", "private", "sh", "-c", resolvedScript, "sh", program, config)
}

// background runs a program in a namespace until the test ends, and returns its pid.
func (n *dnsNet) background(name string, command ...string) int {
	n.t.Helper()
	command = append(n.enter(name), command...)
	cmd := exec.Command(command[0], command[1:]...)
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill() // or it has ended
		_ = cmd.Wait()         // its status is the signal
		if n.t.Failed() {
			n.t.Logf("%s:\n%s", command[len(n.enter(name))], log)
		}
	})
	return cmd.Process.Pid
}

// TestDNSBehindStub finds the resolvers that are behind the stub of systemd-resolved.
func TestDNSBehindStub(t *testing.T) {
	n := newDNSNet(t)
	n.rawdns("world", worldZones)
	pid := n.resolved("[Resolve]\nDNS=" + worldAddr + "\n")
	const stub = "/run/systemd/resolve/stub-resolv.conf"
	in := append(n.enter("hub"), fmt.Sprintf("--mount=/proc/%d/ns/mnt", pid))
	within := func(command ...string) string {
		out, _ := exec.Command(in[0], append(in[1:], command...)...).CombinedOutput() // not there yet
		return string(out)
	}
	waitFor(t, "the stub's file", func() bool { return strings.Contains(within("cat", stub), "nameserver 127.0.0.53") })
	d := startIn(t, in, "127.0.0.1:7885", "DNS_LISTEN="+hubAddr+":53", "DNS_RESOLV_CONF="+stub)
	n.until("NOERROR world.example. IN A 192.0.2.1", 5*time.Second, hubAddr, "world.example", "A")
	if out := d.sutler("dns").out; !strings.Contains(out, worldAddr) || strings.Contains(out, "127.0.0.53") {
		t.Errorf("sutler dns names other resolvers than those behind the stub:\n%s", out)
	}
	within("sh", "-c", "echo nameserver "+peerAddr+" >/run/systemd/resolve/resolv.conf") // as resolved does when a link comes up
	n.rawdns("peer", `{"world.example.": {"type": "static", "addrs": ["192.0.2.99"]}, "fresh.example.": {"type": "static", "addrs": ["192.0.2.98"]}}`)
	n.until("NOERROR fresh.example. IN A 192.0.2.98", 10*time.Second, hubAddr, "fresh.example", "A")
}

// TestDNSPortTaken starts sutler where another resolver has port 53 of the bridge's address:
// it says so, works beside it by a redirect, and takes the port once it is free.
func TestDNSPortTaken(t *testing.T) {
	for _, other := range []string{"systemd-resolved", "dnsmasq"} {
		t.Run(other, func(t *testing.T) {
			n := newDNSNet(t)
			n.rawdns("world", worldZones)
			const ours, theirs = "NOERROR dl.test. IN A " + hubAddr, "NOERROR dl.test. IN A 192.0.2.80"
			var pid int
			if other == "dnsmasq" {
				need(t, "dnsmasq")
				pid = n.background("hub", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--no-hosts", "--user=root", "--server="+worldAddr)
			} else {
				pid = n.resolved("[Resolve]\nDNS=" + worldAddr + "\nDNSSEC=no\nDNSStubListenerExtra=" + hubAddr + "\n")
			}
			n.until(theirs, 10*time.Second, hubAddr, "dl.test", "A")
			d := startIn(t, n.enter("hub"), "127.0.0.1:7885", "DNS_LISTEN="+hubAddr+":53", "DNS_UPSTREAMS="+worldAddr, "HOSTS=generic=dl.test")
			waitFor(t, "the cause", func() bool { return strings.Contains(d.sutler("status").out, "another program has it") })
			if got := n.dig(hubAddr, "dl.test", "A"); got != theirs {
				t.Errorf("%s answers %q beside sutler", other, got)
			}
			d.stop()
			d.set("DNS_LISTEN="+hubAddr+":5353", "DNS_REDIRECT=dk0")
			d.serve()
			n.until(ours, 5*time.Second, hubAddr, "dl.test", "A") // redirected on its way to the other
			d.stop()
			n.until(theirs, 2*time.Second, hubAddr, "dl.test", "A")
			d.set("DNS_LISTEN="+hubAddr+":53", "DNS_REDIRECT=")
			d.serve()
			if process, err := os.FindProcess(pid); err != nil || process.Kill() != nil {
				t.Fatal(err)
			}
			n.until(ours, 5*time.Second, hubAddr, "dl.test", "A")
		})
	}
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
