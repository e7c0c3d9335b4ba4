package dns

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	miekg "github.com/miekg/dns"
)

// A rawZone is one zone in the configuration of the program rawdns.
type rawZone struct {
	Type        string
	Socket      string
	Nameservers []string
	TLSVerify   bool
	TLSCACert   string
	TLSCert     string
	TLSKey      string
	Addrs       []string
	CNames      []string
	PTRs        []string
	TXTs        [][]string
	SRVs        []struct {
		Priority, Weight, Port uint16
		Target                 string
	}
}

// ReadRawdns returns the zones of a configuration file of rawdns. Members that it does not
// know are passed over, as rawdns does; randomize is, because resolvers are raced here.
func ReadRawdns(text []byte) ([]Zone, error) {
	var in map[string]rawZone
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, err
	}
	var out []Zone
	for name, raw := range in {
		z, err := raw.zone(lower(name))
		if err != nil {
			return nil, fmt.Errorf("zone %q: %w", name, err)
		}
		out = append(out, z)
	}
	slices.SortFunc(out, func(a, b Zone) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (raw rawZone) zone(name string) (z Zone, err error) {
	z = Zone{Name: name}
	if z.Upstreams, err = ParseUpstreams(raw.Nameservers); err != nil {
		return z, err
	}
	switch raw.Type {
	case "containers":
		z.Kind = Containers
		z.Engine = Engine{URL: raw.Socket, CA: raw.TLSCACert, Cert: raw.TLSCert, Key: raw.TLSKey, Verify: raw.TLSVerify}
	case "forwarding":
		z.Kind = Forwarded
	case "static":
		z.Kind = Static
		z.Records, err = raw.records()
	default:
		return z, fmt.Errorf("type %q: write containers, forwarding or static", raw.Type)
	}
	return z, err
}

// records returns the records of a static zone in the form of a zone file.
func (raw rawZone) records() ([]string, error) {
	var out []string
	for _, text := range raw.Addrs {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("addrs: %w", err)
		}
		out = append(out, AddressRecord(a))
	}
	for _, c := range raw.CNames {
		out = append(out, "CNAME "+miekg.Fqdn(c))
	}
	for _, p := range raw.PTRs {
		out = append(out, "PTR "+miekg.Fqdn(p))
	}
	for _, texts := range raw.TXTs {
		quoted := make([]string, len(texts))
		for i, t := range texts {
			quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(t) + `"`
		}
		out = append(out, "TXT "+strings.Join(quoted, " "))
	}
	for _, s := range raw.SRVs {
		out = append(out, fmt.Sprintf("SRV %d %d %d %s", s.Priority, s.Weight, s.Port, miekg.Fqdn(s.Target)))
	}
	return out, nil
}
