package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"sutler/internal/control"
)

const notRunning = "sutler is not running"

func checkConfig(_ context.Context, x *exam) []Finding {
	var out []Finding
	for _, text := range x.Ignored {
		out = append(out, Finding{Severity: Warning, What: "a variable is no setting: " + text, Where: "environment", Fix: "correct its name, or unset it"})
	}
	if len(out) == 0 {
		return ok("", "configuration is in order")
	}
	return out
}

func checkDaemon(_ context.Context, x *exam) []Finding {
	switch {
	case errors.Is(x.statusErr, control.ErrNotRunning):
		return []Finding{Finding{Severity: Broken, What: notRunning + "; plain builds go past it", Where: x.Config.Socket}.
			fixable("start it", "sutler up", x.Start)}
	case errors.Is(x.statusErr, fs.ErrPermission):
		return []Finding{{Severity: Broken, What: x.statusErr.Error(), Where: x.Config.Socket,
			Fix: "run this as that user, or start a sutler of your own", Command: "sutler up"}}
	case x.statusErr != nil:
		return []Finding{{Severity: Broken, What: x.statusErr.Error(), Where: x.Config.Socket, Fix: "restart it", Command: "sutler down && sutler up"}}
	case x.status.Version != x.Version:
		return []Finding{{Severity: Warning, What: fmt.Sprintf("sutler %s is running, this program is %s", x.status.Version, x.Version),
			Where: fmt.Sprintf("process %d", x.status.PID), Fix: "restart it", Command: "sutler down && sutler up"}}
	}
	var out []Finding
	for _, t := range x.status.Trouble[max(0, len(x.status.Trouble)-3):] {
		out = append(out, Finding{Severity: Warning, What: "trouble: " + t, Where: "sutler status", Fix: "see what it says; the log has more"})
	}
	return append(ok(fmt.Sprintf("process %d", x.status.PID), "sutler "+x.status.Version+" is running"), out...)
}

func checkListen(_ context.Context, x *exam) []Finding {
	if !x.up() {
		return skipped(notRunning)
	}
	if len(x.status.Listen) == 0 {
		return []Finding{{Severity: Broken, What: "sutler serves no clients", Fix: "restart it", Command: "sutler down && sutler up"}}
	}
	var out []Finding
	for _, a := range x.status.Listen {
		if ap, err := netip.ParseAddrPort(a); err == nil && ap.Addr().IsUnspecified() {
			out = append(out, Finding{Severity: Warning, What: "everyone who reaches this machine can use the cache", Where: a,
				Fix: "name the addresses in listen; bridges are found by themselves", Command: "sutler config show --origin"})
		}
	}
	return append(out, ok(strings.Join(x.status.Listen, ", "), "clients are served")...)
}

// nearlyFull is the share of a limit from which it is worth a word, per cent.
const nearlyFull = 95

func checkStore(_ context.Context, x *exam) []Finding {
	dir := x.Config.Store.Dir
	if x.up() {
		dir = x.status.Store.Dir
	}
	at := dir
	for at != filepath.Dir(at) { // before the first start it is not there
		if _, err := x.Stat(at); err == nil {
			break
		}
		at = filepath.Dir(at)
	}
	free, err := x.Free(at)
	if err != nil {
		return []Finding{{Severity: Broken, What: "the store's file system does not answer: " + err.Error(), Where: dir, Fix: "see whether it is mounted", Command: "df " + dir}}
	}
	size := func(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
	used, limit := x.status.Store.Bytes, x.Config.Store.MaxSize
	switch {
	case free < x.Config.Store.MinFree:
		return []Finding{{Severity: Warning, What: fmt.Sprintf("%s free, less than store.min_free (%s): sutler evicts and stores little", size(free), size(x.Config.Store.MinFree)),
			Where: dir, Fix: "free space there, or put store.dir elsewhere", Command: "sutler du"}}
	case limit > used && free < limit-used:
		return []Finding{{Severity: Warning, What: fmt.Sprintf("%s free, but the store may still grow by %s", size(free), size(limit-used)),
			Where: dir, Fix: "lower store.max_size, or free space", Command: "sutler prune --max-size " + strings.ReplaceAll(size(used+free/2), " ", "")}}
	case limit > 0 && used > limit/100*nearlyFull:
		return ok(dir, fmt.Sprintf("%s of %s used: the least useful files are evicted", size(used), size(limit)))
	}
	return ok(dir, fmt.Sprintf("%s used, %s free", size(used), size(free)))
}

// caSoon is when the end of the local authority is worth a word.
const caSoon = 14 * 24 * time.Hour

func checkCA(_ context.Context, x *exam) []Finding {
	switch ca := x.status.CA; {
	case !x.up():
		return skipped(notRunning)
	case len(ca.Names) == 0:
		return skipped("intercept.enabled is off: there is no local authority")
	case x.Now().After(ca.NotAfter):
		return []Finding{{Severity: Broken, What: "the local authority has expired: TLS through sutler fails", Where: ca.NotAfter.Format(time.DateOnly),
			Fix: "restart sutler, it makes another", Command: "sutler down && sutler up"}}
	case x.Now().Add(caSoon).After(ca.NotAfter):
		return []Finding{{Severity: Warning, What: "the local authority expires soon", Where: ca.NotAfter.Format(time.DateOnly),
			Fix: "restart sutler after that day, it makes another"}}
	default:
		return ok("until "+ca.NotAfter.Format(time.DateOnly), fmt.Sprintf("the local authority is constrained to %d hosts", len(ca.Names)))
	}
}

// checkFiles looks at who can reach what is secret.
func checkFiles(_ context.Context, x *exam) []Finding {
	ca := filepath.Join(x.Config.Store.State, "ca")
	var out []Finding
	seen := 0
	for _, f := range []struct {
		path, what string
		mode       fs.FileMode
	}{
		{x.Config.Socket, "the control socket", 0o600},
		{ca, "the folder of the local authority", 0o700},
		{filepath.Join(ca, "ca.pem"), "the key of the local authority", 0o600},
	} {
		info, err := x.Stat(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			out = append(out, Finding{Severity: Skipped, What: f.what + ": " + err.Error()})
			continue
		}
		seen++
		if loose := info.Mode().Perm() &^ f.mode; loose != 0 {
			apply := func(context.Context) error { return x.Chmod(f.path, f.mode) }
			out = append(out, Finding{Severity: Broken, What: fmt.Sprintf("others can reach %s (mode %04o)", f.what, info.Mode().Perm()), Where: f.path}.
				fixable("keep it to yourself", fmt.Sprintf("chmod %04o %s", f.mode, f.path), apply))
		}
	}
	if len(out) == 0 && seen > 0 {
		return ok(x.Config.Store.State, "socket and keys are the owner's alone")
	}
	if len(out) == 0 {
		return skipped("no socket and no local authority yet")
	}
	return out
}

// checkVariables looks for variables that lead programs past sutler, or elsewhere.
func checkVariables(_ context.Context, x *exam) []Finding {
	var out []Finding
	for _, name := range []string{"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"} {
		value := x.variable(name)
		if value == "" || x.ours(value) {
			continue
		}
		out = append(out, Finding{Severity: Warning, Where: name, What: "programs started here use another proxy, " + withoutUser(value) + ", not sutler",
			Fix: "if origins are reached through it only, set upstream.proxy to it; builds and commands get sutler's by `sutler build` and `sutler exec`", Command: "unset " + name})
	}
	if v := x.variable("no_proxy") + x.variable("NO_PROXY"); strings.Contains(v, "*") {
		out = append(out, Finding{Severity: Warning, Where: "no_proxy", What: "programs started here use no proxy at all (*)", Fix: "name hosts instead", Command: "unset no_proxy NO_PROXY"})
	}
	if len(out) == 0 {
		return ok("", "no variable leads past sutler")
	}
	return out
}

// ours reports whether a URL or host:port is one of sutler's addresses, as it runs or as
// it is configured.
func (x *exam) ours(address string) bool {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		rest = address
	}
	rest, _, _ = strings.Cut(rest, "/")
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return false
	}
	all := append(slices.Clone(x.status.Listen), x.Config.Listen...)
	if slices.Contains(all, rest) {
		return true
	}
	samePort := slices.ContainsFunc(all, func(a string) bool { return strings.HasSuffix(a, ":"+port) })
	if !samePort {
		return false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host == "localhost" || host == "host.docker.internal"
	}
	return addr.IsLoopback() || x.local(addr)
}

// local reports whether an address is one of this machine's.
func (x *exam) local(addr netip.Addr) bool {
	all, err := x.Interfaces()
	if err != nil {
		return false
	}
	for _, addrs := range all {
		if slices.Contains(addrs, addr) {
			return true
		}
	}
	return false
}
