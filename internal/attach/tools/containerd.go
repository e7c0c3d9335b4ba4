package tools

import (
	"path"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"sutler/internal/edit"
)

// pluginOf names containerd's plugin that pulls images, by version of the configuration.
func pluginOf(version int64) string {
	if version >= 3 {
		return "io.containerd.cri.v1.images"
	}
	return "io.containerd.grpc.v1.cri"
}

// Containerd returns the changes for containerd: sutler before each registry, and, for
// Kubernetes, the folder of these files if config.toml, whose content is given, names none.
// Programs such as nerdctl and ctr --hosts-dir read the folder by themselves. A host that
// does not answer is passed over.
func Containerd(s Site, config []byte) []Change {
	folder, named := hostsFolder(config)
	if !named {
		folder = path.Join(s.Etc, "containerd", "certs.d")
	}
	var out []Change
	for _, name := range append([]string{"_default"}, s.registries()...) {
		at := []string{"host", s.URL, "capabilities"}
		c := keys(path.Join(folder, name, "hosts.toml"), edit.TOML(edit.Key{Path: at, Value: []string{"pull", "resolve"}, First: true}), "")
		out = append(out, c)
	}
	if named {
		return out
	}
	version, set := configVersion(config)
	var set2 []edit.Key
	if !set {
		version = 2
		set2 = append(set2, edit.Key{Path: []string{"version"}, Value: 2})
	}
	set2 = append(set2, edit.Key{Path: []string{"plugins", pluginOf(version), "registry", "config_path"}, Value: folder})
	return append(out, keys(path.Join(s.Etc, "containerd", "config.toml"), edit.TOML(set2...), RestartContainerd))
}

// configVersion returns the version that a config.toml states.
func configVersion(config []byte) (int64, bool) {
	var c struct{ Version *int64 }
	if err := toml.Unmarshal(config, &c); err != nil || c.Version == nil {
		return 0, false
	}
	return *c.Version, true
}

// hostsFolder returns the first folder of hosts.toml files that a config.toml names.
func hostsFolder(config []byte) (string, bool) {
	var c struct {
		Plugins map[string]struct {
			Registry struct {
				Path string `toml:"config_path"`
			}
		}
	}
	if err := toml.Unmarshal(config, &c); err != nil {
		return "", false // Apply will say what is wrong with it
	}
	version, _ := configVersion(config)
	first, _, _ := strings.Cut(c.Plugins[pluginOf(version)].Registry.Path, ":")
	return first, first != ""
}
