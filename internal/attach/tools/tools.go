// Package tools knows which files make each tool use sutler: for each tool a function from
// the addresses and folders of this machine to a list of changes. Nothing here reads or
// writes files, or runs programs.
package tools

import (
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"

	"sutler/internal/edit"
)

// Mark is in every file that is sutler's alone.
const Mark = "Written by sutler: \"sutler detach\" removes this file."

// A Site says where sutler serves and where the files of the tools are. What is empty is
// left out of the changes.
type Site struct {
	URL string // of sutler, as the tool reaches it: "http://172.17.0.1:7885"
	DNS string // address of sutler's resolver, which is on port 53

	Root    []byte // certificate of the local CA, PEM
	Bundle  string // path of a bundle with the public roots and the local CA
	Runtime string // path of the OCI runtime wrapper
	InFront string // folder in which wrappers have the names of the runtimes

	Hosts []string   // of the OCI ecosystem's profile: registries
	Env   []Variable // for a login shell

	Client   string // folder of the docker client's files, ~/.docker if empty
	Docker   string // path of daemon.json, "" for the usual one
	BuildKit string // path of buildkitd.toml, likewise

	Etc    string // "/etc"
	Home   string
	Config string // $XDG_CONFIG_HOME, ~/.config if empty
	User   bool   // files of the user, not of the system
}

// A Variable is one of the environment.
type Variable struct{ Name, Value string }

// A Change is what is done to one file.
type Change struct {
	Path   string
	Format string // for edit.Undo
	Edit   edit.Edit
	Mode   fs.FileMode // of the file, if it has to be made
	Reload Reload
	Notes  []string // what the user has to know, a sentence each
}

// Reload says what has to be done before a change is in force.
type Reload string

// What has to be done. The empty one is nothing: the tool reads the file each time it runs.
const (
	ReloadDocker      Reload = "reload docker"      // SIGHUP
	RestartDocker     Reload = "restart docker"     // containers stop unless live-restore is set
	RestartDesktop    Reload = "restart desktop"    // the application that holds the engine
	RestartBuildkit   Reload = "restart buildkitd"  // running builds fail
	RestartContainerd Reload = "restart containerd" // containers go on
	RecreateBuilder   Reload = "recreate builders"  // docker buildx rm and create
	NewLogin          Reload = "new login"          // shells read it when they start
)

// keys returns a change of keys.
func keys(name string, e edit.Edit, r Reload) Change {
	return Change{Path: name, Format: edit.FormatOf(e), Edit: e, Mode: 0o644, Reload: r}
}

// whole returns a change that makes a file of our own; mark begins its first line.
func whole(name, comment, content string) Change {
	return Change{Path: name, Format: edit.FormatFile, Edit: edit.File(comment+" "+Mark+"\n"+content, Mark), Mode: 0o644}
}

// Show returns the lines that a change puts into a file that does not exist yet.
func (c Change) Show() (string, error) {
	text, _, err := c.Edit.Apply(nil)
	return string(text), err
}

// addr returns host and port of sutler.
func (s Site) addr() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return s.URL
	}
	return u.Host
}

// config returns the user's folder of configuration.
func (s Site) config() string {
	if s.Config != "" {
		return s.Config
	}
	return path.Join(s.Home, ".config")
}

// client returns the folder of the docker client's files.
func (s Site) client() string {
	if s.Client != "" {
		return s.Client
	}
	return path.Join(s.Home, ".docker")
}

// images returns the folder of registries.conf.d, for which $XDG_CONFIG_HOME does not count.
func (s Site) images() string {
	if s.User {
		return path.Join(s.Home, ".config", "containers")
	}
	return path.Join(s.Etc, "containers")
}

// hubPrefix begins the host of the registry whose images are named without a host; the rest
// is what the engines call it.
const hubPrefix = "registry-1."

// registries returns the names of registries as they begin the names of images, without
// patterns, which no tool takes.
func (s Site) registries() []string {
	var out []string
	for _, h := range s.Hosts {
		h = strings.TrimPrefix(h, hubPrefix)
		if !strings.Contains(h, "*") && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// isHub reports whether that is the registry of images without a host.
func (s Site) isHub(name string) bool { return slices.Contains(s.Hosts, hubPrefix+name) }
