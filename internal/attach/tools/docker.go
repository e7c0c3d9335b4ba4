package tools

import (
	"path"

	"sutler/internal/edit"
)

// A Daemon is one of the places where a Docker engine has its files.
type Daemon string

// The places.
const (
	System   Daemon = "system"   // /etc/docker
	Rootless Daemon = "rootless" // ~/.config/docker
	Desktop  Daemon = "desktop"  // ~/.docker; the engine is in a virtual machine
)

// file returns where daemon.json is; certs.d is beside it.
func (d Daemon) file(s Site) string {
	switch {
	case s.Docker != "":
		return s.Docker
	case d == Rootless:
		return path.Join(s.config(), "docker", "daemon.json")
	case d == Desktop:
		return path.Join(s.Home, ".docker", "daemon.json")
	}
	return path.Join(s.Etc, "docker", "daemon.json")
}

// Docker returns the changes for an engine: sutler as mirror of the default registry, the
// runtime wrapper, and the local CA for the other registries.
func Docker(s Site, d Daemon) []Change {
	var set []edit.Key
	if s.URL != "" {
		set = append(set, edit.Key{Path: []string{"registry-mirrors"}, Value: s.URL, How: edit.Prepend})
	}
	if s.Runtime != "" && d != Desktop {
		set = append(set, edit.Key{Path: []string{"runtimes", "sutler", "path"}, Value: s.Runtime},
			edit.Key{Path: []string{"default-runtime"}, Value: "sutler"})
	}
	reload := ReloadDocker
	if d == Desktop {
		reload = RestartDesktop
	}
	var out []Change
	if len(set) > 0 {
		main := keys(d.file(s), edit.JSON(set...), reload)
		main.Notes = []string{"BuildKit inside of Docker 20.10 takes a new mirror only after a restart of the engine."}
		out = append(out, main)
	}
	return append(out, s.certificates(path.Join(path.Dir(d.file(s)), "certs.d"))...)
}

// certificates makes an engine trust the local CA for registries whose names lead to
// sutler. It never asks for those of the default registry, which has a mirror instead.
func (s Site) certificates(folder string) []Change {
	var out []Change
	if len(s.Root) == 0 {
		return nil
	}
	for _, name := range s.registries() {
		if s.isHub(name) {
			continue
		}
		out = append(out, whole(path.Join(folder, name, "ca.crt"), "#", string(s.Root)))
	}
	return out
}

// DNS returns the change that makes sutler's resolver that of all containers. It needs a
// restart of the engine; redirecting port 53 on the bridge does not. Only one resolver is
// named: with a second one, musl takes whichever answers first.
func DNS(s Site, d Daemon) []Change {
	if s.DNS == "" {
		return nil
	}
	c := keys(d.file(s), edit.JSON(edit.Key{Path: []string{"dns"}, Value: []string{s.DNS}}), RestartDocker)
	if d == Desktop {
		c.Reload = RestartDesktop
	}
	c.Notes = []string{"Containers have no other resolver: they resolve nothing while sutler is down."}
	return []Change{c}
}

// Boot2docker returns the change of the profile that starts boot2docker's engine.
func Boot2docker(s Site) []Change {
	args := "--registry-mirror=" + s.URL
	e := edit.Block("EXTRA_ARGS=\"$EXTRA_ARGS " + args + "\"")
	return []Change{{Path: path.Join(path.Dir(s.Etc), "var/lib/boot2docker/profile"), Format: edit.FormatOf(e), Edit: e, Mode: 0o644, Reload: RestartDocker,
		Notes: []string{"boot2docker's init script does not wait until the engine has stopped: stop it, wait, start it."}}}
}

// DockerClient returns the change of the client's configuration that gives the proxy to
// builds and containers of engines that run elsewhere.
func DockerClient(s Site) []Change {
	at := []string{"proxies", "default"}
	c := keys(path.Join(s.client(), "config.json"), edit.JSON(
		edit.Key{Path: append(at[:2:2], "httpProxy"), Value: s.URL},
		edit.Key{Path: append(at[:2:2], "noProxy"), Value: noProxy},
	), "")
	c.Mode = 0o600
	c.Notes = []string{"Every docker run gets the proxy too, and has no other way for plain HTTP while sutler is down.",
		"HTTPS goes past sutler: images do not trust its CA."}
	return []Change{c}
}

// noProxy lists what clients reach directly.
const noProxy = "localhost,127.0.0.1,::1"
