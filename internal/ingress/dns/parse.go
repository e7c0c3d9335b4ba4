package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ParseUpstreams reads addresses of resolvers, each with or without a port.
func ParseUpstreams(texts []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.AddrPortFrom(a, dnsPort))
			continue
		}
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, fmt.Errorf("resolver %q: write an address, with or without a port", text)
		}
		out = append(out, a)
	}
	return out, nil
}

// ParseZone reads a forwarded zone: "corp.example=10.0.0.53 10.0.0.54".
func ParseZone(text string) (Zone, error) {
	name, list, ok := strings.Cut(text, "=")
	name = lower(strings.TrimSpace(name))
	if !ok || strings.ContainsAny(name, " */:@") {
		return Zone{}, fmt.Errorf("%q: write zone=resolver, for example \"corp.example=10.0.0.53 10.0.0.54\"", text)
	}
	upstreams, err := ParseUpstreams(strings.Fields(list))
	if err == nil && len(upstreams) == 0 {
		err = fmt.Errorf("%q: name at least one resolver", text)
	}
	return Zone{Name: name, Kind: Forwarded, Upstreams: upstreams}, err
}

// ParseStatic reads records, "NAME TYPE DATA" each, into one zone for each name. The name of
// a PTR may be written as address.
func ParseStatic(texts []string) ([]Zone, error) {
	var out []Zone
	for _, text := range texts {
		name, record, ok := strings.Cut(strings.TrimSpace(text), " ")
		if _, err := parseRecords([]string{record}); !ok || err != nil {
			return nil, fmt.Errorf("%q: write name, type and data, for example \"db.corp.example A 10.0.0.7\"", text)
		}
		if a, err := netip.ParseAddr(name); err == nil {
			name = reverseName(a)
		}
		name = lower(name)
		i := slices.IndexFunc(out, func(z Zone) bool { return z.Name == name })
		if i < 0 {
			i = len(out)
			out = append(out, Zone{Name: name, Kind: Static})
		}
		out[i].Records = append(out[i].Records, record)
	}
	return out, nil
}

// AddressRecord returns the record of an address, as Zone.Records has it.
func AddressRecord(a netip.Addr) string {
	if a = a.Unmap(); a.Is4() {
		return "A " + a.String()
	}
	return "AAAA " + a.WithZone("").String()
}
