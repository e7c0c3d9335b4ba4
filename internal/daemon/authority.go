package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"sutler/internal/control"
	"sutler/internal/ecosystem/oci"
)

// settleEvery is how often the daemon looks whether a rotation is due.
const settleEvery = time.Minute

// settle rotates the local authority when that is due, until ctx is done.
func (d *process) settle(ctx context.Context) {
	if d.authority == nil {
		return
	}
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		did, err := d.authority.Settle()
		if err != nil {
			d.trouble.add(err)
		} else if did != "" {
			d.trouble.add(errors.New(did + "; if a trust store holds it, run: sutler ca trust"))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// RotateCA implements control.Daemon.
func (d *process) RotateCA(_ context.Context, r control.RotateRequest) (control.CA, error) {
	if d.authority == nil {
		return control.CA{}, errors.New("there is no local authority: intercept.enabled is false")
	}
	if err := d.authority.Rotate(r.Overlap); err != nil {
		return control.CA{}, err
	}
	d.options.Log.Info("rotating the local authority", "overlap", r.Overlap)
	return d.caStatus(), nil
}

// caStatus describes the local authority; it is empty if there is none.
func (d *process) caStatus() control.CA {
	if d.authority == nil {
		return control.CA{}
	}
	info := d.authority.Info()
	ca := control.CA{Subject: info.Subject, Fingerprint: info.Fingerprint, Names: info.Names, NotAfter: info.Expires,
		PEM: string(d.authority.Roots()), Registries: d.registries()}
	if next, ok := d.authority.Next(); ok {
		ca.Next = &control.NextCA{Subject: next.Subject, Fingerprint: next.Fingerprint, NotAfter: next.Expires, Starts: next.Starts}
	}
	return ca
}

// registries lists the hosts of image registries that have a name of their own.
func (d *process) registries() []string {
	for _, p := range d.profiles {
		if p.Name == oci.Name {
			return slices.DeleteFunc(slices.Clone(p.Hosts), func(h string) bool { return strings.HasPrefix(h, "*.") || !d.intercepts(h) })
		}
	}
	return nil
}
