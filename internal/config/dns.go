package config

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
)

// DNS configures the resolver. It is off while Listen is empty and Bridges is not set.
type DNS struct {
	Listen     []string // address:port of each listener, UDP and TCP
	Bridges    bool     // answer the containers of all bridges, and serve what that leads here
	Redirect   []string // bridges whose port 53 is redirected to the resolver
	Clients    []string // networks that are answered; empty: those of the bridges and listeners
	Intercept  bool     // answer for hosts of ecosystems with sutler's address
	Address    string   // that address, "" for the one that was asked
	Domain     string   // of containers, "" for none
	Engine     string   // URL of the engine's API, "" for DOCKER_HOST or the usual socket
	Zones      []string // "zone=resolver resolver"
	Upstreams  []string // resolvers for the rest; empty: those of the host
	Static     []string // "name TYPE data"
	Rawdns     string   // path of a configuration file of rawdns, "" for none
	ResolvConf string   // file that names the host's resolvers
}

// defaultDNS is the configuration of the resolver where nothing is said.
func defaultDNS() DNS {
	return DNS{Intercept: true, Domain: "docker", ResolvConf: "/etc/resolv.conf"}
}

func dnsKeys() []key {
	return []key{
		{"dns.listen", `addresses on which names are answered, for example ["172.17.0.1:53"]; empty for none`,
			func(c *Config) value { return listValue{&c.DNS.Listen} }},
		{"dns.bridges", "answer the containers of every bridge whatever resolver they ask, and serve what they then ask of hosts of ecosystems; needs root and nft",
			func(c *Config) value { return boolValue{&c.DNS.Bridges} }},
		{"dns.redirect", `bridges whose containers are answered here whatever resolver they ask, for example ["docker0"]; needs root and nft`,
			func(c *Config) value { return listValue{&c.DNS.Redirect} }},
		{"dns.clients", "networks that are answered; empty for those of the bridges and of dns.listen",
			func(c *Config) value { return listValue{&c.DNS.Clients} }},
		{"dns.intercept", "give sutler's address for hosts of ecosystems; ports 80 and 443 of it must be served",
			func(c *Config) value { return boolValue{&c.DNS.Intercept} }},
		{"dns.address", "address given for them; empty for the one that was asked",
			func(c *Config) value { return stringValue{&c.DNS.Address} }},
		{"dns.domain", "domain under which containers have names; empty for none",
			func(c *Config) value { return stringValue{&c.DNS.Domain} }},
		{"dns.engine", "API of the container engine; empty for DOCKER_HOST or unix:///var/run/docker.sock",
			func(c *Config) value { return stringValue{&c.DNS.Engine} }},
		{"dns.zones", `who is asked for some zones, for example ["corp.example=10.0.0.53 10.0.0.54"]`,
			func(c *Config) value { return linesValue{listValue{&c.DNS.Zones}} }},
		{"dns.upstreams", "who is asked for the rest; empty for the host's own resolvers",
			func(c *Config) value { return listValue{&c.DNS.Upstreams} }},
		{"dns.static", `records, for example ["db.corp.example A 10.0.0.7", "10.0.0.7 PTR db.corp.example."]`,
			func(c *Config) value { return linesValue{listValue{&c.DNS.Static}} }},
		{"dns.rawdns", "configuration file of rawdns, whose zones are added",
			func(c *Config) value { return stringValue{&c.DNS.Rawdns} }},
		{"dns.resolv_conf", "file that names the host's resolvers",
			func(c *Config) value { return stringValue{&c.DNS.ResolvConf} }},
	}
}

// A linesValue is a list of strings with spaces; as text its members are separated by
// semicolons or line ends.
type linesValue struct{ listValue }

func (v linesValue) set(raw any) error {
	s, ok := raw.(string)
	if !ok {
		return v.listValue.set(raw)
	}
	*v.p = nil
	for _, line := range strings.FieldsFunc(s, func(r rune) bool { return r == ';' || r == '\n' }) {
		if line = strings.TrimSpace(line); line != "" {
			*v.p = append(*v.p, line)
		}
	}
	return nil
}

// dns checks what can be checked without the rest of the program.
func (v *validator) dns() {
	d := v.l.DNS
	for _, a := range d.Listen {
		if ap, err := netip.ParseAddrPort(a); err != nil || ap.Addr().IsUnspecified() || ap.Port() == 0 {
			v.fail("dns.listen", "%q: write address:port of one address, for example \"172.17.0.1:53\"; a resolver on every address is a tool for attacks", a)
		}
	}
	for _, c := range d.Clients {
		if _, err := netip.ParsePrefix(c); err != nil {
			v.fail("dns.clients", "%q: write a network, for example \"172.16.0.0/12\"", c)
		}
	}
	if _, err := netip.ParseAddr(d.Address); d.Address != "" && err != nil {
		v.fail("dns.address", "%q: write an IP address", d.Address)
	}
	for _, b := range d.Redirect {
		if err := interfaceName(b); err != nil {
			v.fail("dns.redirect", "%q: %v", b, err)
		}
	}
	if len(d.Redirect) > 0 && len(d.Listen) == 0 {
		v.fail("dns.redirect", "there is nothing to redirect to; set dns.listen")
	}
	if strings.ContainsAny(d.Domain, " */:@") {
		v.fail("dns.domain", "%q: write a domain, for example \"docker\"", d.Domain)
	}
	for name, path := range map[string]string{"dns.rawdns": d.Rawdns, "dns.resolv_conf": d.ResolvConf} {
		if path != "" && !filepath.IsAbs(path) {
			v.fail(name, "%q: write an absolute path", path)
		}
	}
}

// interfaceName reports why a name can be no network interface's. It becomes part of a rule
// of the packet filter, so nothing else may pass.
func interfaceName(name string) error {
	if name == "" || len(name) > 15 || strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}) {
		return errors.New("write the name of an interface, for example \"docker0\"")
	}
	return nil
}
