package attach

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"sutler/internal/attach/tools"
	"sutler/internal/edit"
	"sutler/internal/probe"
)

// dnsFile is the configuration file that makes sutler the resolver of containers.
const dnsFile = "50-attach-dns.toml"

// dnsSettings are what that file says.
const dnsSettings = `[dns]
bridges = true

[intercept]
strangers = "tunnel"
`

// ledWithin is how long a name may take to lead to sutler: the packet filter is told a moment
// after the configuration was read.
const ledWithin = 10 * time.Second

// defaultNetwork is the network on which builds are, unless they name another.
const defaultNetwork = "bridge"

// engineSigns are paths of which one says that there are containers here.
var engineSigns = [...]string{"/run/docker.sock", "/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd",
	"/usr/bin/podman", "/usr/bin/buildkitd", "/usr/local/bin/buildkitd"}

// A Resolver is sutler itself as the resolver of all containers: clients that know nothing of
// it are led here by names. Its only file is one of sutler's own configuration.
type Resolver struct {
	Machine Machine
	// Reload has the running sutler read its configuration again; without one, it sees to it
	// that no rule of the packet filter is left, and returns ErrDown.
	Reload func(ctx context.Context) error

	told bool // it has read its files since we look
}

// ErrDown means that a program does not run.
var ErrDown = errors.New("does not run")

var _ Tool = (*Resolver)(nil)

// Name implements Tool.
func (r *Resolver) Name() string { return "dns" }

// Plan implements Tool.
func (r *Resolver) Plan(ctx context.Context, w Wish) (Plan, error) {
	byHand := "put this into its configuration, then run: sutler reload\n\n" + dnsSettings
	switch {
	case w.DNS:
		return Plan{}, fmt.Errorf("%w: the settings of docker were asked for (--via)", ErrAbsent)
	case !slices.ContainsFunc(engineSigns[:], r.Machine.exists):
		return Plan{}, fmt.Errorf("dns: no container engine: %w", ErrAbsent)
	case !r.Machine.System:
		return Plan{}, fmt.Errorf("dns: %w: only root can redirect the names of bridges; run sutler as root (sudo sutler up); for a sutler that is run otherwise, %s", ErrUnable, byHand)
	case w.DropIns == "":
		return Plan{}, fmt.Errorf("dns: %w: the running sutler reads one configuration file, which was named when it was started, and no others; %s", ErrUnable, byHand)
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return Plan{}, fmt.Errorf("dns: %w: nft redirects the names of bridges, and is not here; install nftables", ErrUnable)
	}
	text := "# " + tools.Mark + "\n" + dnsSettings
	p := Plan{Need: Reload, Commands: []string{"sutler reload"},
		Files: []File{{Path: filepath.Join(w.DropIns, dnsFile), Edit: edit.File(text, tools.Mark), Snippet: text}}}
	if !r.Machine.exists("/usr/local/sbin/runc") && !r.Machine.exists("/usr/local/sbin/crun") {
		p.Notes = append(p.Notes, "without sutler-runc no build step is told from other containers: their HTTPS is tunnelled, and only plain HTTP is served; see: sutler attach runtime")
	}
	networks, err := r.networks(ctx)
	if err != nil {
		p.Notes = append(p.Notes, "nothing was tried in containers: "+err.Error())
	}
	for _, on := range networks {
		for _, h := range w.Hosts {
			if on.name == defaultNetwork {
				p.Proof = append(p.Proof, onNetwork(on.name, ledHere(h)))
			}
		}
	}
	if len(networks) > 1 {
		p.Notes = append(p.Notes, "newer engines ask for names themselves where containers are on a network that was made for them: these are left alone; builds are not on such networks")
	}
	return p, nil
}

// docker returns the engine that runs throw-away containers.
func (r *Resolver) docker() *engine {
	return (&Docker{Machine: r.Machine, kind: system}).engine()
}

// networks returns the networks of the engine that are redirected: those with a bridge of
// this machine.
func (r *Resolver) networks(ctx context.Context) ([]network, error) {
	all, err := r.docker().networks(ctx)
	return slices.DeleteFunc(all, func(n network) bool { return n.gateway == "" }), err
}

// Validate implements Tool: the daemon checks it at the reload.
func (r *Resolver) Validate(context.Context, string, []byte) error { return nil }

// Activate implements Tool.
func (r *Resolver) Activate(ctx context.Context, _ Need) ([]string, error) {
	err := r.Reload(ctx)
	r.told = true
	if errors.Is(err, ErrDown) {
		return []string{"sutler is not running; it reads its file when it starts"}, nil
	}
	return nil, err
}

// Works implements Tool. Where no container can be run, nothing is known.
func (r *Resolver) Works(ctx context.Context, w Wish) ([]string, error) {
	e := r.docker()
	i, err := e.info(ctx)
	if err != nil || len(w.Hosts) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, probe.Within)
	defer cancel()
	image, err := e.loadSelf(ctx, i)
	if err != nil {
		return nil, err
	}
	networks, err := r.networks(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(networks))
	for n, on := range networks {
		names[n] = on.name
	}
	var facts []string
	var errs []error
	for _, seen := range probe.Networks(ctx, e, image, names, func(network string) probe.Spec {
		s := probe.Spec{Names: w.Hosts, Led: w.StandIn, Hosts: w.Hosts}
		if r.told && network == defaultNetwork {
			s.Await = ledWithin
		}
		return s
	}) {
		errs = append(errs, seen.Err)
		for _, name := range seen.Report.Names {
			if name.Kind == probe.Fine {
				facts = append(facts, onNetwork(seen.Network, ledHere(name.Name)))
			}
		}
		for _, host := range seen.Report.Hosts {
			if host.Status != 0 {
				facts = append(facts, onNetwork(seen.Network, "reaches "+host.Name))
			}
		}
	}
	slices.Sort(facts)
	return facts, errors.Join(errs...)
}

// Tidy implements Tool.
func (r *Resolver) Tidy(ctx context.Context) { r.docker().Tidy(ctx, probe.Gone) }

// onNetwork returns what a container on a network says of itself.
func onNetwork(name, fact string) string {
	return "a container on network " + name + " " + fact
}

// ledHere is the fact that a name leads to sutler.
func ledHere(host string) string { return "is led to sutler for " + host }
