package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Bounds of the load of one round.
const (
	smallRequests = 60_000
	smallConns    = 64
	largeRequests = 24
	burstClients  = 100
)

// round measures one contestant once.
func (b *bench) round(c contestant, i int) (map[string]float64, error) {
	got := map[string]float64{}
	cold := once(b.ctx, c, path(large, fmt.Sprintf("cold-%s", c.name), i))
	if cold.err != nil {
		return nil, fmt.Errorf("cold: %w", cold.err)
	}
	got["cold 64 MB, first byte"], got["cold 64 MB, total"] = ms(cold.first), ms(cold.total)
	if c.name == "direct" {
		got["burst of 100, slowest first byte"] = ms(cold.first)
		return got, nil
	}
	if err := b.warm(c, got); err != nil {
		return nil, err
	}
	return got, b.burst(c, i, got)
}

// warm measures the processor time of hits.
func (b *bench) warm(c contestant, got map[string]float64) error {
	for _, load := range []struct {
		name     string
		size     int
		conns, n int
		per      float64 // one figure per so many requests
	}{
		{"warm 4 KB, CPU per request", small, smallConns, smallRequests, 1e6 / smallRequests},
		{"warm 64 MB, CPU per GB", large, 2, largeRequests, 1e9 / (large * largeRequests)},
	} {
		p := path(load.size, "warm-"+c.name, 0)
		if err := hammer(b.ctx, c, p, 1, 3); err != nil {
			return fmt.Errorf("%s: %w", load.name, err)
		}
		before, err := cpu(c.pid)
		if err != nil {
			return err
		}
		if err := hammer(b.ctx, c, p, load.conns, load.n); err != nil {
			return fmt.Errorf("%s: %w", load.name, err)
		}
		after, err := cpu(c.pid)
		if err != nil {
			return err
		}
		got[load.name] = (after - before).Seconds() * load.per
	}
	return nil
}

// burst measures many clients that ask for the same new file at once.
func (b *bench) burst(c contestant, i int, got map[string]float64) error {
	p := path(large, "burst-"+c.name, i)
	if err := resetPeak(c.pid); err != nil {
		return err
	}
	var slowest time.Duration
	failures := 0.0
	for _, x := range burst(b.ctx, c, p, burstClients) {
		slowest = max(slowest, x.first)
		if x.err != nil || x.size != large {
			failures++
		}
	}
	fetches, err := b.fetches(p)
	if err != nil {
		return err
	}
	peak, err := status(c.pid, "VmHWM")
	if err != nil {
		return err
	}
	got["burst of 100, upstream fetches"], got["burst of 100, failures"] = fetches, failures
	got["burst of 100, slowest first byte"], got["burst of 100, peak memory"] = ms(slowest), peak
	return nil
}

// ownFigures are those that have no rival: memory at rest, size of the program, and what
// a hit writes, counted by strace.
func (b *bench) ownFigures() ([]figure, error) {
	c := b.contestants[len(b.contestants)-1]
	idle, err := status(c.pid, "VmRSS")
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(b.binary)
	if err != nil {
		return nil, err
	}
	out := []figure{own("memory after the load", "MiB", idle, 0), own("size of the program", "MiB", float64(info.Size())/(1<<20), 40)}
	fresh, err := b.freshMemory()
	if err != nil {
		return nil, err
	}
	out = append(out, own("memory at rest", "MiB", fresh, 60))
	if _, err := exec.LookPath("strace"); err != nil {
		fmt.Fprintln(os.Stderr, "bench: strace is missing: writes per hit are not counted")
		return out, nil
	}
	n, err := b.writes(c)
	return append(out, own("fsync and file writes in 1,000 hits", "", n, 0)), err
}

// own returns a figure of sutler alone; max 0 with a unit means that there is no goal.
func own(name, unit string, v, limit float64) figure {
	f := figure{Name: name, Unit: unit, Values: map[string]float64{"sutler": v}}
	if limit > 0 || unit == "" {
		met := v <= limit
		f.Met, f.Goal = &met, fmt.Sprintf("≤ %g %s", limit, unit)
	}
	return f
}

// freshMemory starts another sutler on an empty store and returns what it needs at rest.
func (b *bench) freshMemory() (float64, error) {
	rest := &bench{ctx: b.ctx, binary: b.binary, origin: b.origin, dir: filepath.Join(b.dir, "rest")}
	if err := os.Mkdir(rest.dir, 0o700); err != nil {
		return 0, err
	}
	defer rest.close()
	if err := rest.startSutler(); err != nil {
		return 0, err
	}
	c := rest.contestants[0]
	if err := await(b.ctx, c.addr); err != nil {
		return 0, err
	}
	time.Sleep(2 * time.Second) // at rest means after what it does at its start
	return status(c.pid, "VmRSS")
}

// writes counts fsync, fdatasync and pwrite calls while 1,000 hits are served.
func (b *bench) writes(c contestant) (float64, error) {
	file := filepath.Join(b.dir, "strace")
	trace := exec.CommandContext(b.ctx, "strace", "-f", "-o", file, "-e", "trace=fsync,fdatasync,pwrite64,pwritev,sync_file_range", "-p", strconv.Itoa(c.pid)) //nolint:gosec // our own process
	if err := trace.Start(); err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		if pid, err := status(c.pid, "TracerPid"); err == nil && pid > 0 {
			break
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("strace did not attach to %d", c.pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
	err := hammer(b.ctx, c, path(small, "warm-"+c.name, 0), 4, 1000)
	_ = trace.Process.Signal(os.Interrupt) // it detaches and ends
	_ = trace.Wait()                       // its status is the signal
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(file)
	calls := 0
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "sync") || strings.Contains(line, "pwrite") {
			calls++
		}
	}
	return float64(calls), err
}

func path(size int, name string, i int) string {
	return fmt.Sprintf("/%d/%s-1.2.%d.tar.gz", size, name, i)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// cpu returns the processor time that a process and its children have used.
func cpu(pid int) (time.Duration, error) {
	var total time.Duration
	for _, p := range family(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		for _, ticks := range f[11:13] { // utime, stime: proc(5); 100 a second
			n, err := strconv.ParseInt(ticks, 10, 64)
			if err != nil {
				return 0, err
			}
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total, nil
}

// family returns a process and its children.
func family(pid int) []int {
	out := []int{pid}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return out // a kernel without that file: the process alone
	}
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// status returns a field of /proc/PID/status; sizes in MiB.
func status(pid int, field string) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		if name != field {
			continue
		}
		words := strings.Fields(value)
		n, err := strconv.ParseFloat(words[0], 64)
		if len(words) > 1 {
			n /= 1024
		}
		return n, err
	}
	return 0, fmt.Errorf("process %d has no %s", pid, field)
}

// resetPeak makes VmHWM start again from what is used now.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}
