package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"sutler/internal/builder"
	"sutler/internal/probe"
)

// namesWithin bounds how long this machine may take to resolve a name.
const namesWithin = 6 * time.Second

// spec says what to look at by an endpoint. What is known not to answer this machine is
// not asked for once more.
func (x *exam) spec(endpoint string) probe.Spec {
	s := probe.Spec{Endpoint: endpoint, Roots: x.status.CA.PEM}
	if h := x.host("apt"); h != "" {
		s.Names = []string{h}
	}
	if h := x.host("npm"); slices.Contains(x.status.CA.Names, h) {
		s.TLS = h
	}
	for _, p := range x.Profiles {
		if answers, asked := x.origins[p.Name]; p.First != "" && (answers || !asked) {
			s.Requests = append(s.Requests, probe.Request{Ecosystem: p.Name, Path: p.First})
		}
	}
	return s
}

// checkOrigins asks for each ecosystem's first document from this machine.
func checkOrigins(ctx context.Context, x *exam) []Finding {
	if !x.up() || len(x.status.Listen) == 0 {
		return skipped(notRunning)
	}
	if x.status.Offline {
		return skipped("sutler is offline, by configuration")
	}
	at := x.status.Listen[0]
	r := x.Look(ctx, x.spec(at))
	if bad := x.path(r, spot{network: network{Name: "this machine"}}); bad != nil {
		return bad
	}
	var out []Finding
	good := 0
	for _, q := range r.Requests {
		x.origins[q.Name] = q.Kind == probe.Fine
		if q.Kind == probe.Fine {
			good++
			continue
		}
		out = append(out, Finding{Severity: Warning, Where: x.host(q.Name), What: fmt.Sprintf("%s: the origin cannot be asked: %s", q.Name, q.Error),
			Fix: "see whether this machine reaches it; a proxy goes into upstream.proxy, a mirror into upstream.mirrors"})
	}
	sum := ok("", fmt.Sprintf("%d of %d ecosystems answer their first request", good, len(r.Requests)))
	if len(out) > 0 {
		sum[0].Severity = Warning // a tick beside "1 of 14" would be taken for good news
	}
	return append(sum, out...)
}

// checkNetworks looks from inside a container on each network of each engine.
func checkNetworks(ctx context.Context, x *exam) []Finding {
	if !x.up() {
		return skipped(notRunning)
	}
	var image *builder.Self
	var out []Finding
	for _, e := range x.engines {
		if e.err != nil {
			continue
		}
		if image == nil {
			var err error
			if image, err = x.Image(); err != nil {
				return skipped("containers: " + err.Error())
			}
		}
		out = append(out, x.onEngine(ctx, e, image)...)
	}
	if len(out) == 0 {
		return skipped("no engine whose containers could be asked")
	}
	return out
}

// onEngine looks from each network of one engine.
func (x *exam) onEngine(ctx context.Context, e engine, image *builder.Self) []Finding {
	all, err := x.networks(ctx, e)
	if err != nil {
		return []Finding{{Severity: Warning, Where: e.name, What: "it does not list its networks: " + err.Error()}}
	}
	h := &containers{x, e.name}
	defer h.Tidy(context.WithoutCancel(ctx), probe.Gone)
	if err := h.Load(ctx, image); err != nil {
		return []Finding{{Severity: Skipped, Where: e.name, What: "the image of sutler cannot be loaded: " + err.Error()}}
	}
	var out []Finding
	spots := map[string]spot{}
	var names []string
	for _, n := range all {
		s := spot{where: e.name + " network " + n.Name, who: "containers", network: n, at: x.endpoint(e, n)}
		if s.at == "" {
			out = append(out, Finding{Severity: Warning, Where: s.where, What: "the network has no address of this machine, so its containers cannot reach sutler"})
			continue
		}
		spots[n.Name], names = s, append(names, n.Name)
	}
	for _, seen := range probe.Networks(ctx, h, image, names, func(network string) probe.Spec { return x.spec(spots[network].at) }) {
		s := spots[seen.Network]
		if seen.Err == nil {
			out = append(out, x.diagnose(ctx, seen.Report, s)...)
			continue
		}
		severity := Broken
		if e.name != "docker" {
			severity = Warning // it may be there for something else than builds
		}
		out = append(out, Finding{Severity: severity, Where: s.where, What: "no container starts on it: " + seen.Err.Error(),
			Fix: "see what the engine says", Command: "sutler image self && " + e.name + " run --rm --pull never --network " + seen.Network + " sutler:VERSION version"})
	}
	return out
}

// containers is an engine behind its client program.
type containers struct {
	x      *exam
	client string
}

// Load implements probe.Host.
func (c *containers) Load(ctx context.Context, image *builder.Self) error {
	all := builder.Loaders("")
	l := all[slices.IndexFunc(all, func(l builder.Loader) bool { return l.Name == c.client })]
	l.Run = c.x.Run
	return l.Load(ctx, image)
}

// Run implements probe.Host. The engine removes the container also if the client is killed.
func (c *containers) Run(ctx context.Context, image, network string, args []string) (string, error) {
	out, err := c.x.Run(ctx, nil, c.client, append([]string{"run", "--rm", "--pull", "never", "--label", probe.Name + "=" + probe.Owner(), "--network", network, image}, args...)...)
	return string(out), err
}

// Tidy implements probe.Host. Containers are gone by themselves.
func (c *containers) Tidy(ctx context.Context, gone func(string) bool) {
	out, err := c.x.Run(ctx, nil, c.client, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
	for ref := range strings.FieldsSeq(string(out)) {
		name, owner, _ := strings.Cut(path.Base(ref), ":")
		if err == nil && name == probe.Name && gone(owner) {
			_, _ = c.x.Run(ctx, nil, c.client, "image", "rm", ref) // the next one tries again
		}
	}
}

// endpoint returns the address at which containers on a network find sutler, "" if there
// is none: the gateway if sutler listens there, else any other bridge.
func (x *exam) endpoint(e engine, n network) string {
	port := x.port()
	if strings.Contains(e.info.OperatingSystem, "Docker Desktop") {
		return "host.docker.internal:" + port
	}
	var other string
	for _, a := range x.status.Listen {
		ap, err := netip.ParseAddrPort(a)
		switch {
		case err != nil || ap.Addr().IsLoopback():
		case ap.Addr().IsUnspecified() && n.Gateway != "", ap.Addr().String() == n.Gateway:
			return net.JoinHostPort(n.Gateway, fmt.Sprint(ap.Port()))
		case other == "" && !ap.Addr().IsUnspecified():
			other = a
		}
	}
	if other != "" {
		return other
	}
	if n.Gateway == "" {
		return ""
	}
	return net.JoinHostPort(n.Gateway, port) // nobody listens, and the probe will say so
}

// port returns the port on which clients are served.
func (x *exam) port() string {
	for _, a := range append(slices.Clone(x.status.Listen), x.Config.Listen...) {
		if _, port, err := net.SplitHostPort(a); err == nil {
			return port
		}
	}
	return ""
}

// A spot is where somebody looked from.
type spot struct {
	where   string // for findings
	who     string // is there: "containers"
	at      string // address at which they were to find sutler
	network network
}

// diagnose says what a report means.
func (x *exam) diagnose(ctx context.Context, r probe.Report, s spot) []Finding {
	if bad := x.path(r, s); bad != nil {
		for i := range bad {
			bad[i].Where = s.where
		}
		return append(bad, x.names(ctx, r, s)...)
	}
	var out []Finding
	asked := 0
	for _, q := range r.Requests {
		if q.Kind == probe.Fine {
			asked++
		} else {
			out = append(out, Finding{Severity: Warning, Where: s.where, What: fmt.Sprintf("%s: %s are not answered, this machine is: %s", q.Name, s.who, q.Error)})
		}
	}
	trust := ""
	if r.TLS.Kind == probe.Fine {
		trust = ", TLS is trusted"
	}
	out = append(ok(s.where, fmt.Sprintf("%s reach sutler at %s%s, %d of %d ecosystems answer", s.who, r.At, trust, asked, len(r.Requests))), out...)
	return append(out, x.names(ctx, r, s)...)
}

// path says what is wrong with the way to sutler and with TLS through it; nil if nothing is.
func (x *exam) path(r probe.Report, s spot) []Finding {
	n, at := s.network, r.At
	_, port, _ := net.SplitHostPort(at) // an address that the probe could use
	switch r.Connect.Kind {
	case probe.Fine:
	case probe.TimedOut, probe.Forbidden:
		fix, command := x.openPort(n, port)
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("a firewall of this machine keeps %s from sutler at %s (%s)", n.Name, at, r.Connect.Kind), Fix: fix, Command: command}}
	case probe.Closed:
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("nobody listens at %s, as %s sees it: sutler does not, or a firewall rejects", at, n.Name),
			Fix: "restart sutler, it looks for bridges when it starts", Command: "sutler down && sutler up"}}
	default:
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("%s does not reach sutler at %s: %s", n.Name, at, r.Connect.Error)}}
	}
	if r.Ready.Kind != probe.Fine || r.Ready.Status != 200 {
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("what answers at %s is no sutler that is ready: status %d %s", at, r.Ready.Status, r.Ready.Error),
			Fix: "see who listens there", Command: "ss -ltnp sport = :" + port}}
	}
	switch r.TLS.Kind {
	case probe.Distrusted:
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("TLS through sutler is not trusted with sutler's own authority (%s): %s", r.TLS.Name, r.TLS.Error),
			Fix: "see whether another proxy stands in between, or the clock is wrong; restart sutler after its authority was replaced", Command: "sutler ca show"}}
	case probe.Fine, "":
	default:
		return []Finding{{Severity: Warning, Where: at, What: fmt.Sprintf("TLS through sutler to %s fails: %s", r.TLS.Name, r.TLS.Error),
			Fix: "see the log", Command: "sutler status"}}
	}
	return nil
}

// openPort says how containers on a network are let through this machine's firewall.
func (x *exam) openPort(n network, port string) (text, command string) {
	if n.Bridge == "" {
		return "allow connections to sutler's port", ""
	}
	text = "allow what comes in on " + n.Bridge
	if _, err := x.Stat("/usr/sbin/ufw"); err == nil {
		return text, fmt.Sprintf("ufw allow in on %s to any port %s proto tcp", n.Bridge, port)
	}
	if _, err := x.Stat("/usr/bin/firewall-cmd"); err == nil {
		return text, fmt.Sprintf("firewall-cmd --permanent --zone=docker --add-port=%s/tcp && firewall-cmd --reload", port)
	}
	return text, fmt.Sprintf("iptables -I INPUT -i %s -p tcp --dport %s -j ACCEPT", n.Bridge, port)
}

// names says what is wrong with names inside containers.
func (x *exam) names(ctx context.Context, r probe.Report, s spot) []Finding {
	var out []Finding
	for _, name := range r.Names {
		if name.Kind == probe.Fine {
			continue
		}
		short, cancel := context.WithTimeout(ctx, namesWithin)
		_, err := x.Resolve(short, name.Name)
		cancel()
		resolver := strings.Join(r.Resolver, ", ")
		if err != nil {
			out = append(out, Finding{Severity: Warning, Where: s.where, What: fmt.Sprintf("%s resolves neither in %s nor on this machine", name.Name, s.who),
				Fix: "this machine is offline, or its resolver is; steps that go through sutler need no names"})
			continue
		}
		out = append(out, Finding{Severity: Broken, Where: s.where, What: fmt.Sprintf("DNS fails in %s (%s, asked %s), and works on this machine: what does not go through sutler's proxy fails", s.who, name.Kind, resolver),
			Fix: "let containers reach that resolver, or name one that they reach in docker's \"dns\" (daemon.json)", Command: "docker info"})
	}
	return out
}
