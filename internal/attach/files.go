package attach

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"sutler/internal/attach/tools"
)

// A FileTool is a program that is told of sutler by its files alone: it reads them each
// time it runs, or when somebody restarts it. What it would do with them shows when it
// runs; there is nothing to prove before.
type FileTool struct {
	name    string
	machine Machine
	signs   []string // one of these paths says that the program is here
	changes func(m Machine, s tools.Site) []tools.Change
	bridged bool // who uses its files is in a container
}

var _ Tool = (*FileTool)(nil)

// ownFolder is the line that names the folder which containerd is told of, if it names none.
var ownFolder = regexp.MustCompile(`(?m)^\s*config_path\s*=\s*"/etc/containerd/certs\.d"\s*$`)

// newPodman returns podman, buildah and skopeo, which read the same files and so are
// attached together.
func newPodman(m Machine) Tool {
	signs := []string{"/usr/bin/podman", "/usr/bin/buildah", "/usr/bin/skopeo"}
	return &FileTool{name: "podman", machine: m, signs: signs, changes: func(m Machine, s tools.Site) []tools.Change {
		if s.User {
			s.InFront = "" // the wrapper serves the engines of the whole machine
		}
		return tools.Containers(s, m.contents("/etc/containers/registries.conf", "/etc/containers/registries.conf.d/*.conf")...)
	}}
}

// clients returns the programs that are told by files alone and do more than build.
func clients(m Machine) []Tool {
	tool := func(name string, changes func(tools.Site) []tools.Change, signs ...string) *FileTool {
		return &FileTool{name: name, machine: m, signs: signs, changes: func(_ Machine, s tools.Site) []tools.Change { return changes(s) }}
	}
	plugins := []string{"/usr/libexec/docker/cli-plugins/docker-buildx", "/usr/lib/docker/cli-plugins/docker-buildx", m.client() + "/cli-plugins/docker-buildx"}
	buildx := tool("buildx", tools.Buildx, plugins...)
	client := tool("docker-client", tools.DockerClient, "/usr/bin/docker", "/usr/local/bin/docker")
	buildx.bridged, client.bridged = true, true
	containerd := tool("containerd", nil, "/usr/bin/containerd", "/usr/local/bin/containerd", "/etc/containerd")
	containerd.changes = func(m Machine, s tools.Site) []tools.Change {
		// The line may be ours from the last time: then it is to be there again.
		return tools.Containerd(s, ownFolder.ReplaceAll(slices.Concat(m.contents("/etc/containerd/config.toml")...), nil))
	}
	shell := tool("shell", nil, "/bin/sh")
	shell.changes = func(m Machine, s tools.Site) []tools.Change {
		profiles := []string{m.Home + "/.profile", m.Home + "/.bash_profile", m.Home + "/.zprofile"}
		return tools.Shell(s, slices.DeleteFunc(profiles, func(name string) bool { return !m.exists(name) })...)
	}
	return []Tool{
		buildx, client, containerd, shell,
		tool("apt", tools.Apt, "/usr/bin/apt-get"),
		tool("pip", tools.Pip, "/usr/bin/pip", "/usr/bin/pip3", "/usr/local/bin/pip"),
		tool("npm", tools.Npm, "/usr/bin/npm", "/usr/local/bin/npm"),
	}
}

// contents returns what is in the files that match the patterns; what cannot be read is
// left out, as if it were not there.
func (m Machine) contents(patterns ...string) [][]byte {
	var out [][]byte
	for _, p := range patterns {
		names, err := filepath.Glob(filepath.Join(m.Root, p))
		if err != nil {
			continue // no pattern here is malformed
		}
		for _, name := range names {
			if b, err := os.ReadFile(name); err == nil {
				out = append(out, b)
			}
		}
	}
	return out
}

// Name implements Tool.
func (f *FileTool) Name() string { return f.name }

// Plan implements Tool.
func (f *FileTool) Plan(_ context.Context, w Wish) (Plan, error) {
	if !slices.ContainsFunc(f.signs, f.machine.exists) {
		return Plan{}, fmt.Errorf("%s: %w", f.name, ErrAbsent)
	}
	site := f.machine.site(w)
	if f.name == "apt" && site.User {
		return Plan{}, fmt.Errorf("apt reads only files of the system; attach it as root")
	}
	if f.bridged && f.machine.Bridge == "" {
		return Plan{}, fmt.Errorf("%s: %w: there is no docker0, by whose address containers would reach sutler", f.name, ErrUnable)
	}
	if f.bridged {
		site.URL = "http://" + net.JoinHostPort(f.machine.Bridge, w.Port)
	}
	return planOf(f.changes(f.machine, site))
}

// site says what the files of tools are made of.
func (m Machine) site(w Wish) tools.Site {
	return tools.Site{
		URL: "http://" + net.JoinHostPort("127.0.0.1", w.Port), Root: w.Root, Bundle: w.Bundle, Hosts: w.Images, Env: w.Env,
		Client: m.client(), InFront: inFront, Etc: "/etc", Home: m.Home, Config: m.Getenv("XDG_CONFIG_HOME"), User: !m.System,
	}
}

// client returns the folder of the docker client's files.
func (m Machine) client() string { return cmp.Or(m.Getenv("DOCKER_CONFIG"), m.Home+"/.docker") }

// planOf returns the plan of changes that only need to be written.
func planOf(changes []tools.Change) (Plan, error) {
	var p Plan
	for _, c := range changes {
		snippet, err := c.Show()
		if err != nil {
			return p, err
		}
		p.Files = append(p.Files, File{Path: c.Path, Edit: c.Edit, Snippet: snippet, Mode: c.Mode})
		p.Notes = append(p.Notes, c.Notes...)
		if c.Reload != "" {
			p.Notes = append(p.Notes, c.Path+" is in force after: "+string(c.Reload)+".")
		}
	}
	return p, nil
}

// Validate implements Tool: these programs cannot be asked.
func (f *FileTool) Validate(context.Context, string, []byte) error { return nil }

// Activate implements Tool: the next run reads the files.
func (f *FileTool) Activate(context.Context, Need) ([]string, error) { return nil, nil }

// Works implements Tool.
func (f *FileTool) Works(context.Context, Wish) ([]string, error) { return nil, nil }

// Tidy implements Tool.
func (f *FileTool) Tidy(context.Context) {}
