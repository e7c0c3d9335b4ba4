package config

import (
	"os"
	"path/filepath"
	"slices"
)

// folders are the places that sutler uses.
type folders struct{ config, cache, state, socket string }

// folders returns the folders of p: those of the machine, or those of the user by the XDG
// base directory specification.
func (p Place) folders() folders {
	if p.System {
		return folders{"/etc/sutler", "/var/cache/sutler", "/var/lib/sutler", systemSocket}
	}
	d := folders{
		config: filepath.Join(p.xdg("XDG_CONFIG_HOME", ".config"), "sutler"),
		cache:  filepath.Join(p.xdg("XDG_CACHE_HOME", ".cache"), "sutler"),
		state:  filepath.Join(p.xdg("XDG_STATE_HOME", ".local/state"), "sutler"),
	}
	d.socket = filepath.Join(d.state, "run", "sutler.sock")
	if run := p.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) {
		d.socket = filepath.Join(run, "sutler.sock")
	}
	return d
}

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

// Files returns the configuration files that exist, in the order in which they are read:
// the main file, then conf.d/*.toml by name.
func (p Place) Files() ([]string, error) {
	more, err := filepath.Glob(filepath.Join(p.folders().config, "conf.d", "*.toml"))
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
