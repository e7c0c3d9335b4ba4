package dns

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	miekg "github.com/miekg/dns"
)

// A table finds the zone of a name. It is read only once made.
type table struct {
	hosts  map[string]bool // intercepted, these names only
	below  map[string]bool // intercepted, all names below these
	zones  map[string]*zone
	engine *containers // that answers for addresses, nil for none
	domain string      // of engine
}

// A zone is how one name, and the names below it, are answered.
type zone struct {
	name       string
	kind       Kind
	containers *containers
	records    []miekg.RR              // owners are filled in for each answer
	follows    bool                    // there is a CNAME among them
	upstreams  func() []netip.AddrPort // nil for none
}

// found is what a table knows of a name.
type found struct {
	zone        *zone
	intercepted bool
	service     bool // the name of a web service of an intercepted host: apt would follow its SRV past us
}

// newTable makes the table. Zones without a root get one that asks the host's resolvers.
func newTable(o Options, forward *forwarder, host *hostUpstreams) (table, error) {
	t := table{hosts: map[string]bool{}, below: map[string]bool{}, zones: map[string]*zone{"": {kind: Forwarded, upstreams: host.list}}}
	for _, h := range o.Intercept {
		if base, wild := strings.CutPrefix(h, "*."); wild {
			t.below[lower(base)] = true
		} else if _, err := netip.ParseAddr(h); err != nil {
			t.hosts[lower(h)] = true
		}
	}
	for _, z := range o.Zones {
		if err := t.add(z); err != nil {
			return t, fmt.Errorf("dns: zone %q: %w", z.Name, err)
		}
	}
	return t, nil
}

// add adds a configured zone; one of the same name is replaced.
func (t *table) add(z Zone) (err error) {
	made := &zone{name: lower(z.Name), kind: z.Kind}
	if len(z.Upstreams) > 0 {
		made.upstreams = func() []netip.AddrPort { return z.Upstreams }
	}
	switch z.Kind {
	case Containers:
		if made.containers, err = newContainers(z.Engine); err != nil {
			return err
		}
		if t.engine == nil || t.domain == made.name {
			t.engine, t.domain = made.containers, made.name
		}
	case Static:
		if made.records, err = parseRecords(z.Records); err != nil {
			return err
		}
		made.follows = slices.ContainsFunc(made.records, func(rr miekg.RR) bool { return rr.Header().Rrtype == miekg.TypeCNAME })
	case Forwarded:
		if made.upstreams == nil {
			return fmt.Errorf("name at least one resolver")
		}
	default:
		return fmt.Errorf("kind %q: write one of %s, %s, %s", z.Kind, Containers, Static, Forwarded)
	}
	t.zones[made.name] = made
	return nil
}

// find returns the most specific zone of a name in lower case, and whether the name is
// intercepted. Records and containers of the same or a longer name come before
// interception; who is asked for a zone does not.
func (t *table) find(name []byte, own bool) found {
	f := found{}
	depth, at := 0, 0 // labels cut off until the zone, and until the interception
	f.zone, depth = t.zone(name)
	if own {
		return f
	}
	f.intercepted, at = t.intercepts(name)
	if host, isService := service(name); isService {
		f.service, at = t.intercepts(host)
		f.intercepted, at = false, at+2
	} else if bytes.HasPrefix(name, []byte("_")) {
		f.intercepted = false // the name of some other service has no address
	}
	if f.zone.kind != Forwarded && depth <= at {
		f.intercepted, f.service = false, false
	}
	return f
}

// zone returns the most specific zone of a name, and how many labels come before it.
func (t *table) zone(name []byte) (*zone, int) {
	for n := 0; ; n++ {
		if z := t.zones[string(name)]; z != nil {
			return z, n
		}
		_, rest, ok := bytes.Cut(name, []byte("."))
		if !ok {
			return t.zones[""], n + 1
		}
		name = rest
	}
}

// intercepts reports whether a name is intercepted, and by the name how many labels up.
func (t *table) intercepts(name []byte) (bool, int) {
	if t.hosts[string(name)] {
		return true, 0
	}
	for n := 1; ; n++ {
		_, rest, ok := bytes.Cut(name, []byte("."))
		if !ok {
			return false, 0
		}
		if t.below[string(rest)] {
			return true, n
		}
		name = rest
	}
}

// service returns the host of the name of a web service.
func service(name []byte) (host []byte, ok bool) {
	for _, p := range [...]string{"_http._tcp.", "_https._tcp."} {
		if h, ok := bytes.CutPrefix(name, []byte(p)); ok {
			return h, true
		}
	}
	return nil, false
}
