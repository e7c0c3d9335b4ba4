// Package all lists every ecosystem. Adding one is one line.
package all

import (
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/apt"
	"sutler/internal/ecosystem/generic"
	"sutler/internal/ecosystem/npm"
)

// Options configure the ecosystems.
type Options struct {
	Apt     apt.Options
	NPM     npm.Options
	Generic generic.Options
}

// New returns every ecosystem, in the order in which they are asked: generic last, which
// takes what the others leave.
func New(o Options) []ecosystem.Ecosystem {
	return []ecosystem.Ecosystem{
		apt.New(o.Apt),
		npm.New(o.NPM),
		generic.New(o.Generic),
	}
}
