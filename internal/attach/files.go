package attach

import (
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
}

var _ Tool = (*FileTool)(nil)

// ownFolder is the line that names the folder which containerd is told of, if it names none.
var ownFolder = regexp.MustCompile(`(?m)^\s*config_path\s*=\s*"/etc/containerd/certs\.d"\s*$`)

// FileTools returns the tools that are attached only where they are named: what they do is
// for all their users and projects, not for builds alone.
func FileTools(m Machine) []Tool {
	confs := func(m Machine, _ tools.Site) [][]byte {
		return m.contents("/etc/containers/registries.conf", "/etc/containers/registries.conf.d/*.conf")
	}
	images := func(m Machine, s tools.Site) []tools.Change { return tools.Containers(s, confs(m, s)...) }
	return []Tool{
		&FileTool{"podman", m, []string{"/usr/bin/podman"}, images},
		&FileTool{"buildah", m, []string{"/usr/bin/buildah", "/usr/bin/skopeo"}, images},
		&FileTool{"containerd", m, []string{"/usr/bin/containerd", "/usr/local/bin/containerd", "/etc/containerd"}, func(m Machine, s tools.Site) []tools.Change {
			// The line may be ours from the last time: then it is to be there again.
			return tools.Containerd(s, ownFolder.ReplaceAll(slices.Concat(m.contents("/etc/containerd/config.toml")...), nil))
		}},
		&FileTool{"buildkit", m, []string{"/usr/bin/buildkitd", "/usr/local/bin/buildkitd", "/etc/buildkit"}, func(_ Machine, s tools.Site) []tools.Change {
			return tools.BuildKit(s)
		}},
		&FileTool{"apt", m, []string{"/usr/bin/apt-get"}, func(_ Machine, s tools.Site) []tools.Change { return tools.Apt(s) }},
		&FileTool{"pip", m, []string{"/usr/bin/pip", "/usr/bin/pip3", "/usr/local/bin/pip"}, func(_ Machine, s tools.Site) []tools.Change { return tools.Pip(s) }},
		&FileTool{"npm", m, []string{"/usr/bin/npm", "/usr/local/bin/npm"}, func(_ Machine, s tools.Site) []tools.Change { return tools.Npm(s) }},
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
	site := tools.Site{
		URL: "http://" + net.JoinHostPort("127.0.0.1", w.Port), Root: w.Root, Bundle: w.Bundle, Hosts: w.Images,
		Etc: "/etc", Home: f.machine.Home, Config: f.machine.Getenv("XDG_CONFIG_HOME"), User: !f.machine.System,
	}
	if f.name == "apt" && site.User {
		return Plan{}, fmt.Errorf("apt reads only files of the system; attach it as root")
	}
	var p Plan
	for _, c := range f.changes(f.machine, site) {
		snippet, err := c.Show()
		if err != nil {
			return p, err
		}
		p.Files = append(p.Files, File{Path: c.Path, Edit: c.Edit, Snippet: snippet})
		p.Notes = append(p.Notes, c.Notes...)
		if c.Reload != "" {
			p.Notes = append(p.Notes, c.Path+" counts after: "+string(c.Reload)+".")
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
