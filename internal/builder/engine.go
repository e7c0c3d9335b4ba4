package builder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// ErrNoEngine means that there is no engine to build with.
var ErrNoEngine = errors.New("no build engine")

// An Engine is what a docker build would run on here and now.
type Engine struct {
	// Docker is the client program.
	Docker string
	// Name is for people: "docker 28.5.2 (BuildKit)".
	Name string
	// BuildKit is false for the classic builder.
	BuildKit bool
	// Loads says that the builder uses the images loaded into the engine, as only the
	// engine's own builder does.
	Loads bool
	// SecretEnv says that the engine can put a secret into a step's environment.
	SecretEnv bool
	// Arch is the engine's architecture in Go's words, "" if unknown.
	Arch string
	// Host is the name or address by which RUN steps reach this machine, and Listen the
	// address of this machine on which such connections come in. Both are "" if unknown.
	Host, Listen string
}

// Detect finds out what `docker build ARGS` would run on. docker is the client program,
// "docker" if empty.
func Detect(ctx context.Context, docker string, args []string) (Engine, error) {
	if docker == "" {
		docker = "docker"
	}
	e := Engine{Docker: docker}
	// Clients since 23 build with BuildKit by the buildx plugin only.
	_, noBuildx := e.ask(ctx, "buildx", "version")
	name, other := otherBuilder(parseArguments(args))
	out, err := e.ask(ctx, "version", "--format", "{{.Client.Version}}|{{.Server.Version}}|{{.Server.Arch}}")
	if err != nil && other && noBuildx == nil && buildKitWanted() {
		return e, e.buildx(ctx, name) // a builder of its own needs no engine
	}
	if err != nil {
		return e, fmt.Errorf("%w: %w", ErrNoEngine, err)
	}
	f := strings.Split(out, "|")
	if len(f) != 3 || f[1] == "" {
		return e, fmt.Errorf("%w: %s version says %q", ErrNoEngine, docker, out)
	}
	client, server := major(f[0]), major(f[1])
	e.Arch = f[2]
	e.SecretEnv = server >= 23
	e.BuildKit = buildKitWanted() && (client < 23 || noBuildx == nil)
	if e.BuildKit && other && client >= 23 {
		return e, e.buildx(ctx, name)
	}
	e.Name = "docker " + f[1] + " (classic builder)"
	if e.BuildKit {
		e.Name = "docker " + f[1] + " (BuildKit)"
		e.Loads = true
	}
	e.bridge(ctx)
	return e, nil
}

// buildKitWanted reports whether the user leaves us the choice of BuildKit.
func buildKitWanted() bool {
	v, set := os.LookupEnv("DOCKER_BUILDKIT")
	on, err := strconv.ParseBool(v)
	return !set || v == "" || err != nil || on
}

// otherBuilder reports whether docker build may use another builder than the engine's own,
// and its name, "" for the one selected. Unlike docker buildx build, docker build ignores
// that selection, unless it was made an alias.
func otherBuilder(a arguments) (string, bool) {
	if a.builder != "" {
		return a.builder, true
	}
	if name := os.Getenv("BUILDX_BUILDER"); name != "" {
		return name, true
	}
	return "", readClientConfig().Aliases["builder"] == "buildx"
}

// buildx asks buildx about one of its builders.
func (e *Engine) buildx(ctx context.Context, name string) error {
	ask := []string{"buildx", "inspect"}
	if name != "" {
		ask = append(ask, name)
	}
	out, err := e.ask(ctx, ask...)
	if err != nil {
		return fmt.Errorf("%w: builder %s: %w", ErrNoEngine, name, err)
	}
	e.BuildKit = true
	field := func(key string) string {
		for line := range strings.Lines(out) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	driver := field("Driver")
	e.Name = fmt.Sprintf("buildx builder %s (%s)", field("Name"), driver)
	if p, _, _ := strings.Cut(field("Platforms"), ","); driver != "docker" {
		e.Arch = arch(p)
		e.SecretEnv = true
	}
	switch driver {
	case "docker":
		e.Loads = true
		e.bridge(ctx)
	case "docker-container":
		e.bridge(ctx)
	case "remote":
		// A buildkitd of this machine runs steps in its own network, unless told otherwise.
		if at := field("Endpoint"); strings.HasPrefix(at, "unix://") || strings.Contains(at, "://127.") || strings.Contains(at, "://localhost") {
			e.Host, e.Listen = "127.0.0.1", "127.0.0.1"
		}
	}
	return nil
}

// arch returns the architecture of a platform such as "linux/arm64*".
func arch(platform string) string {
	parts := strings.Split(strings.TrimRight(platform, "*"), "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// bridge sets the address of the engine's default bridge, on which steps reach the host.
func (e *Engine) bridge(ctx context.Context) {
	if system, err := e.ask(ctx, "info", "--format", "{{.OperatingSystem}}"); err == nil && strings.Contains(system, "Docker Desktop") {
		// The engine runs in a virtual machine, which forwards this name to the host.
		e.Host, e.Listen = "host.docker.internal", "127.0.0.1"
		return
	}
	out, err := e.ask(ctx, "network", "inspect", "bridge")
	if err != nil {
		return
	}
	var networks []struct {
		IPAM struct {
			Config []struct{ Subnet, Gateway string }
		}
		Options map[string]string
	}
	if json.Unmarshal([]byte(out), &networks) != nil || len(networks) != 1 {
		return
	}
	for _, c := range networks[0].IPAM.Config {
		if a, err := netip.ParseAddr(c.Gateway); err == nil && a.Is4() {
			e.Host, e.Listen = a.String(), a.String()
			return
		}
	}
	// Engines leave the gateway out until a container has used the bridge.
	if a, ok := interfaceAddr(networks[0].Options["com.docker.network.bridge.name"]); ok {
		e.Host, e.Listen = a, a
	}
}

func interfaceAddr(name string) (string, bool) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return "", false
	}
	addrs, err := i.Addrs()
	if err != nil {
		return "", false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr().String(), true
		}
	}
	return "", false
}

// ask runs the client and returns what it prints.
func (e *Engine) ask(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, e.Docker, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("%s %s: %w: %s", e.Docker, args[0], err, line)
	}
	return strings.TrimSpace(string(out)), nil
}

// major returns the first number of a version, 0 if there is none.
func major(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(first) // what is no number is an old or a strange engine
	return n
}
