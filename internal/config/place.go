package config

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// folders are the places that sutler uses.
type folders struct{ config, cache, state, socket, steps string }

// folders returns the places of p: those of the machine, or those of the user by the XDG
// base directory specification.
func (p Place) folders() folders {
	d := folders{config: "/etc/sutler", cache: "/var/cache/sutler", state: "/var/lib/sutler", socket: systemSocket, steps: systemSteps}
	if !p.System {
		d = p.user()
	}
	if runtime.GOOS != "linux" {
		d.steps = "" // engines run in a virtual machine
	}
	return d
}

func (p Place) user() folders {
	d := folders{
		config: filepath.Join(p.xdg("XDG_CONFIG_HOME", ".config"), "sutler"),
		cache:  filepath.Join(p.xdg("XDG_CACHE_HOME", ".cache"), "sutler"),
		state:  filepath.Join(p.xdg("XDG_STATE_HOME", ".local/state"), "sutler"),
	}
	d.socket, d.steps = filepath.Join(d.state, "run", "sutler.sock"), filepath.Join(d.state, "steps")
	if run := p.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) {
		d.socket, d.steps = filepath.Join(run, "sutler.sock"), filepath.Join(run, "sutler-steps")
	}
	return d
}

// systemSteps is where sutler-runc looks. It is not below the folder of the socket, which
// nobody else may enter: runtimes mount from here with the rights of a container's user.
const systemSteps = "/run/sutler-steps"

// systemSocket is where the daemon of the whole machine listens for control.
const systemSocket = "/run/sutler/sutler.sock"

// Sockets returns the control sockets that a client tries when none is configured: that
// of its user, then that of the machine.
func (p Place) Sockets() []string {
	return slices.Compact([]string{p.folders().socket, systemSocket})
}

// xdg returns the folder that a variable names, else the one below the home folder. The
// specification has relative values ignored.
func (p Place) xdg(name, fallback string) string {
	if dir := p.Getenv(name); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(p.Getenv("HOME"), fallback)
}

// File returns the path of the main configuration file; it need not exist.
func (p Place) File() string { return filepath.Join(p.folders().config, "sutler.toml") }

// DropIns returns the folder of configuration files that are read after the main one; it
// need not exist.
func (p Place) DropIns() string { return filepath.Join(p.folders().config, "conf.d") }

// Files returns the configuration files that exist, in the order in which they are read:
// the main file, then conf.d/*.toml by name.
func (p Place) Files() ([]string, error) {
	more, err := filepath.Glob(filepath.Join(p.DropIns(), "*.toml"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(p.File()); err == nil {
		more = append([]string{p.File()}, more...)
	} else if !os.IsNotExist(err) {
		return nil, err
	}
	return more, nil
}
