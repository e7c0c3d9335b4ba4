package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sutler/internal/edit"
	"sutler/internal/probe"
)

const (
	// inFront is the folder that engines look into before those where runtimes are installed.
	inFront = "/usr/local/sbin"
	// placeSuffix is the end of the name of the file that says what a wrapper stands for.
	placeSuffix = ".json"
)

// A Wrapper is the program that engines start in place of runc or crun: the steps of plain
// builds are served by it, whatever engine runs them. It is put before the real one on
// PATH, so no engine has to be told, and none to be restarted.
type Wrapper struct {
	Machine Machine

	looked bool // containers were run
}

var _ Tool = (*Wrapper)(nil)

// Name implements Tool.
func (r *Wrapper) Name() string { return "runtime" }

// Plan implements Tool.
func (r *Wrapper) Plan(_ context.Context, w Wish) (Plan, error) {
	var p Plan
	if r.Machine.exists("/usr/bin/crio") || r.Machine.exists("/usr/local/bin/crio") {
		return p, fmt.Errorf("runtime: %w: CRI-O is here, and keeps the path of the runc or crun that it finds on PATH when it starts: no pod would start after a detach; name the wrapper in the settings of the engine that builds (sutler runtime install, attach.docker_runtime)", ErrUnable)
	}
	for _, name := range []string{"runc", "crun"} {
		if !r.has(name) {
			continue
		}
		at := filepath.Join(inFront, name)
		if !r.Machine.System {
			return p, fmt.Errorf("%s: %w: engines of the whole machine run it; run sutler as root (sudo sutler up)", at, ErrUnable)
		}
		if len(w.Wrapper) == 0 {
			return p, fmt.Errorf("runtime: %w: this sutler was built without sutler-runc; build it with make", ErrUnable)
		}
		if w.Steps != "" {
			place, err := json.Marshal(map[string]string{"steps": w.Steps})
			if err != nil {
				return p, err
			}
			// First of all: a program without it would look elsewhere.
			p.Files = append(p.Files, File{Path: at + placeSuffix, Edit: edit.File(string(place)+"\n", `{"steps":`), Snippet: string(place)})
		}
		if err := r.free(at); err != nil {
			return p, err
		}
		p.Files = append(p.Files, File{Path: at, Edit: edit.Program(string(w.Wrapper), wrapperMark), Mode: 0o755,
			Snippet: "(the program that \"sutler runtime install " + at + "\" writes)"})
	}
	if len(p.Files) == 0 {
		return p, fmt.Errorf("runc, crun: %w", ErrAbsent)
	}
	return p, nil
}

// wrapperMark is in every sutler-runc, as the path of its main package.
const wrapperMark = "sutler/cmd/sutler-runc"

// IsWrapper reports whether a program is a sutler-runc, of any version.
func IsWrapper(program []byte) bool { return bytes.Contains(program, []byte(wrapperMark)) }

// has reports whether a runtime of that name is installed.
func (r *Wrapper) has(name string) bool {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"} {
		if r.Machine.exists(filepath.Join(dir, name)) {
			return true
		}
	}
	return false
}

// free returns an error if a path is taken by a program that is not ours.
func (r *Wrapper) free(path string) error {
	now, err := r.Machine.read(path)
	if err != nil || now != nil && !IsWrapper(now.Data) {
		return fmt.Errorf("%s: %w: another program is there; move it to /usr/local/bin, or name the wrapper in the engine's settings (attach.docker_runtime)", path, ErrUnable)
	}
	return nil
}

// Validate implements Tool: a program that an engine names by its path stays.
func (r *Wrapper) Validate(_ context.Context, path string, data []byte) error {
	if data != nil {
		return nil
	}
	if file := NamedBy(r.Machine, path); file != "" {
		return fmt.Errorf("%s names %s: without it no container would start; detach the engine, or take the name out and reload the engine", file, path)
	}
	return nil
}

// namedIn are files in which engines name their runtimes.
var namedIn = [...]string{"/etc/docker/daemon.json", "/etc/buildkit/buildkitd.toml", "/etc/containers/containers.conf", "/etc/containers/containers.conf.d/*",
	"/etc/containerd/config.toml", "/etc/containerd/conf.d/*", "/etc/crio/crio.conf", "/etc/crio/crio.conf.d/*"}

// NamedBy returns the file of an engine that names a runtime by its path, or the command
// line of docker; "" if none does.
func NamedBy(m Machine, path string) string {
	docker := &Docker{Machine: m, kind: system}
	if p, err := docker.dockerd(); err == nil && slices.ContainsFunc(p.args, func(a string) bool { return strings.HasSuffix(a, "="+path) }) {
		return "the command line of dockerd"
	}
	for _, pattern := range append(namedIn[:], docker.file()) {
		files, err := filepath.Glob(filepath.Join(m.Root, pattern))
		if err != nil {
			continue // no pattern here is malformed
		}
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && mentions(b, path) {
				return f
			}
		}
	}
	return ""
}

// mentions reports whether a configuration holds a path as a string, in either kind of quotes.
func mentions(text []byte, path string) bool {
	return bytes.Contains(text, []byte(`"`+path+`"`)) || bytes.Contains(text, []byte(`'`+path+`'`))
}

// Activate implements Tool: the next container is started through it.
func (r *Wrapper) Activate(context.Context, Need) ([]string, error) { return nil, nil }

// Works implements Tool. Steps are given a proxy at the address of their bridge: where a
// firewall of this machine drops what goes there, as ufw does by default, every build would
// hang. Where no container can be run to see it, nothing is known.
func (r *Wrapper) Works(ctx context.Context, w Wish) ([]string, error) {
	e := r.docker()
	i, err := e.info(ctx)
	if err != nil || w.Port == "" {
		return nil, nil
	}
	gateway, err := e.bridge(ctx)
	if err != nil {
		return nil, nil
	}
	image, err := e.loadSelf(ctx, i)
	if err != nil {
		return nil, nil
	}
	r.looked = true
	at := net.JoinHostPort(gateway, w.Port)
	for _, seen := range probe.Networks(ctx, e, image, []string{defaultNetwork}, func(string) probe.Spec { return probe.Spec{Endpoint: at} }) {
		if kind := seen.Report.Connect.Kind; kind == probe.TimedOut || kind == probe.Forbidden {
			return nil, fmt.Errorf("runtime: %w: a firewall of this machine keeps containers from sutler at %s (%s), and builds would hang; `sutler doctor` says how to let them through; then: sutler attach runtime", ErrUnable, at, kind)
		}
	}
	return nil, nil
}

// docker returns the engine that runs throw-away containers.
func (r *Wrapper) docker() *engine {
	return (&Docker{Machine: r.Machine, kind: system}).engine()
}

// Tidy implements Tool.
func (r *Wrapper) Tidy(ctx context.Context) {
	if r.looked {
		r.docker().Tidy(ctx, probe.Gone)
	}
}
