package ociruntime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Names in the folder that the daemon keeps for steps.
const (
	SettingsName = "settings.json" // Settings, encoded
	FilesName    = "files"         // folder that steps see at Dir
	SocketName   = "report.sock"   // where the daemon takes Reports: its life sign
)

// Dir is where the files are in a step.
const Dir = "/dev/sutler"

// DefaultSteps is the folder of the daemon of the whole machine.
const DefaultSteps = "/run/sutler-steps"

// ProxyMark and NativeMark stand in the values of variables for the URLs of the forward
// proxy and of the native endpoint, which differ from step to step.
const (
	ProxyMark  = "{proxy}"
	NativeMark = "{native}"
)

// Settings are what steps are given.
type Settings struct {
	// Network is the daemon's network namespace, as /proc/self/ns/net names it. Steps of
	// engines in another one do not reach the listeners.
	Network string     `json:"network"`
	Listen  []Listener `json:"listen"`
	Env     []Variable `json:"env"` // in this order
}

// A Listener is a place where the daemon serves clients.
type Listener struct {
	Address   string `json:"address"`             // host:port
	Interface string `json:"interface,omitempty"` // of a bridge; "" for loopback
}

// A Variable is one for the environment of steps. Its value may hold the marks.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Write puts the settings into the folder steps, in one piece.
func (s Settings) Write(steps string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return Replace(filepath.Join(steps, SettingsName), data, 0o644)
}

// aliveWithin is how old the sign of life may be that [Live] gives.
const aliveWithin = 15 * time.Second

// Live says that who wrote the settings is alive. It is to be called every few seconds: the
// kernel takes connections for a process that is stopped or hangs, and steps would wait.
func Live(steps string) error {
	now := time.Now()
	return os.Chtimes(filepath.Join(steps, SettingsName), now, now)
}

// read returns the settings in the folder steps. Whoever may write there decides what
// containers see: it has to be root, or the user who runs this program.
func read(steps string) (Settings, error) {
	var s Settings
	at := filepath.Join(steps, SettingsName)
	for _, path := range []string{steps, at} {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok || info.Mode().Perm()&0o022 != 0 || owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
			return s, fmt.Errorf("%s can be written by others", path)
		}
		if path == at && time.Since(info.ModTime()) > aliveWithin {
			return s, fmt.Errorf("%s has had no sign of life for more than %s", path, aliveWithin)
		}
	}
	data, err := os.ReadFile(at)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

// errUnreachable means that steps of this engine do not reach the daemon.
var errUnreachable = errors.New("no listener that the step reaches")

// address returns the listener for a step. On the host's network that is the one on
// loopback. Else it is the one on the builder's bridge, or on any: engines drop what goes
// from one bridge to another, but not what goes to an address of the host.
func (s Settings) address(st step) (string, error) {
	if own, err := os.Readlink("/proc/self/ns/net"); err != nil || own != s.Network {
		return "", errUnreachable
	}
	other := ""
	for _, l := range s.Listen {
		switch {
		case st.hostNetwork != (l.Interface == ""):
		case st.hostNetwork || strings.Contains(l.Interface, st.bridge):
			return l.Address, nil
		case other == "":
			other = l.Address
		}
	}
	if other == "" {
		return "", errUnreachable
	}
	return other, nil
}

// Replace writes a file in one piece. Its owner stays whoever runs this program.
func Replace(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".sutler-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
