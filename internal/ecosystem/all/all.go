// Package all lists every ecosystem. Adding one is one line.
package all

import (
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/apk"
	"sutler/internal/ecosystem/apt"
	"sutler/internal/ecosystem/cargo"
	"sutler/internal/ecosystem/composer"
	"sutler/internal/ecosystem/conda"
	"sutler/internal/ecosystem/generic"
	"sutler/internal/ecosystem/gomod"
	"sutler/internal/ecosystem/helm"
	"sutler/internal/ecosystem/hex"
	"sutler/internal/ecosystem/huggingface"
	"sutler/internal/ecosystem/maven"
	"sutler/internal/ecosystem/npm"
	"sutler/internal/ecosystem/nuget"
	"sutler/internal/ecosystem/oci"
	"sutler/internal/ecosystem/openpgp"
	"sutler/internal/ecosystem/pub"
	"sutler/internal/ecosystem/pypi"
	"sutler/internal/ecosystem/rpm"
	"sutler/internal/ecosystem/rubygems"
	"sutler/internal/ecosystem/terraform"
)

// Options configure the ecosystems.
type Options struct {
	Apt      apt.Options
	Apk      []apk.Key        // further public keys
	RubyGems rubygems.Options // without its Hosts
	SumDB    gomod.Database   // vouches for modules of configured proxies
	RPM      rpm.Options      // without its Hosts
	// Hosts are further hosts of an ecosystem, by its name: "host" or, for registries that
	// lie under a path, "host/path".
	Hosts map[string][]string
}

// New returns every ecosystem, in the order in which they are asked: generic last, which
// takes what the others leave.
func New(o Options) []ecosystem.Ecosystem {
	o.RPM.Hosts = o.Hosts[rpm.Name]
	return []ecosystem.Ecosystem{
		oci.New(oci.Options{Hosts: o.Hosts[oci.Name]}),
		apt.New(o.Apt),
		apk.New(apk.Options{Keys: o.Apk, Hosts: o.Hosts[apk.Name]}),
		npm.New(npm.Options{Hosts: o.Hosts[npm.Name]}),
		cargo.New(cargo.Options{Hosts: o.Hosts[cargo.Name]}),
		rubygems.New(rubygems.Options{Hosts: o.Hosts[rubygems.Name], Legacy: o.RubyGems.Legacy}),
		pypi.New(pypi.Options{Hosts: o.Hosts[pypi.Name]}),
		gomod.New(gomod.Options{Hosts: o.Hosts[gomod.Name], SumDB: o.SumDB}),
		rpm.New(o.RPM),
		maven.New(maven.Options{Hosts: o.Hosts[maven.Name]}),
		openpgp.New(openpgp.Options{Hosts: o.Hosts[openpgp.Name]}),
		composer.New(composer.Options{Hosts: o.Hosts[composer.Name]}),
		helm.New(helm.Options{Hosts: o.Hosts[helm.Name]}),
		conda.New(conda.Options{Hosts: o.Hosts[conda.Name]}),
		nuget.New(nuget.Options{Hosts: o.Hosts[nuget.Name]}),
		terraform.New(terraform.Options{Hosts: o.Hosts[terraform.Name]}),
		pub.New(pub.Options{Hosts: o.Hosts[pub.Name]}),
		hex.New(hex.Options{Hosts: o.Hosts[hex.Name]}),
		huggingface.New(huggingface.Options{Hosts: o.Hosts[huggingface.Name]}),
		generic.New(generic.Options{Hosts: o.Hosts[generic.Name]}),
	}
}
