package tools

import (
	"fmt"
	"path"
	"strings"

	"sutler/internal/edit"
)

// BuildKit returns the changes for a buildkitd of this machine.
func BuildKit(s Site) []Change {
	name := path.Join(s.Etc, "buildkit", "buildkitd.toml")
	switch {
	case s.BuildKit != "":
		name = s.BuildKit
	case s.User:
		name = path.Join(s.config(), "buildkit", "buildkitd.toml")
	}
	return []Change{keys(name, edit.TOML(s.mirrors()...), RestartBuildkit)}
}

// BuildKitProxy returns the change that leads BuildKit's own proxy network (0.33 and later) on
// to sutler: the unit's variables, which also hold for what buildkitd itself fetches.
func BuildKitProxy(s Site) []Change {
	host, _, _ := strings.Cut(s.addr(), ":") // mirrors are asked directly
	text := fmt.Sprintf("[Service]\nEnvironment=HTTP_PROXY=%s HTTPS_PROXY=%s NO_PROXY=%s\nEnvironment=SSL_CERT_FILE=%s\n", s.URL, s.URL, noProxy+","+host, s.Bundle)
	c := whole(path.Join(s.Etc, "systemd", "system", "buildkit.service.d", dropIn), "#", text)
	c.Reload = RestartBuildkit
	c.Notes = []string{"BuildKit's proxy network has no other way while sutler is down: detach buildkit before sutler is stopped for long."}
	return []Change{c}
}

// Buildx returns the changes for builders that docker buildx makes in containers: the file
// that "docker buildx create" takes if it is given no other, and that can be given as
// --buildkitd-config. They cannot reach the runtime wrapper.
func Buildx(s Site) []Change {
	c := keys(path.Join(s.client(), "buildx", "buildkitd.default.toml"), edit.TOML(s.mirrors()...), RecreateBuilder)
	c.Notes = []string{"Builders that exist keep the configuration that they were made with."}
	return []Change{c}
}

// mirrors are the settings of BuildKit that reach sutler. Mirrors are told which registry is
// meant, and a mirror that does not answer is passed over.
func (s Site) mirrors() []edit.Key {
	var out []edit.Key
	for _, name := range s.registries() {
		out = append(out, edit.Key{Path: []string{"registry", name, "mirrors"}, Value: s.addr(), How: edit.Prepend})
	}
	out = append(out, edit.Key{Path: []string{"registry", s.addr(), "http"}, Value: true})
	return out
}
