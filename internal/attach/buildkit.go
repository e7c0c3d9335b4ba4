package attach

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"sutler/internal/attach/tools"
)

// buildkitd is the name of BuildKit's program.
const buildkitd = "buildkitd"

// A BuildKit is a buildkitd of this machine that runs by itself, not inside of docker. It
// reads its file at its start only.
type BuildKit struct {
	machine Machine
	service *service
}

var _ Tool = (*BuildKit)(nil)

// newBuildKit returns the buildkitd of a machine; restart is the command that restarts it,
// "" to find out.
func newBuildKit(m Machine, restart string) *BuildKit {
	b := &BuildKit{machine: m}
	b.service = &service{machine: m, name: "buildkit", program: buildkitd, command: restart, setting: "attach.buildkit_restart", user: !m.System, find: b.process}
	return b
}

// Name implements Tool.
func (b *BuildKit) Name() string { return "buildkit" }

// socket returns where buildkitd listens.
func (b *BuildKit) socket() string {
	if named, ok := strings.CutPrefix(b.machine.Getenv("BUILDKIT_HOST"), "unix://"); ok {
		return named
	}
	dir := "/run"
	if !b.machine.System {
		dir = b.machine.Getenv("XDG_RUNTIME_DIR")
	}
	return filepath.Join(b.machine.Root, dir, "buildkit/buildkitd.sock")
}

// process returns the running buildkitd.
func (b *BuildKit) process() (process, error) {
	pid, err := peer(b.socket())
	if err != nil {
		return process{}, err
	}
	p, ok := processAt(pid, buildkitd)
	if !ok {
		return p, fmt.Errorf("%s: process %d listens there, and is no buildkitd", b.socket(), pid)
	}
	return p, nil
}

// Plan implements Tool.
func (b *BuildKit) Plan(_ context.Context, w Wish) (Plan, error) {
	running, err := b.process()
	up := err == nil
	if !up && !b.machine.exists("/usr/bin/buildkitd") && !b.machine.exists("/usr/local/bin/buildkitd") && !b.machine.exists("/etc/buildkit") {
		return Plan{}, fmt.Errorf("buildkit: %w", ErrAbsent)
	}
	site := b.machine.site(w)
	if path, ok := running.flag("--config"); ok && filepath.IsAbs(path) {
		site.BuildKit = path
	}
	changes := tools.BuildKit(site)
	proxied, err := b.proxied(running, changes[0].Path)
	if err != nil {
		return Plan{}, err
	}
	if proxied && b.machine.Bridge != "" {
		site.URL = "http://" + net.JoinHostPort(b.machine.Bridge, w.Port) // the proxy is on a network of its own
	}
	if proxied && w.Bundle != "" && b.service.unit() {
		changes = append(changes, tools.BuildKitProxy(site)...)
	}
	r, cannot := b.service.restarter()
	for i := range changes {
		if up && cannot == nil {
			changes[i].Reload = "" // it is offered
		}
	}
	p, err := planOf(changes)
	if proxied && len(changes) == 1 {
		p.Notes = append(p.Notes, "Its steps go through BuildKit's own proxy: start buildkitd with HTTP_PROXY and HTTPS_PROXY naming sutler, and SSL_CERT_FILE its bundle.")
	}
	if err != nil || !up || cannot != nil {
		return p, err
	}
	p.Commands = []string{r.name}
	p.More, p.Cost = "base images come from sutler after a restart of buildkitd", "running builds end"
	return p, nil
}

// proxied reports whether steps go through BuildKit's own proxy network, from which sutler
// is reached by that proxy alone.
func (b *BuildKit) proxied(running process, path string) (bool, error) {
	if v, ok := running.flag("--proxy-network"); ok && v != "false" {
		return true, nil
	}
	file, err := b.machine.read(path)
	if err != nil {
		return false, err
	}
	var c struct{ ProxyNetwork bool }
	if err := toml.Unmarshal(file.data(), &c); err != nil {
		return false, nil // the edit will say what is wrong with it
	}
	return c.ProxyNetwork, nil
}

// Validate implements Tool: buildkitd cannot be asked.
func (b *BuildKit) Validate(context.Context, string, []byte) error { return nil }

// Activate implements Tool.
func (b *BuildKit) Activate(ctx context.Context, need Need) ([]string, error) {
	if need != Restart {
		return nil, nil
	}
	r, err := b.service.restarter()
	if err != nil {
		return nil, err
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, backWithin, fmt.Errorf("buildkitd is not back after %s", backWithin))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if _, err := b.process(); err == nil {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Works implements Tool.
func (b *BuildKit) Works(context.Context, Wish) ([]string, error) {
	if _, err := b.process(); err != nil {
		return nil, nil // it does not run: there is nothing to lose
	}
	return []string{"buildkitd answers"}, nil
}

// Tidy implements Tool.
func (b *BuildKit) Tidy(context.Context) {}
