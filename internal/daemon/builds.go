package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"time"

	"sutler/internal/control"
	"sutler/internal/ingress/native"
	"sutler/internal/policy"
	"sutler/internal/receipt"
	"sutler/internal/settings"
)

// builds implements control.Builds.
type builds struct{ d *process }

// Begin implements control.Builds.
func (b builds) Begin(ctx context.Context, r control.BuildRequest) (control.Build, error) {
	address, err := b.d.reach(ctx, r.Address)
	if err != nil {
		return control.Build{}, err
	}
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return control.Build{}, err
	}
	id := hex.EncodeToString(raw[:])
	if err := b.d.receipts.Begin(ctx, receipt.Build{ID: id, Command: r.Command, Started: time.Now()}); err != nil {
		return control.Build{}, err
	}
	b.d.terms.Store(id, policy.Terms{Strict: r.Strict, Offline: r.Offline})
	// The name of the build is the user of the proxy: clients send it with every request,
	// and it opens nothing. The password is there because some clients insist on one.
	// Those of the native endpoint have it in the path, for the same reason.
	v := settings.Values{Proxy: "http://" + id + ":x@" + address, Native: "http://" + address + native.BuildPath + id, Dir: r.Dir, NoProxy: b.d.noProxy()}
	return control.Build{ID: id, Proxy: v.Proxy, Env: settings.Env(b.d.profiles, v, r.Steps),
		Proxied: settings.Proxied(b.d.profiles), Files: settings.Files(b.d.profiles, v, b.d.bundle())}, nil
}

// reach returns host:port on which clients reach the daemon by one of this machine's
// addresses, listening there if need be.
func (d *process) reach(ctx context.Context, address string) (string, error) {
	port := d.listeners.port()
	if address == "" {
		for _, a := range d.listeners.addresses() {
			return a, nil
		}
		return "", fmt.Errorf("no listener")
	}
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", address, err)
	}
	if !isLocal(addr) {
		return "", fmt.Errorf("address %s is not one of this machine's", addr)
	}
	at := net.JoinHostPort(addr.String(), port)
	if d.listeners.own(netip.MustParseAddrPort(at)) {
		return at, nil
	}
	return at, d.listeners.listen(ctx, at)
}

// End implements control.Builds.
func (b builds) End(ctx context.Context, id string, exitCode int) (receipt.Summary, error) {
	b.d.terms.Delete(id)
	if err := b.d.receipts.End(ctx, id, time.Now(), exitCode); err != nil {
		return receipt.Summary{}, err
	}
	b.d.trouble.add(b.d.blobs.Sync()) // what a build fetched survives a power loss from here on
	return b.d.receipts.Build(ctx, id)
}

// termsOf returns what a running build asked for.
func (d *process) termsOf(build string) policy.Terms {
	t, ok := d.terms.Load(build)
	if !ok {
		return policy.Terms{}
	}
	return t.(policy.Terms)
}

// List implements control.Builds.
func (b builds) List(ctx context.Context, limit int) ([]receipt.Summary, error) {
	return b.d.receipts.Builds(ctx, limit)
}

// Show implements control.Builds.
func (b builds) Show(ctx context.Context, id string) (control.Receipt, error) {
	s, err := b.d.receipts.Build(ctx, id)
	if err != nil {
		return control.Receipt{}, err
	}
	lines, err := b.d.receipts.Lines(ctx, s.ID)
	return control.Receipt{Summary: s, Lines: lines}, err
}

// noProxy lists the hosts that clients reach directly: this machine, unless origins on it
// are configured.
func (d *process) noProxy() string {
	if len(d.config.Upstream.AllowLoopback) > 0 {
		return ""
	}
	return settings.NoProxy
}
