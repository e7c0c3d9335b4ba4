// Package doctor examines the whole way of a build's fetches: the daemon, the engine, the
// networks of its containers, the origins, and what earlier runs left behind.
//
// Each check is a small function that says what it found, never more than the user can act
// on. It changes nothing by itself: fixes are applied only when asked for, and only those
// that are marked as safe. All that it reads and runs goes through [Env], which tests fake.
package doctor

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"time"

	"sutler/internal/builder"
	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ecosystem"
	"sutler/internal/probe"
)

// A Severity says how bad a finding is.
type Severity string

// The severities, from best to worst.
const (
	OK      Severity = "ok"
	Skipped Severity = "skipped" // the check could not be made; the finding says why
	Warning Severity = "warning" // something does not work as it could
	Broken  Severity = "broken"  // builds fail, or are not served
)

// A Finding is what one check found.
type Finding struct {
	Check    string   `json:"id"` // the check's name
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Where    string   `json:"where,omitempty"`   // file, address, network or variable
	Fix      string   `json:"fix,omitempty"`     // what to do, for people
	Command  string   `json:"command,omitempty"` // what to run
	Safe     bool     `json:"safe,omitempty"`    // Apply does it, as often as one likes

	apply func(context.Context) error
}

// errNoFix is returned by Apply where there is nothing that is safe to do.
var errNoFix = errors.New("no fix that is safe to apply")

// Apply does what Command says. Only a finding that is Safe has something to apply.
func (f Finding) Apply(ctx context.Context) error {
	if f.apply == nil {
		return errNoFix
	}
	return f.apply(ctx)
}

// fixable adds a safe fix.
func (f Finding) fixable(text, command string, apply func(context.Context) error) Finding {
	f.Fix, f.Command, f.Safe, f.apply = text, command, apply != nil, apply
	return f
}

// An Env is the world as checks see it. All members are required but Config.
type Env struct {
	Version  string
	Config   config.Config // in force here, which may not be the daemon's
	Ignored  []string      // variables that look like settings and are none
	Vars     []string      // environment, "NAME=value"
	Root     bool          // run by root
	Profiles []ecosystem.Profile

	Now        func() time.Time
	Status     func(context.Context) (control.Status, error)
	Start      func(context.Context) error // starts the daemon
	ReadFile   func(string) ([]byte, error)
	Stat       func(string) (fs.FileInfo, error)
	Glob       func(string) ([]string, error)
	Chmod      func(string, fs.FileMode) error
	Remove     func(string) error              // no error if it is not there
	Free       func(dir string) (int64, error) // bytes on its file system
	Interfaces func() (map[string][]netip.Addr, error)
	Resolve    func(ctx context.Context, host string) ([]string, error)
	// Do sends a request to an origin as sutler would reach it: through its own proxy, if
	// it has one.
	Do func(*http.Request) (*http.Response, error)
	// Run runs a program and returns what it prints. The error holds what it complains of.
	Run func(ctx context.Context, stdin io.Reader, name string, args ...string) ([]byte, error)
	// Build runs a builder's client with more variables and returns all that it prints.
	Build func(ctx context.Context, env []string, name string, args ...string) ([]byte, error)
	// Context makes a folder with these files, by name, and this program, named sutler;
	// remove deletes it.
	Context func(files map[string]string) (dir string, remove func(), err error)
	// Look looks at sutler from this machine, and Image makes the image whose containers
	// look at it from theirs.
	Look  func(context.Context, probe.Spec) probe.Report
	Image func() (*builder.Self, error)
}

// variable returns the last value of a variable, "" if it is not set.
func (e *Env) variable(name string) string {
	for i := len(e.Vars) - 1; i >= 0; i-- {
		if n := len(name); len(e.Vars[i]) > n && e.Vars[i][:n] == name && e.Vars[i][n] == '=' {
			return e.Vars[i][n+1:]
		}
	}
	return ""
}

// A check is one row of the table.
type check struct {
	name string
	run  func(context.Context, *exam) []Finding
}

// checks lists all checks in the order in which they are made and shown: causes first.
func checks() []check {
	return []check{
		{"config", checkConfig},
		{"daemon", checkDaemon},
		{"listen", checkListen},
		{"store", checkStore},
		{"ca", checkCA},
		{"files", checkFiles},
		{"variables", checkVariables},
		{"engine", checkEngines},
		{"bridge", checkBridge},
		{"runtime", checkRuntime},
		{"proxies", checkProxies},
		{"mirrors", checkMirrors},
		{"port53", checkPort53},
		{"leftovers", checkLeftovers},
		{"clock", checkClock},
		{"quota", checkQuota},
		{"origins", checkOrigins},
		{"network", checkNetworks},
		{"builders", checkBuilders},
	}
}

// Names returns the names of all checks, in order.
func Names() []string {
	var out []string
	for _, c := range checks() {
		out = append(out, c.name)
	}
	return out
}

// Run makes all checks and returns what they found. report is called with each finding as
// soon as it is there; it may be nil.
func Run(ctx context.Context, e Env, report func(Finding)) []Finding {
	x := examine(ctx, &e)
	var all []Finding
	for _, c := range checks() {
		if ctx.Err() != nil {
			break
		}
		for _, f := range c.run(ctx, x) {
			f.Check = c.name
			all = append(all, f)
			if report != nil {
				report(f)
			}
		}
	}
	return all
}

// Worst returns the worst severity among findings; skipped checks count as fine.
func Worst(all []Finding) Severity {
	worst := OK
	for _, f := range all {
		if f.Severity == Broken || f.Severity == Warning && worst == OK {
			worst = f.Severity
		}
	}
	return worst
}

// An exam is one run over the checks: what several of them need is looked up once.
type exam struct {
	*Env
	status    control.Status
	statusErr error // nil if the daemon runs
	engines   []engine
	origins   map[string]bool // by ecosystem, whether its origin answered this machine
}

// examine looks up what several checks need.
func examine(ctx context.Context, e *Env) *exam {
	x := &exam{Env: e, origins: map[string]bool{}}
	x.status, x.statusErr = e.Status(ctx)
	x.engines = findEngines(ctx, e)
	return x
}

// up reports whether the daemon runs.
func (x *exam) up() bool { return x.statusErr == nil }

// host returns the first public host of an ecosystem, "" if there is none.
func (x *exam) host(name string) string {
	for _, p := range x.Profiles {
		if p.Name == name && len(p.Hosts) > 0 {
			return p.Hosts[0]
		}
	}
	return ""
}

// ok and the following make findings.
func ok(where, what string) []Finding { return []Finding{{Severity: OK, Where: where, What: what}} }

func skipped(why string) []Finding { return []Finding{{Severity: Skipped, What: why}} }
