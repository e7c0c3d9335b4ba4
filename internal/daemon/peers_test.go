package daemon

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// trie is what the kernel writes of a network namespace with one address.
const trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 172.17.0.0
        /16 link UNICAST
Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 172.17.0.0/16 2 0 2
        |-- ADDRESS
           /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
`

// A fakeProc is a folder in the form of /proc.
type fakeProc struct {
	t   *testing.T
	dir string
}

// process makes a process in a control group, with an address in a network of that name.
func (f fakeProc) process(pid, cgroup, network, address string) {
	f.t.Helper()
	dir := filepath.Join(f.dir, pid)
	for name, text := range map[string]string{
		"cgroup": cgroup + "\n", "net/fib_trie": strings.Replace(trie, "ADDRESS", address, 1),
		"net/if_inet6": "fd000017000000000242ac11" + fmt.Sprintf("%08s", pid) + " 05 40 00 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			f.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Symlink("net:["+network+"]", filepath.Join(dir, "ns/net")); err != nil {
		f.t.Fatal(err)
	}
}

// started says when a process was started.
func (f fakeProc) started(pid string, ticks int) {
	f.t.Helper()
	text := pid + " (a) b) S" + strings.Repeat(" 1", 18) + fmt.Sprintf(" %d 0 0\n", ticks)
	if err := os.WriteFile(filepath.Join(f.dir, pid, "stat"), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f fakeProc) end(pid string) {
	f.t.Helper()
	if err := os.RemoveAll(filepath.Join(f.dir, pid)); err != nil {
		f.t.Fatal(err)
	}
}

// TestPeers finds steps by their control groups, in all forms that engines give them, and
// forgets them with their processes.
func TestPeers(t *testing.T) {
	proc := fakeProc{t, t.TempDir()}
	steps := map[string]string{"s1": "c1c1", "s2": "c2c2", "s3": "c3c3", "s4": "c4c4"}
	p := newPeers(proc.dir, func() map[string]string { return maps.Clone(steps) })
	now := time.Unix(1e9, 0)
	p.now = func() time.Time { return now }
	proc.process("self", "0::/", "1", "192.0.2.1")
	proc.process("7", "0::/system.slice/libpod-conmon-c1c1.scope", "1", "192.0.2.1") // watches a container
	proc.process("20", "0::/system.slice/docker-c1c1.scope", "2", "172.17.0.2")      // systemd, cgroup v2
	proc.process("21", "12:pids:/docker/buildkit/c2c2\n11:cpu:/docker/buildkit/c2c2", "3", "172.17.0.3")
	proc.process("22", "0::/../../kubepods/c3c3/init", "4", "172.17.0.4")
	proc.process("30", "0::/docker/aaaa", "5", "172.17.0.5")
	proc.process("40", "0::/docker/c4c4", "1", "192.0.2.1") // in the network of the machine
	is := func(address, want string) {
		t.Helper()
		if got := p.step(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s belongs to %q, want %q", address, got, want)
		}
	}
	is("172.17.0.2", "s1")
	is("172.17.0.3", "s2")
	is("fd00:17::242:ac11:0:20", "s1")
	is("172.17.0.4", "s3")
	is("172.17.0.5", "")
	is("192.0.2.1", "")
	proc.process("41", "0::/", "1", "192.0.2.1")
	if err := os.WriteFile(proc.dir+"/41/cmdline", []byte("runc\x00run\x00c8c8\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := p.alive(map[string]string{"s1": "c1c1", "s4": "c4c4", "s8": "c8c8", "s9": "c9c9"}); len(got) != 3 || slices.Contains(got, "s9") {
		t.Errorf("alive: %v, want s1, s4 and s8", got)
	}

	// The address goes to another container: it does not belong to the step any more.
	proc.end("20")
	proc.process("50", "0::/docker/bbbb", "6", "172.17.0.2")
	is("172.17.0.2", "")
	proc.process("51", "0::/docker/c1c1", "7", "172.17.0.6")
	is("172.17.0.6", "s1")

	// The same unknown client is not looked for all the time.
	proc.process("60", "0::/docker/c5c5", "8", "172.17.0.5")
	steps["s5"] = "c5c5"
	is("172.17.0.5", "")
	now = now.Add(scanAgain)
	is("172.17.0.5", "s5")
	delete(steps, "s5")
	is("172.17.0.5", "")
	clear(steps)
	is("172.17.0.3", "")
}

// TestPeersForged has a step start processes of its own: what addresses it gives to their
// networks are not believed, however low their numbers are. Nor is a container whose id only
// begins like that of a step.
func TestPeersForged(t *testing.T) {
	proc := fakeProc{t, t.TempDir()}
	p := newPeers(proc.dir, func() map[string]string { return map[string]string{"s1": "buildah-buildah12"} })
	proc.process("self", "0::/", "1", "192.0.2.1")
	proc.process("900", "0::/buildah-buildah12.scope", "2", "172.17.0.2")
	proc.started("900", 5000)
	proc.process("30", "0::/buildah-buildah12.scope", "3", "172.17.0.9") // numbers began anew
	proc.started("30", 6000)
	proc.process("20", "0::/buildah-buildah123.scope", "4", "172.17.0.4")
	proc.started("20", 10)
	for address, want := range map[string]string{"172.17.0.2": "s1", "172.17.0.9": "", "172.17.0.4": ""} {
		if got := p.step(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s belongs to %q, want %q", address, got, want)
		}
	}
}

// TestPeersStolenName has a container say that it is of a step whose name it has got hold of.
func TestPeersStolenName(t *testing.T) {
	proc := fakeProc{t, t.TempDir()}
	p := newPeers(proc.dir, func() map[string]string { return map[string]string{"s1": "c1c1", "s2": "c2c2", "s3": "c3c3"} })
	proc.process("self", "0::/", "1", "192.0.2.1")
	proc.process("20", "0::/docker/c1c1", "2", "172.17.0.2")
	proc.process("21", "0::/docker/c2c2", "3", "172.17.0.3")
	proc.process("30", "0::/docker/aaaa", "4", "172.17.0.4")
	for _, tt := range []struct {
		step, address string
		want          bool
	}{
		{"s1", "172.17.0.2", true},
		{"s1", "172.17.0.3", true}, // a step all the same
		{"s1", "172.17.0.4", false},
		{"s3", "172.17.0.4", true}, // whose processes are not seen
	} {
		if got := p.mayBe(tt.step, netip.MustParseAddr(tt.address)); got != tt.want {
			t.Errorf("%s as %s: %v", tt.address, tt.step, got)
		}
	}
}

// TestPeersFlood has many unknown clients at once, while a step runs that is not found: they
// share looks, and a step that is known does not wait for them.
func TestPeersFlood(t *testing.T) {
	proc := fakeProc{t, t.TempDir()}
	proc.process("self", "0::/", "1", "192.0.2.1")
	proc.process("20", "0::/docker/c1c1", "2", "172.17.0.2")
	for pid := range 300 {
		proc.process(fmt.Sprint(1000+pid), "0::/", "1", "192.0.2.1")
	}
	var running atomic.Int64 // how often that was asked: once by each client, once by each look
	p := newPeers(proc.dir, func() map[string]string {
		running.Add(1)
		return map[string]string{"s1": "c1c1", "s2": "c2c2"}
	})
	known := netip.MustParseAddr("172.17.0.2")
	if p.step(known) != "s1" {
		t.Fatal("not found")
	}
	const clients = 1000
	began := running.Load()
	p.looking.Lock() // as while a look goes on
	var flood sync.WaitGroup
	for n := range clients {
		flood.Go(func() { p.step(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)})) })
	}
	if p.step(known) != "s1" { // it would wait for ever
		t.Error("a known step is not found")
	}
	p.looking.Unlock()
	flood.Wait()
	if looks := running.Load() - began - clients - 1; looks < 1 || looks > clients/20 {
		t.Errorf("%d looks for %d clients", looks, clients)
	}
}

// BenchmarkPeers measures what a look at all processes of this machine costs, and what a
// connection of a step costs that is known.
func BenchmarkPeers(b *testing.B) {
	steps := map[string]string{"s": "no container has this id"}
	b.Run("scan", func(b *testing.B) {
		p := newPeers("/proc", func() map[string]string { return maps.Clone(steps) })
		for b.Loop() {
			p.scan(maps.Clone(steps))
		}
	})
	b.Run("known", func(b *testing.B) {
		p := newPeers("/proc", func() map[string]string { return map[string]string{"s": "/"} })
		a := netip.MustParseAddr("192.0.2.1")
		p.known[a] = member{"s", "/", os.Getpid()}
		for b.Loop() {
			if p.step(a) != "s" {
				b.Fatal("not known")
			}
		}
	})
}
