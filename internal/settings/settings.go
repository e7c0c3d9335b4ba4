// Package settings derives what clients need to use the cache and to trust its CA from
// the profiles of the ecosystems: environment variables and configuration files.
package settings

import (
	"slices"
	"strings"

	"sutler/internal/ecosystem"
)

// BundleName is the file name of the CA bundle in the folder of the files.
const BundleName = "ca.pem"

// NoProxy lists the hosts that clients reach directly, unless Values say otherwise.
const NoProxy = "localhost,127.0.0.1,::1"

// Values are what the placeholders of profiles stand for.
type Values struct {
	Proxy  string // URL of the forward proxy
	Native string // URL of the native endpoint, no slash at its end
	Dir    string // folder of the files, no slash at its end
	// NoProxy lists the hosts that clients reach directly.
	NoProxy string
}

// expand replaces the placeholders in s.
func (v Values) expand(s string) string {
	return strings.NewReplacer("{proxy}", v.Proxy, "{native}", v.Native, "{dir}", v.Dir).Replace(s)
}

// Env returns the variables for clients, each once, in a fixed order. If constant is set,
// those whose value differs from build to build are left out, the proxy's among them:
// they would become part of the cache key of every build step.
func Env(profiles []ecosystem.Profile, v Values, constant bool) []ecosystem.Setting {
	var out []ecosystem.Setting
	add := func(s ecosystem.Setting) {
		if !slices.ContainsFunc(out, func(o ecosystem.Setting) bool { return o.Name == s.Name }) {
			out = append(out, s)
		}
	}
	for _, p := range profiles {
		for _, s := range p.Env {
			if constant && (strings.Contains(s.Value, "{proxy}") || strings.Contains(s.Value, "{native}")) {
				continue
			}
			add(ecosystem.Setting{Name: s.Name, Value: v.expand(s.Value)})
		}
	}
	if constant {
		return out
	}
	for _, s := range proxyVariables(v) {
		add(s)
	}
	return out
}

// Proxied returns the names of the variables whose value is the proxy's URL and nothing
// else, besides the common ones.
func Proxied(profiles []ecosystem.Profile) []string {
	var out []string
	for _, p := range profiles {
		for _, s := range p.Env {
			if s.Value == "{proxy}" && !slices.Contains(out, s.Name) {
				out = append(out, s.Name)
			}
		}
	}
	return out
}

// proxyVariables returns the proxy's variables in both spellings: clients differ in which
// they read.
func proxyVariables(v Values) []ecosystem.Setting {
	var out []ecosystem.Setting
	for _, s := range []ecosystem.Setting{{Name: "http_proxy", Value: v.Proxy}, {Name: "https_proxy", Value: v.Proxy}, {Name: "no_proxy", Value: v.NoProxy}} {
		out = append(out, s, ecosystem.Setting{Name: strings.ToUpper(s.Name), Value: s.Value})
	}
	return out
}

// Files returns the files for clients by name, the CA bundle among them.
func Files(profiles []ecosystem.Profile, v Values, bundle []byte) map[string][]byte {
	out := map[string][]byte{BundleName: bundle}
	for _, p := range profiles {
		for _, f := range p.Files {
			out[f.Name] = []byte(v.expand(f.Content))
		}
	}
	return out
}
