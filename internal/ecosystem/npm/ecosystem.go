package npm

import (
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "npm"

// Floors: how long a document counts as fresh whatever its origin says. Most registries say
// 300 s for packuments; mirrors that say nothing, not even a validator, get the same.
const (
	packumentFloor = 5 * time.Minute
	keysFloor      = time.Hour // signing keys and attestations change a few times in a decade
)

// Options say which private registries there are. The zero value is good for the public ones.
type Options struct {
	// Hosts are further registries: a host, or a host and the path that the registry
	// lies under ("nexus.example/repository/npm"). Their tarballs are recognised without
	// this, their packuments are not.
	Hosts []string
}

// An Ecosystem translates the npm registry protocol. Create it with New.
type Ecosystem struct {
	registries []registry
	hosts      []string // of registries that were configured
	keys       keyring
}

// A registry is a host and the path, with a slash at its end, under which packages lie.
type registry struct{ host, path string }

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public registries and those of o.
func New(o Options) *Ecosystem {
	e := &Ecosystem{keys: publicKeys()}
	for _, host := range publicHosts() {
		e.registries = append(e.registries, registry{host, "/"})
	}
	for _, r := range o.Hosts {
		host, path, _ := strings.Cut(r, "/")
		host = strings.ToLower(host)
		if path = strings.Trim(path, "/"); path != "" {
			path += "/"
		}
		e.registries = append(e.registries, registry{host, "/" + path})
		e.hosts = append(e.hosts, host)
	}
	return e
}

// publicHosts are the registries that clients ask without being configured for them, and
// two that a line in a project's .npmrc makes them ask.
func publicHosts() []string {
	return []string{
		"registry.npmjs.org",
		"registry.yarnpkg.com", // the same packages; stands in the lock files of yarn 1
		"npm.pkg.github.com",
		"npm.jsr.io",
		"registry.npmmirror.com",
	}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:   Name,
		Title:  "npm (npm, yarn, pnpm, bun)",
		Hosts:  append(publicHosts(), e.hosts...),
		Mounts: []ecosystem.Mount{{Path: "/npm/", Origin: "https://" + publicHosts()[0] + "/"}},
		Env: []ecosystem.Setting{
			{Name: "NODE_EXTRA_CA_CERTS", Value: "{dir}/ca.pem"},
			// A cafile in an .npmrc would replace what Node trusts; the variable goes before it.
			{Name: "NPM_CONFIG_CAFILE", Value: "{dir}/ca.pem"},
			// Scripts that fetch with Node itself heed the proxy only if told to (Node 22.21, 24.5).
			{Name: "NODE_USE_ENV_PROXY", Value: "1"},
			// yarn 2 and later read no proxy variable but their own.
			{Name: "YARN_HTTP_PROXY", Value: "{proxy}"},
			{Name: "YARN_HTTPS_PROXY", Value: "{proxy}"},
		},
		First:    "/npm/left-pad",
		Verified: "tarballs by the integrity that the packument states; packuments by the registry's signatures, if all versions have one, else by TLS",
		Clients:  []string{"npm 9, 10, 11", "pnpm 9", "yarn 1.22"},
		Unsupported: []string{
			"publishing, logging in, searching and auditing are passed through, never stored",
			"yarn 2 and later reach the proxy by YARN_HTTPS_PROXY alone, which engines before Docker 23 cannot hand to a build step: there they go past it",
			"provenance attestations are stored, but not verified",
		},
	}
}
