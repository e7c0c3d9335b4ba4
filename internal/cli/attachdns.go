package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"sutler/internal/attach"
	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ecosystem/all"
	"sutler/internal/ecosystem/gomod"
	"sutler/internal/ecosystem/npm"
	"sutler/internal/ecosystem/oci"
	"sutler/internal/ecosystem/pypi"
	"sutler/internal/netfilter"
)

// named returns the tools that are attached only where they are named.
func (a *app) named(c config.Config) []attach.Tool {
	return attach.NamedTools(a.machine(c), a.reloadForAttach)
}

// reloadForAttach has the daemon read its configuration again. If none runs, it was perhaps
// killed, and nobody but us takes its rules out of the packet filter.
func (a *app) reloadForAttach(ctx context.Context) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	_, err = client.Reload(ctx)
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	if err := netfilter.Remove(ctx); err != nil && !errors.Is(err, exec.ErrNotFound) { // without nft none were made
		return err
	}
	return fmt.Errorf("sutler: %w", attach.ErrDown)
}

// triedHosts returns one host for each of a few ecosystems, of those that the local authority
// may answer for: enough to see that connections get through.
func triedHosts(names []string) []string {
	var out []string
	for _, e := range all.New(all.Options{}) {
		p := e.Profile()
		i := slices.IndexFunc(p.Hosts, func(h string) bool { return slices.Contains(names, h) && !strings.HasPrefix(h, "*") })
		if i >= 0 && slices.Contains(tried[:], p.Name) {
			out = append(out, p.Hosts[i])
		}
	}
	return out
}

// tried are the ecosystems of triedHosts.
var tried = [...]string{gomod.Name, npm.Name, oci.Name, pypi.Name}
