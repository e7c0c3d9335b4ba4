package builder

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// A clientConfig is what concerns us of docker's config.json.
type clientConfig struct {
	Aliases map[string]string            `json:"aliases"`
	Proxies map[string]map[string]string `json:"proxies"` // by the engine's URL, or "default"
}

// readClientConfig reads docker's config.json. One that cannot be read says nothing: to
// complain is the client's part.
func readClientConfig() (c clientConfig) {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return c
		}
		dir = filepath.Join(home, ".docker")
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || json.Unmarshal(data, &c) != nil {
		return clientConfig{}
	}
	return c
}

// configuredProxy returns the name of the member of docker's config.json by which the
// client gives every build a proxy, "" if there is none. The client hands it over as
// predefined build arguments, which go before ours.
func configuredProxy() string {
	proxies := readClientConfig().Proxies
	own, ok := proxies[os.Getenv("DOCKER_HOST")]
	if !ok {
		own = proxies["default"]
	}
	for _, name := range []string{"httpProxy", "httpsProxy", "allProxy"} {
		if own[name] != "" {
			return name
		}
	}
	return ""
}
