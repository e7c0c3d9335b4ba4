package helm

import (
	"sync"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "helm"

// floor is how long an index counts as fresh whatever its origin says.
const floor = 5 * time.Minute

// Options say which repositories there are besides well-known ones. The zero value is good.
type Options struct {
	Hosts []string // "host" or "host/path"
}

// An Ecosystem translates the protocol of chart repositories. Create it with New.
type Ecosystem struct {
	sites site.List
	large sync.Mutex // held while a large index is in memory: two would be too much
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for well-known repositories and those of o.
func New(o Options) *Ecosystem {
	return &Ecosystem{sites: site.New(append(publicHosts(), o.Hosts...)...)}
}

// publicHosts are repositories that many clusters are installed from.
func publicHosts() []string {
	return []string{
		"charts.helm.sh",
		"charts.jetstack.io",
		"charts.bitnami.com",
		"charts.longhorn.io",
		"charts.external-secrets.io",
		"helm.cilium.io",
		"helm.elastic.co",
		"helm.nginx.com",
		"helm.releases.hashicorp.com",
		"helm.traefik.io",
		"kubernetes.github.io",
		"kubernetes-sigs.github.io",
		"prometheus-community.github.io",
		"grafana.github.io",
		"argoproj.github.io",
		"open-telemetry.github.io",
	}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:     Name,
		Title:    "Helm (chart repositories)",
		Hosts:    e.sites.Hosts(),
		Mounts:   []ecosystem.Mount{{Path: "/helm/{host}/", Origin: "https://{host}/"}},
		Verified: "charts by the digest that index.yaml states; index.yaml by TLS",
		Clients:  []string{"Helm 3.19"},
		Unsupported: []string{
			"charts that an index names on another host are plain downloads",
			"charts in container registries (oci://) are requests to those registries",
		},
	}
}
