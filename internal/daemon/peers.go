package daemon

import (
	"bufio"
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// scanAgain is how soon the processes are looked through again for the same client.
	scanAgain = time.Second
	// maxAsked bounds how many clients are remembered that are no steps.
	maxAsked = 4096
)

// peers know which build step a client's address belongs to, from what sutler-runc reported
// and from the processes of this machine. Where those cannot be seen, as from within a
// container, nobody is known.
type peers struct {
	proc    string                   // "/proc"
	running func() map[string]string // container of each step that runs, by the step's id
	now     func() time.Time

	mu    sync.Mutex
	known map[netip.Addr]member
	asked map[netip.Addr]time.Time // when clients were looked for that are no steps
}

// A member is a process of a step's container.
type member struct {
	step, container string
	pid             int
}

func newPeers(proc string, running func() map[string]string) *peers {
	return &peers{proc: proc, running: running, now: time.Now, known: map[netip.Addr]member{}, asked: map[netip.Addr]time.Time{}}
}

// step returns the id of the step that a client belongs to, "" if it is none.
func (p *peers) step(client netip.Addr) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	steps := p.running()
	if len(steps) == 0 {
		clear(p.known)
		return ""
	}
	if m, ok := p.known[client]; ok {
		// The address may be another container's by now.
		if steps[m.step] == m.container && p.holds(m.pid, m.container) {
			return m.step
		}
		delete(p.known, client)
	}
	for _, m := range p.known {
		if steps[m.step] == m.container && p.holds(m.pid, m.container) {
			delete(steps, m.step) // it has its addresses
		}
	}
	now := p.now()
	if len(steps) == 0 || now.Sub(p.asked[client]) < scanAgain {
		return ""
	}
	p.scan(steps)
	if m, ok := p.known[client]; ok {
		return m.step
	}
	if len(p.asked) >= maxAsked {
		clear(p.asked)
	}
	p.asked[client] = now
	return ""
}

// scan looks for the processes of steps, and notes the addresses that they have.
func (p *peers) scan(steps map[string]string) {
	own, _ := os.Readlink(filepath.Join(p.proc, "self/ns/net"))
	entries, err := os.ReadDir(p.proc)
	if err != nil {
		return
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids) // the first process of a container lives as long as that
	for _, pid := range pids {
		cgroup, err := os.ReadFile(p.path(pid, "cgroup"))
		if err != nil {
			continue // it has ended
		}
		for step, container := range steps {
			if !bytes.Contains(cgroup, []byte(container)) {
				continue
			}
			// What watches a container is in a group of that name too, and in our network.
			if theirs, err := os.Readlink(p.path(pid, "ns/net")); err != nil || theirs == own {
				continue
			}
			for _, a := range addressesIn(p.path(pid, "net")) {
				p.known[a] = member{step, container, pid}
				delete(p.asked, a)
				delete(steps, step)
			}
		}
		if len(steps) == 0 {
			return
		}
	}
}

// holds reports whether a process is one of a container.
func (p *peers) holds(pid int, container string) bool {
	cgroup, err := os.ReadFile(p.path(pid, "cgroup"))
	return err == nil && bytes.Contains(cgroup, []byte(container))
}

func (p *peers) path(pid int, name string) string {
	return filepath.Join(p.proc, strconv.Itoa(pid), name)
}

// addressesIn returns the addresses of a network namespace, whose files are in dir, without
// those of loopback.
func addressesIn(dir string) []netip.Addr {
	var out []netip.Addr
	add := func(a netip.Addr, err error) {
		if err == nil && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	// "|-- 172.17.0.2" comes before "/32 host LOCAL".
	trie, _ := os.ReadFile(filepath.Join(dir, "fib_trie")) // none: no addresses
	last := ""
	for s := bufio.NewScanner(bytes.NewReader(trie)); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if text, ok := strings.CutPrefix(line, "|-- "); ok {
			last = text
		} else if line == "/32 host LOCAL" {
			add(netip.ParseAddr(last))
		}
	}
	six, _ := os.ReadFile(filepath.Join(dir, "if_inet6")) // likewise
	for line := range strings.Lines(string(six)) {
		digits, _, _ := strings.Cut(line, " ")
		var groups []string
		for ; len(digits) >= 4; digits = digits[4:] {
			groups = append(groups, digits[:4])
		}
		add(netip.ParseAddr(strings.Join(groups, ":")))
	}
	return out
}
