package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sutler/internal/attach/tools"
	"sutler/internal/edit"
	"sutler/internal/probe"
)

// A kind is one of the ways in which docker is installed.
type kind string

const (
	system      kind = "docker"
	rootless    kind = "docker-rootless"
	desktop     kind = "docker-desktop"
	boot2docker kind = "docker-boot2docker"
)

// A Docker is a docker engine of this machine.
type Docker struct {
	Machine Machine
	// RestartCommand restarts the engine; if "", sutler finds out how.
	RestartCommand string

	kind    kind
	dns     bool     // not the engine itself but its containers' resolver, as a part of its own
	up      bool     // it has answered since we look
	service *service // nil until a restart was thought of
}

// Dockers returns the engines that may be on a machine, one for each kind.
func Dockers(m Machine, restart string) []Tool {
	var out []Tool
	for _, k := range []kind{system, rootless, desktop, boot2docker} {
		out = append(out, &Docker{Machine: m, RestartCommand: restart, kind: k})
	}
	return append(out, &Docker{Machine: m, RestartCommand: restart, kind: system, dns: true})
}

var (
	_ Tool      = (*Docker)(nil)
	_ Forgetful = (*Docker)(nil)
)

// Name implements Tool.
func (d *Docker) Name() string {
	if d.dns {
		return "dns-docker"
	}
	return string(d.kind)
}

// socket returns where the engine listens.
func (d *Docker) socket() string {
	in := func(path string) string { return filepath.Join(d.Machine.Root, path) }
	own := in(filepath.Join(d.Machine.Getenv("XDG_RUNTIME_DIR"), "docker.sock"))
	named, isNamed := strings.CutPrefix(d.Machine.Getenv("DOCKER_HOST"), "unix://")
	switch {
	case d.kind == rootless:
		return own
	case d.kind == desktop && d.Machine.exists(d.Machine.Home+"/.docker/desktop/docker.sock"):
		return in(d.Machine.Home + "/.docker/desktop/docker.sock")
	case d.kind == desktop:
		return in(d.Machine.Home + "/.docker/run/docker.sock")
	case isNamed && named != own:
		return named
	}
	return in("/run/docker.sock")
}

// pidFiles are where the engine's process number may be.
func (d *Docker) pidFiles() []string {
	if d.kind == rootless {
		return []string{filepath.Join(d.Machine.Getenv("XDG_RUNTIME_DIR"), "docker.pid")}
	}
	return []string{"/run/docker.pid", "/var/run/docker.pid"}
}

// file returns the path of the engine's settings.
func (d *Docker) file() string {
	if p, err := d.dockerd(); err == nil && d.kind != boot2docker {
		if path, ok := p.flag("--config-file"); ok && filepath.IsAbs(path) {
			return path
		}
	}
	switch d.kind {
	case rootless:
		if dir := d.Machine.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
			return filepath.Join(dir, "docker/daemon.json")
		}
		return filepath.Join(d.Machine.Home, ".config/docker/daemon.json")
	case desktop:
		return filepath.Join(d.Machine.Home, ".docker/daemon.json")
	case boot2docker:
		return "/var/lib/boot2docker/profile"
	}
	return "/etc/docker/daemon.json"
}

// find returns ErrAbsent unless there is an engine of that kind.
func (d *Docker) find() error {
	m := d.Machine
	any := func(paths ...string) bool {
		for _, p := range paths {
			if m.exists(p) {
				return true
			}
		}
		return false
	}
	old := m.exists("/var/lib/boot2docker")
	found := false
	switch d.kind {
	case system:
		host := m.Getenv("DOCKER_HOST")
		if host != "" && !strings.HasPrefix(host, "unix://") {
			return fmt.Errorf("%w: DOCKER_HOST names an engine on another machine; attach where it runs", ErrAbsent)
		}
		_, err := os.Stat(d.socket())
		found = !old && (err == nil || any("/etc/docker/daemon.json", "/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd"))
	case rootless:
		found = !m.System && (any(d.file()) || filepath.IsAbs(m.Getenv("XDG_RUNTIME_DIR")) && any(m.Getenv("XDG_RUNTIME_DIR")+"/docker.sock"))
	case desktop:
		found = !m.System && any(m.Home+"/.docker/desktop", m.Home+"/.docker/run/docker.sock", "/Applications/Docker.app")
	case boot2docker:
		found = old
	}
	if !found {
		return fmt.Errorf("%s: %w", d.kind, ErrAbsent)
	}
	return nil
}

// mirror returns the URL by which the engine itself reaches sutler.
func (d *Docker) mirror(port string) string {
	host := map[kind]string{
		system: "127.0.0.1", rootless: "10.0.2.2", desktop: "host.docker.internal", boot2docker: "10.0.2.2",
	}[d.kind]
	return "http://" + net.JoinHostPort(host, port)
}

// Plan implements Tool.
func (d *Docker) Plan(ctx context.Context, w Wish) (Plan, error) {
	if err := d.find(); err != nil {
		return Plan{}, err
	}
	if d.dns && !w.DNS {
		return Plan{}, fmt.Errorf("%w: dns in daemon.json is set only where it is asked for (--via daemon.json)", ErrAbsent)
	}
	path := d.file()
	if err := d.mayWrite(path); err != nil {
		return Plan{}, err
	}
	site := tools.Site{Runtime: w.Runtime, Root: w.Root, Hosts: w.Registries, Docker: path, Etc: "/etc"}
	if w.Mirror {
		site.URL = d.mirror(w.Port)
	}
	if d.dns {
		gateway, err := d.resolver(ctx)
		if err != nil {
			return Plan{}, err
		}
		site, w = tools.Site{DNS: gateway, Docker: path}, Wish{DNS: true, Port: w.Port}
	}
	if err := d.clash(site); err != nil {
		return Plan{}, err
	}
	changes := d.changes(site)
	for i := range changes {
		changes[i].Reload, changes[i].Notes = "", nil // what follows says it of this engine
	}
	p, err := planOf(changes)
	if err != nil {
		return p, err
	}
	p.Need = Reload
	if d.kind == boot2docker { // its profile is read at the start only
		p.Need, p.Commands = Restart, []string{"/etc/init.d/docker restart"}
		return p, nil
	}
	d.consequences(ctx, &p, w)
	return p, nil
}

// changes returns what is written for an engine of that kind.
func (d *Docker) changes(s tools.Site) []tools.Change {
	switch {
	case d.kind == boot2docker:
		return tools.Boot2docker(s)
	case d.dns:
		return tools.DNS(s, tools.System)
	case d.kind == desktop:
		return tools.Docker(s, tools.Desktop)
	}
	return tools.Docker(s, tools.System)
}

// resolver returns the address on which containers reach sutler's resolver, which must
// answer already: without it they would resolve nothing.
func (d *Docker) resolver(ctx context.Context) (string, error) {
	gateway, err := d.engine().bridge(ctx)
	if err != nil {
		return "", err
	}
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(gateway, "53"))
	if err != nil {
		return "", fmt.Errorf("sutler's resolver does not answer on %s:53, so docker is not told to use it: %w", gateway, err)
	}
	return gateway, conn.Close()
}

// clash reports settings that the engine has on its command line: it does not start with
// them in its file as well.
func (d *Docker) clash(s tools.Site) error {
	p, err := d.dockerd()
	if err != nil {
		return nil // it does not run: it will say so itself
	}
	for _, k := range []struct {
		wanted     bool
		name, flag string
	}{
		{s.URL != "", "registry-mirrors", "--registry-mirror"}, {s.DNS != "", "dns", "--dns"},
		{s.Runtime != "", "runtimes", "--add-runtime"}, {s.Runtime != "", "default-runtime", "--default-runtime"},
	} {
		if v, ok := p.flag(k.flag); ok && k.wanted {
			return fmt.Errorf("docker was started with %s=%s and does not start with %s in %s as well: edit the unit (systemctl edit docker), not the file: take the flag out or give it sutler's value; nothing was changed", k.flag, v, k.name, d.file())
		}
	}
	return nil
}

// mayWrite reports that a file is somebody else's.
func (d *Docker) mayWrite(path string) error {
	at := filepath.Dir(path)
	for !d.Machine.exists(at) && at != "/" {
		at = filepath.Dir(at)
	}
	full := filepath.Join(d.Machine.Root, at)
	if err := unix.Access(full, unix.W_OK); err != nil {
		return fmt.Errorf("%s: %w: it belongs to the whole machine; run sutler as root (sudo sutler up), or build with: sutler build", filepath.Join(d.Machine.Root, path), err)
	}
	return nil
}

// reloadsBuildKit is the engine whose BuildKit is known to take a new mirror by a reload;
// that of 20.10 is known not to.
const reloadsBuildKit = 28

// consequences says what has to follow, and what people should know.
func (d *Docker) consequences(ctx context.Context, p *Plan, w Wish) {
	if d.kind == desktop {
		p.Need = Nothing
		p.Notes = append(p.Notes, "Docker Desktop reads the file when it is restarted from its menu")
		return
	}
	if d.kind == rootless {
		p.Notes = append(p.Notes, "rootless docker reaches sutler only if it was started with DOCKERD_ROOTLESS_ROOTLESSKIT_DISABLE_HOST_LOOPBACK=false; else it goes on to the registry itself")
	}
	if w.Mirror {
		p.Proof = append(p.Proof, Setting+"registry mirror "+d.mirror(w.Port)+"/")
	}
	if w.Runtime != "" {
		p.Proof = append(p.Proof, Setting+"default runtime sutler")
	}
	if d.dns {
		p.Need = Restart
		p.Notes = append(p.Notes, "while sutler is down, containers resolve nothing: dns in daemon.json is for machines on which it always runs")
	}
	if i, err := d.engine().info(ctx); err == nil {
		d.up = true
		if n, err := strconv.Atoi(strings.Split(i.ServerVersion, ".")[0]); w.Mirror && !d.dns && err == nil && n < reloadsBuildKit {
			p.More = "docker pull asks sutler at once, builds with BuildKit after a restart"
		}
		switch {
		case i.ContainersRunning == 0:
			p.Cost = "running builds end"
		case i.LiveRestoreEnabled:
			p.Cost = fmt.Sprintf("running builds end, %d running containers go on (live-restore)", i.ContainersRunning)
		default:
			p.Cost = fmt.Sprintf("running builds end and %d running containers stop; with \"live-restore\": true in daemon.json they would go on", i.ContainersRunning)
		}
	}
	p.Commands = []string{"kill -HUP $(pidof dockerd)"}
	if r, err := d.restarter(); err == nil && p.Need == Restart {
		p.Commands = []string{r.name}
	}
}

func (d *Docker) engine() *engine { return newEngine(d.socket()) }

// Validate implements Tool.
func (d *Docker) Validate(ctx context.Context, path string, data []byte) error {
	p, err := d.dockerd()
	if err != nil || d.kind == boot2docker || d.kind == desktop || filepath.Base(path) != filepath.Base(d.file()) || data == nil {
		return nil
	}
	return p.validate(ctx, data)
}

// Activate implements Tool.
func (d *Docker) Activate(ctx context.Context, need Need) ([]string, error) {
	e := d.engine()
	_, err := e.info(ctx)
	down := errors.Is(err, errDown)
	if err != nil && !down {
		return nil, err
	}
	if down && !d.up {
		return []string{d.Name() + " is not running; it reads its file when it starts"}, nil
	}
	d.up = true
	if need == Nothing {
		return nil, nil
	}
	if !down && d.kind != boot2docker {
		// An engine that does not take its file would not start with it either.
		p, err := d.dockerd()
		if err != nil {
			return nil, err
		}
		if err := e.reloaded(ctx, p.reload); err != nil {
			return nil, err
		}
	}
	if need == Reload && !down {
		return nil, nil
	}
	r, err := d.restarter()
	if err != nil {
		return nil, err
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	return nil, e.awaitBack(ctx)
}

// Between implements Forgetful: docker keeps a setting that a reloaded file does not have.
func (d *Docker) Between(path string, before, after []byte) []byte {
	if d.kind == boot2docker || filepath.Ext(path) != ".json" {
		return nil
	}
	had, has := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if json.Unmarshal(before, &had) != nil || after != nil && json.Unmarshal(after, &has) != nil {
		return nil
	}
	var keys []edit.Key
	for _, k := range []edit.Key{
		{Path: []string{"registry-mirrors"}, Value: []string{}},
		{Path: []string{"runtimes"}, Value: map[string]string{}},
		{Path: []string{"default-runtime"}, Value: "runc"},
	} {
		if had[k.Path[0]] != nil && has[k.Path[0]] == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	via, _, err := edit.JSON(keys...).Apply(after)
	if err != nil {
		return nil // what was read a moment ago; the settings stay until the next start
	}
	return via
}

// Works implements Tool.
func (d *Docker) Works(ctx context.Context, w Wish) ([]string, error) {
	e := d.engine()
	i, err := e.info(ctx)
	if errors.Is(err, errDown) && !d.up {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.up = true
	facts := []string{"docker answers", Setting + "default runtime " + i.DefaultRuntime}
	for _, m := range i.RegistryConfig.Mirrors {
		facts = append(facts, Setting+"registry mirror "+m)
	}
	// What containers cannot do, or nobody can see that they can, is no fact.
	name := ""
	if u, err := url.Parse(i.IndexServerAddress); err == nil {
		name = u.Hostname()
	}
	seen, _ := e.probes(ctx, i, name, w.Port)
	return append(facts, seen...), nil
}

// Tidy implements Tool.
func (d *Docker) Tidy(ctx context.Context) {
	if d.up {
		d.engine().Tidy(ctx, probe.Gone)
	}
}

// restarter finds out how the engine is restarted here.
func (d *Docker) restarter() (restarter, error) {
	switch {
	case d.RestartCommand != "":
	case d.kind == desktop:
		return restarter{}, fmt.Errorf("%w: restart Docker Desktop from its menu", ErrByHand)
	case d.kind == boot2docker:
		return program("/etc/init.d/docker", "restart"), nil
	}
	if d.service == nil {
		d.service = &service{machine: d.Machine, name: "docker", program: dockerd, command: d.RestartCommand, setting: "attach.docker_restart",
			user: d.kind == rootless, find: d.dockerd}
	}
	return d.service.restarter()
}
