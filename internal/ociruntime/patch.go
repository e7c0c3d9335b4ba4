package ociruntime

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Reasons why a step is left as it is.
var (
	errServed = errors.New("the step has settings of sutler already")
	errProxy  = errors.New("the step has a proxy of its own")
	errDev    = errors.New("/dev of the step is no tmpfs")
	errLabel  = errors.New("SELinux confines the step")
)

// suits returns why a step must be left as it is, or nil. A step that was given a proxy by
// its user, or settings by `sutler build`, keeps them. What is mounted on anything but a
// tmpfs would leave its mount point behind. One that SELinux confines could not read the
// files, and with variables that name them no TLS of it would work.
func (s spec) suits() error {
	if s.Process.SELinuxLabel != "" {
		return errLabel
	}
	for _, v := range s.Process.Env {
		if name, value, _ := strings.Cut(v, "="); value != "" && isProxy(name) {
			return errProxy
		}
	}
	tmpfs := false
	for _, m := range s.Mounts {
		if m.Destination == "/dev" {
			tmpfs = m.Type == "tmpfs"
		}
		if m.Destination == Dir || strings.HasPrefix(m.Destination, Dir+"/") {
			return errServed
		}
	}
	if !tmpfs {
		return errDev
	}
	return nil
}

// isProxy reports whether a variable names a proxy.
func isProxy(name string) bool {
	return slices.Contains([]string{"http_proxy", "https_proxy", "all_proxy"}, strings.ToLower(name))
}

// forget takes the daemon's own proxy out of the variables of a step, with the hosts that
// were to go past it: docker's client gives it to all containers if it is attached, and then
// it is nobody's wish that would have to be kept.
func (s Settings) forget(env []string) []string {
	ours := func(v string) bool {
		name, value, _ := strings.Cut(v, "=")
		address, ok := strings.CutPrefix(value, "http://")
		return ok && isProxy(name) && slices.ContainsFunc(s.Listen, func(l Listener) bool { return l.Address == strings.TrimSuffix(address, "/") })
	}
	if !slices.ContainsFunc(env, ours) {
		return env
	}
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return ours(v) || strings.EqualFold(name, "no_proxy")
	})
}

// edit returns a config.json with these variables and with files mounted at Dir. Everything else keeps its value, known to this program or not.
func edit(config []byte, env []string, files string) ([]byte, error) {
	var all, process map[string]json.RawMessage
	var mounts []json.RawMessage
	if err := errors.Join(json.Unmarshal(config, &all), json.Unmarshal(all["process"], &process), json.Unmarshal(all["mounts"], &mounts)); err != nil {
		return nil, err
	}
	mount, err := json.Marshal(map[string]any{"destination": Dir, "type": "bind", "source": files,
		"options": []string{"rbind", "ro", "nosuid", "nodev", "noexec"}})
	if err != nil {
		return nil, err
	}
	if process["env"], err = json.Marshal(env); err != nil {
		return nil, err
	}
	if all["mounts"], err = json.Marshal(append(mounts, mount)); err != nil {
		return nil, err
	}
	if all["process"], err = json.Marshal(process); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// merge appends the variables of more that have does not set.
func merge(have, more []string) []string {
	set := make(map[string]bool, len(have))
	for _, v := range have {
		name, _, _ := strings.Cut(v, "=")
		set[name] = true
	}
	for _, v := range more {
		if name, _, _ := strings.Cut(v, "="); !set[name] {
			have = append(have, v)
		}
	}
	return have
}

// environment returns the variables for the step of that id that reaches the daemon at an
// address. The id is the user name of the proxy, by which receipts tell who asked.
func (s Settings) environment(id, address string) []string {
	marks := strings.NewReplacer(ProxyMark, "http://"+id+":x@"+address, NativeMark, "http://"+address)
	out := make([]string, 0, len(s.Env))
	for _, v := range s.Env {
		out = append(out, v.Name+"="+marks.Replace(v.Value))
	}
	return out
}
