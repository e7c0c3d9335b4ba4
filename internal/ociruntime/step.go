package ociruntime

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// A step is what is known of a container that runs a step of a build.
type step struct {
	builder     string // Classic, BuildKit or Buildah
	bridge      string // part of the name of the builder's own bridge
	hostNetwork bool
}

// The builders whose steps are recognised.
const (
	Classic  = "docker build" // the builder of dockerd without BuildKit
	BuildKit = "buildkit"
	Buildah  = "buildah" // podman build too
)

// A spec is what is read of a config.json to recognise a step.
type spec struct {
	Mounts []struct {
		Destination string `json:"destination"`
		Type        string `json:"type"`
		Source      string `json:"source"`
	} `json:"mounts"`
	Linux struct {
		CgroupsPath string `json:"cgroupsPath"`
		Namespaces  []struct {
			Type string `json:"type"`
			Path string `json:"path"`
		} `json:"namespaces"`
	} `json:"linux"`
	Root struct {
		Path string `json:"path"`
	} `json:"root"`
	Process struct {
		Args         []string `json:"args"`
		Env          []string `json:"env"`
		SELinuxLabel string   `json:"selinuxLabel"`
	} `json:"process"`
}

// recognise reports whether a container runs a step of a build. What is compared was
// observed on Docker 20.10 and 28.5, BuildKit 0.33, buildah 1.28 and podman 4.3 (see
// docs/adr/0008-runtime-wrapper.md).
func recognise(c command, bundle string, s spec) (step, bool) {
	st := step{hostNetwork: s.hostNetwork()}
	above, base := filepath.Split(filepath.Clean(bundle))
	parent := filepath.Base(above)
	switch {
	case c.id == "":
		return st, false
	case base == c.id && parent == "executor", base == c.id && parent == "buildkit" && strings.Contains(above, "io.containerd."):
		// runc of dockerd and buildkitd; the shim of a buildkitd that uses containerd.
		st.builder, st.bridge = BuildKit, "buildkit"
		if strings.Contains(above, "/docker/") || strings.HasPrefix(s.Linux.CgroupsPath, "/docker/") {
			st.bridge = "docker"
		}
	case strings.HasPrefix(base, "buildah") && c.id == "buildah-"+base:
		st.builder, st.bridge = Buildah, "podman"
	case base == c.id && parent == "moby" && s.builtByDocker(c.id):
		st.builder, st.bridge = Classic, "docker"
	default:
		return st, false
	}
	return st, true
}

// hostNetwork reports whether the container shares the engine's network.
func (s spec) hostNetwork() bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type != "network" {
			continue
		}
		if n.Path == "" {
			return false
		}
		theirs, err := os.Stat(n.Path)
		if err != nil {
			return false
		}
		ours, err := os.Stat("/proc/self/ns/net")
		return err == nil && os.SameFile(theirs, ours)
	}
	return true
}

// builtByDocker reports whether dockerd made the container for the classic builder. The
// bundle of `docker run` is the same; but dockerd's own record of the container, beside
// the hostname that it mounts, tells them apart: the builder wants no log and no health
// check, names the image by its id, and leaves out lists that clients of the API send.
func (s spec) builtByDocker(id string) bool {
	dir := ""
	for _, m := range s.Mounts {
		if m.Destination == "/etc/hostname" && filepath.Base(filepath.Dir(m.Source)) == id {
			dir = filepath.Dir(m.Source)
		}
	}
	var host struct {
		LogConfig    struct{ Type string }
		PortBindings map[string]any
		AutoRemove   bool
	}
	var record struct {
		Config struct {
			Image       string
			OpenStdin   bool
			Healthcheck struct{ Test []string }
		}
	}
	if dir == "" || !decode(filepath.Join(dir, "hostconfig.json"), &host) || !decode(filepath.Join(dir, "config.v2.json"), &record) {
		return false
	}
	check := record.Config.Healthcheck.Test
	return host.LogConfig.Type == "none" && host.PortBindings == nil && !host.AutoRemove && !record.Config.OpenStdin &&
		strings.HasPrefix(record.Config.Image, "sha256:") && len(check) == 1 && check[0] == "NONE"
}

// decode reports whether a file could be decoded into v.
func decode(path string, v any) bool {
	data, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(data, v) == nil
}
