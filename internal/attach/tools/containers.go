package tools

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// dropIn is the name of our files in folders of configuration.
const dropIn = "50-sutler.conf"

// Containers returns the changes for podman, buildah and skopeo: sutler as mirror of each
// registry, and the folder of the runtime wrapper. confs are the contents of registries.conf
// and of the files in registries.conf.d; a registry that one of them configures is left as
// it is, since a later entry would replace the earlier one, not add to it.
func Containers(s Site, confs ...[]byte) []Change {
	var text strings.Builder
	var left []string
	taken := configured(confs)
	for _, name := range s.registries() {
		if slices.Contains(taken, name) {
			left = append(left, name)
			continue
		}
		fmt.Fprintf(&text, "\n[[registry]]\nprefix = %q\nlocation = %q\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n", name, name, s.addr()+"/"+name)
	}
	c := whole(path.Join(s.images(), "registries.conf.d", dropIn), "#", text.String())
	if len(left) > 0 {
		c.Notes = []string{"Your own settings stay in force, and sutler is not asked, for " + strings.Join(left, ", ") + "."}
	}
	out := []Change{c}
	if s.InFront != "" {
		out = append(out, s.runtimes())
	}
	return out
}

// runtimeFolders are where podman looks for runtimes by itself, in its order.
var runtimeFolders = [...]string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/sbin", "/bin", "/usr/lib/cri-o-runc/sbin", "/run/current-system/sw/bin"}

// runtimes returns the change of containers.conf. The runtimes keep their names, since
// containers remember them: only the places where they are looked for get one more.
func (s Site) runtimes() Change {
	var text strings.Builder
	text.WriteString("\n[engine.runtimes]\n")
	for _, name := range []string{"crun", "runc"} {
		fmt.Fprintf(&text, "%s = [", name)
		for i, dir := range append([]string{s.InFront}, runtimeFolders[:]...) {
			if i > 0 {
				text.WriteString(", ")
			}
			fmt.Fprintf(&text, "%q", path.Join(dir, name))
		}
		text.WriteString("]\n")
	}
	return whole(path.Join(s.Etc, "containers", "containers.conf.d", dropIn), "#", text.String())
}

// configured returns the prefixes that have a [[registry]] of their own.
func configured(confs [][]byte) []string {
	var out []string
	for _, text := range confs {
		var c struct {
			Registry []struct{ Prefix, Location string }
		}
		if strings.Contains(string(text), Mark) || toml.Unmarshal(text, &c) != nil {
			continue // ours; what is broken is broken without us too
		}
		for _, r := range c.Registry {
			if r.Prefix == "" {
				r.Prefix = r.Location
			}
			out = append(out, r.Prefix)
		}
	}
	return out
}
