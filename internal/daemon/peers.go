package daemon

import (
	"bufio"
	"bytes"
	"cmp"
	"iter"
	"math"
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
	// scanShare is how much of the time of one processor may go into that: after a look no
	// other begins before it has taken that many times as long as the look.
	scanShare = 10
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
	// coming ends with the next look through the processes, which has not begun; nil if
	// nobody waits for one.
	coming chan struct{}

	looking sync.Mutex // of the one look at a time, and of next
	next    time.Time  // no look before that
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
	step, certain := p.recall(client)
	if certain {
		return step
	}
	p.look()
	p.mu.Lock()
	defer p.mu.Unlock()
	if m, ok := p.known[client]; ok {
		return m.step
	}
	if len(p.asked) >= maxAsked {
		clear(p.asked)
	}
	p.asked[client] = p.now()
	return ""
}

// mayBe reports whether a client that says it is of a step may be: it is one whose address
// is a step's, or the addresses of that step cannot be seen.
func (p *peers) mayBe(step string, client netip.Addr) bool {
	if p.step(client) != "" {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.known {
		if m.step == step {
			return false
		}
	}
	return true
}

// recall answers from what is known, and says whether that is certain.
func (p *peers) recall(client netip.Addr) (step string, certain bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	steps := p.running()
	if len(steps) == 0 {
		clear(p.known)
		return "", true
	}
	if m, ok := p.known[client]; ok {
		// The address may be another container's by now.
		if steps[m.step] == m.container && p.holds(m.pid, m.container) {
			return m.step, true
		}
		delete(p.known, client)
	}
	return "", len(p.missing(steps)) == 0 || p.now().Sub(p.asked[client]) < scanAgain
}

// missing returns those of some steps whose addresses are not known.
func (p *peers) missing(steps map[string]string) map[string]string {
	for _, m := range p.known {
		if steps[m.step] == m.container && p.holds(m.pid, m.container) {
			delete(steps, m.step)
		}
	}
	return steps
}

// look returns when the processes were looked through, from a moment on that is after the
// call. Who comes before it begins shares it: however many clients there are, there is one
// look at a time, and a rest after each.
func (p *peers) look() {
	p.mu.Lock()
	done := p.coming
	if done != nil {
		p.mu.Unlock()
		<-done
		return
	}
	done = make(chan struct{})
	p.coming = done
	p.mu.Unlock()
	defer close(done)

	p.looking.Lock()
	defer p.looking.Unlock()
	began := p.now()
	time.Sleep(p.next.Sub(began))
	p.mu.Lock()
	p.coming = nil
	steps := p.missing(p.running())
	p.mu.Unlock()
	began = p.now()
	found := p.scan(steps)
	p.next = p.now().Add(scanShare * p.now().Sub(began))
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, m := range found {
		p.known[a] = m
		delete(p.asked, a)
	}
}

// scan looks for the processes of steps, and returns whose addresses are theirs.
func (p *peers) scan(steps map[string]string) map[netip.Addr]member {
	own, _ := os.Readlink(filepath.Join(p.proc, "self/ns/net"))
	first := map[string]candidate{} // the oldest process of each step
	for pid, cgroup := range p.cgroups() {
		for step, container := range steps {
			if !names(cgroup, container) {
				continue
			}
			// What watches a container is in a group of that name too, and in our network.
			if theirs, err := os.Readlink(p.path(pid, "ns/net")); err != nil || theirs == own {
				continue
			}
			c := candidate{pid: pid, started: p.started(pid)}
			if known, ok := first[step]; !ok || c.before(known) {
				first[step] = c
			}
		}
	}
	found := map[netip.Addr]member{}
	for step, c := range first {
		for _, a := range addressesIn(p.path(c.pid, "net")) {
			found[a] = member{step, steps[step], c.pid}
		}
	}
	return found
}

// cgroups iterates over the processes of this machine and their control groups.
func (p *peers) cgroups() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		entries, _ := os.ReadDir(p.proc) // none: no processes are seen
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			cgroup, err := os.ReadFile(p.path(pid, "cgroup"))
			if err != nil {
				continue // it has ended
			}
			if !yield(pid, cgroup) {
				return
			}
		}
	}
}

// alive returns which steps, given with their containers, have a process: one of the
// container, or the runtime that is making it, whose command names it.
func (p *peers) alive(steps map[string]string) (ids []string) {
	if len(steps) == 0 {
		return nil
	}
	for pid, cgroup := range p.cgroups() {
		command, _ := os.ReadFile(p.path(pid, "cmdline")) // it may just have ended
		for step, container := range steps {
			if !slices.Contains(ids, step) && (names(cgroup, container) || names(command, container)) {
				ids = append(ids, step)
			}
		}
	}
	return ids
}

// A candidate is a process that may be the first of a container: that one lives as long as
// the container, and its network is what the engine made. What it starts may have networks
// of its own, with any addresses that it likes, and even a lower number.
type candidate struct {
	pid     int
	started uint64 // ticks since the machine started
}

func (c candidate) before(d candidate) bool {
	return cmp.Or(cmp.Compare(c.started, d.started), cmp.Compare(c.pid, d.pid)) < 0
}

// started returns when a process was started; if that cannot be told, late.
func (p *peers) started(pid int) uint64 {
	stat, err := os.ReadFile(p.path(pid, "stat"))
	if err != nil {
		return math.MaxUint64
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before may hold anything
	if len(fields) < 20 {
		return math.MaxUint64
	}
	ticks, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return math.MaxUint64
	}
	return ticks
}

// names reports whether a control group is named for a container: the id of one may begin
// that of another.
func names(cgroup []byte, container string) bool {
	for rest := cgroup; container != ""; {
		at := bytes.Index(rest, []byte(container))
		if at < 0 {
			return false
		}
		end := at + len(container)
		if (at == 0 || !inID(rest[at-1])) && (end == len(rest) || !inID(rest[end])) {
			return true
		}
		rest = rest[end:]
	}
	return false
}

func inID(b byte) bool { return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }

// holds reports whether a process is one of a container.
func (p *peers) holds(pid int, container string) bool {
	cgroup, err := os.ReadFile(p.path(pid, "cgroup"))
	return err == nil && names(cgroup, container)
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
