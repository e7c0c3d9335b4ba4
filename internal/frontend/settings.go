package frontend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"
)

// Where things are. The builder, which makes the image and starts the build, knows the
// same names.
const (
	// SettingsPath is the settings file in the frontend's image.
	SettingsPath = "/settings.json"
	// Dir is the directory of sutler's files in a RUN step.
	Dir = "/dev/sutler/"
	// SecretPrefix and a file's name are the id of the secret with the file's content.
	SecretPrefix = "sutler-"
	// ProxySecret and NoProxySecret are the ids of the secrets with the proxy's URL and
	// with the names that are reached without it.
	ProxySecret   = SecretPrefix + "proxy"
	NoProxySecret = SecretPrefix + "no-proxy"
	// ProxyArg and NoProxyArg are the build arguments that say the same to an engine
	// without secrets in the environment.
	ProxyArg   = "SUTLER_PROXY"
	NoProxyArg = "SUTLER_NO_PROXY"
)

// Settings say what RUN steps get besides the proxy. They are part of the frontend's
// image, so that they are neither build arguments nor part of a build context.
type Settings struct {
	// Env are variables by name. Their values are part of the layer cache's key.
	Env map[string]string `json:"env"`
	// Files are names of files in Dir.
	Files []string `json:"files"`
	// Proxied are the variables that hold the proxy's URL besides the common ones.
	Proxied []string `json:"proxied,omitempty"`
}

// ParseSettings reads settings written as JSON.
func ParseSettings(data []byte) (Settings, error) {
	var s Settings
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("settings: %w", err)
	}
	for _, name := range s.Files {
		if name == "" || strings.ContainsAny(name, "/\\") || name == "." || name == ".." {
			return s, fmt.Errorf("settings: file %q is not a plain name", name)
		}
	}
	return s, nil
}

// proxyVars are the variables that clients read a proxy from, each with the secret that
// holds its value. Some clients read one spelling only.
var proxyVars = []struct{ name, secret string }{
	{"HTTP_PROXY", ProxySecret},
	{"http_proxy", ProxySecret},
	{"HTTPS_PROXY", ProxySecret},
	{"https_proxy", ProxySecret},
	{"NO_PROXY", NoProxySecret},
	{"no_proxy", NoProxySecret},
}

// A proxy is what one build knows of sutler's proxy.
type proxy struct {
	// secrets says that the engine can put a secret into a step's environment.
	secrets bool
	// url and none are for engines that cannot. Without url there is no proxy then.
	url, none string
}

// apply adds the settings and the proxy to a step. To apply them twice is to apply them
// once: a definition can come back from the solver as a part of the next one.
func (s Settings) apply(exec *pb.ExecOp, p proxy) {
	own := ownProxy(exec)
	has := envNames(exec)
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		if !has[name] {
			exec.Meta.Env = append(exec.Meta.Env, name+"="+s.Env[name])
		}
	}
	for _, name := range s.Files {
		mount(exec, name)
	}
	switch {
	case own:
	case p.secrets:
		for _, v := range proxyVars {
			if v.secret == NoProxySecret && exec.Meta.GetProxyEnv().GetNoProxy() != "" {
				continue
			}
			exec.Secretenv = append(exec.Secretenv, &pb.SecretEnv{ID: v.secret, Name: v.name, Optional: true})
		}
		for _, name := range s.Proxied {
			if !has[name] {
				exec.Secretenv = append(exec.Secretenv, &pb.SecretEnv{ID: ProxySecret, Name: name, Optional: true})
			}
		}
	case p.url != "":
		if exec.Meta.ProxyEnv == nil {
			exec.Meta.ProxyEnv = &pb.ProxyEnv{}
		}
		env := exec.Meta.ProxyEnv
		env.HttpProxy, env.HttpsProxy = p.url, p.url
		if env.NoProxy == "" {
			env.NoProxy = p.none
		}
	}
}

// ownProxy reports whether the user, the image or an earlier rewriting gave the step a
// proxy.
func ownProxy(exec *pb.ExecOp) bool {
	if p := exec.Meta.ProxyEnv; p.GetHttpProxy() != "" || p.GetHttpsProxy() != "" || p.GetAllProxy() != "" {
		return true
	}
	for name := range envNames(exec) {
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY":
			return true
		}
	}
	return false
}

// envNames returns the names of the step's variables, wherever their values come from.
func envNames(exec *pb.ExecOp) map[string]bool {
	names := map[string]bool{}
	for _, kv := range exec.Meta.Env {
		name, _, _ := strings.Cut(kv, "=")
		names[name] = true
	}
	for _, s := range exec.Secretenv {
		names[s.Name] = true
	}
	return names
}

// mount adds one of sutler's files, unless something is mounted at its place.
func mount(exec *pb.ExecOp, name string) {
	dest := Dir + name
	taken := func(m *pb.Mount) bool { return m.Dest == dest || m.Dest+"/" == Dir }
	if slices.ContainsFunc(exec.Mounts, taken) {
		return
	}
	exec.Mounts = append(exec.Mounts, &pb.Mount{
		Input:     int64(pb.Empty),
		Output:    int64(pb.SkipOutput),
		Dest:      dest,
		MountType: pb.MountType_SECRET,
		// Steps of any user read these files.
		SecretOpt: &pb.SecretOpt{ID: SecretPrefix + name, Mode: 0o444, Optional: true},
	})
}
