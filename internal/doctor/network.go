package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sutler/internal/builder"
)

// containerWithin bounds a container from its start to its end.
const containerWithin = probeWithin + 30*time.Second

// spec says what to look at by an endpoint. What is known not to answer this machine is
// not asked for once more.
func (x *exam) spec(endpoint string) Spec {
	s := Spec{Endpoint: endpoint, Roots: x.status.CA.PEM}
	if h := x.host("apt"); h != "" {
		s.Names = []string{h}
	}
	if h := x.host("npm"); slices.Contains(x.status.CA.Names, h) {
		s.TLS = h
	}
	for _, p := range x.Profiles {
		if answers, asked := x.origins[p.Name]; p.First != "" && (answers || !asked) {
			s.Requests = append(s.Requests, Request{Ecosystem: p.Name, Path: p.First})
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
	r := x.Probe(ctx, x.spec(at))
	if bad := x.path(r, network{Name: "this machine"}, at); bad != nil {
		return bad
	}
	var out []Finding
	good := 0
	for _, q := range r.Requests {
		x.origins[q.Name] = q.Kind == Fine
		if q.Kind == Fine {
			good++
			continue
		}
		out = append(out, Finding{Severity: Warning, Where: x.host(q.Name), What: fmt.Sprintf("%s: the origin cannot be asked: %s", q.Name, q.Error),
			Fix: "see whether this machine reaches it; a proxy goes into upstream.proxy, a mirror into upstream.mirrors"})
	}
	return append(ok("", fmt.Sprintf("%d of %d ecosystems answer their first request", good, len(r.Requests))), out...)
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
	l := slices.IndexFunc(builder.Loaders(""), func(l builder.Loader) bool { return l.Name == e.name })
	remove, err := x.load(ctx, builder.Loaders("")[l], image)
	if err != nil {
		return []Finding{{Severity: Skipped, Where: e.name, What: "the image of sutler cannot be loaded: " + err.Error()}}
	}
	defer remove()
	var out []Finding
	for _, n := range all {
		at := x.endpoint(e, n)
		if at == "" {
			out = append(out, Finding{Severity: Warning, Where: e.name + " network " + n.Name, What: "the network has no address of this machine, so its containers cannot reach sutler"})
			continue
		}
		r, err := x.inContainer(ctx, e, n, image.Ref, x.spec(at))
		if err != nil {
			severity := Broken
			if e.name != "docker" {
				severity = Warning // it may be there for something else than builds
			}
			out = append(out, Finding{Severity: severity, Where: e.name + " network " + n.Name, What: "no container starts on it: " + err.Error(),
				Fix: "see what the engine says", Command: e.name + " run --rm --pull never --network " + n.Name + " " + image.Ref + " version"})
			continue
		}
		out = append(out, x.diagnose(ctx, r, e, n, at)...)
	}
	return out
}

// load puts the image into an engine and returns what takes it out again, if it was not
// there before.
func (x *exam) load(ctx context.Context, l builder.Loader, image *builder.Self) (func(), error) {
	l.Run = x.Run
	if l.Has(ctx, image) {
		return func() {}, nil
	}
	if err := l.Load(ctx, image); err != nil {
		return nil, err
	}
	return func() {
		// A leftover is an image that `sutler image self` makes too: nothing to add.
		_, _ = x.Run(context.WithoutCancel(ctx), nil, l.Name, "image", "rm", image.Ref)
	}, nil
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

// inContainer runs the probe on a network and returns what it saw.
func (x *exam) inContainer(ctx context.Context, e engine, n network, image string, s Spec) (r Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, containerWithin)
	defer cancel()
	stdin, err := json.Marshal(s)
	if err != nil {
		return r, err
	}
	out, err := x.Run(ctx, bytes.NewReader(stdin), e.name, "run", "--rm", "-i", "--pull", "never", "--label", "sutler.doctor=probe", "--network", n.Name, image, "probe")
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(out, &r)
}

// diagnose says what a report from a container means.
func (x *exam) diagnose(ctx context.Context, r Report, e engine, n network, at string) []Finding {
	where := e.name + " network " + n.Name
	if bad := x.path(r, n, at); bad != nil {
		for i := range bad {
			bad[i].Where = where
		}
		return append(bad, x.names(ctx, r, where)...)
	}
	var out []Finding
	asked := 0
	for _, q := range r.Requests {
		if q.Kind == Fine {
			asked++
		} else {
			out = append(out, Finding{Severity: Warning, Where: where, What: fmt.Sprintf("%s: a container is not answered, this machine is: %s", q.Name, q.Error)})
		}
	}
	trust := ""
	if r.TLS.Kind == Fine {
		trust = ", TLS is trusted"
	}
	out = append(ok(where, fmt.Sprintf("containers reach sutler at %s%s, %d of %d ecosystems answer", at, trust, asked, len(r.Requests))), out...)
	return append(out, x.names(ctx, r, where)...)
}

// path says what is wrong with the way to sutler and with TLS through it; nil if nothing is.
func (x *exam) path(r Report, n network, at string) []Finding {
	_, port, _ := net.SplitHostPort(at) // an address that the probe could use
	switch r.Connect.Kind {
	case Fine:
	case TimedOut, Forbidden:
		fix, command := x.openPort(n, port)
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("a firewall of this machine keeps %s from sutler at %s (%s)", n.Name, at, r.Connect.Kind), Fix: fix, Command: command}}
	case Closed:
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("nobody listens at %s, as %s sees it: sutler does not, or a firewall rejects", at, n.Name),
			Fix: "restart sutler, it looks for bridges when it starts", Command: "sutler down && sutler up"}}
	default:
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("%s does not reach sutler at %s: %s", n.Name, at, r.Connect.Error)}}
	}
	if r.Ready.Kind != Fine || r.Ready.Status != 200 {
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("what answers at %s is no sutler that is ready: status %d %s", at, r.Ready.Status, r.Ready.Error),
			Fix: "see who listens there", Command: "ss -ltnp sport = :" + port}}
	}
	switch r.TLS.Kind {
	case Distrusted:
		return []Finding{{Severity: Broken, Where: at, What: fmt.Sprintf("TLS through sutler is not trusted with sutler's own authority (%s): %s", r.TLS.Name, r.TLS.Error),
			Fix: "see whether another proxy stands in between, or the clock is wrong; restart sutler after its authority was replaced", Command: "sutler ca show"}}
	case Fine, "":
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
func (x *exam) names(ctx context.Context, r Report, where string) []Finding {
	var out []Finding
	for _, name := range r.Names {
		if name.Kind == Fine {
			continue
		}
		short, cancel := context.WithTimeout(ctx, resolveWithin)
		_, err := x.Resolve(short, name.Name)
		cancel()
		resolver := strings.Join(r.Resolver, ", ")
		if err != nil {
			out = append(out, Finding{Severity: Warning, Where: where, What: fmt.Sprintf("%s resolves neither in containers nor on this machine", name.Name),
				Fix: "this machine is offline, or its resolver is; steps that go through sutler need no names"})
			continue
		}
		out = append(out, Finding{Severity: Broken, Where: where, What: fmt.Sprintf("DNS fails in containers (%s, asked %s), and works on this machine: what does not go through sutler's proxy fails", name.Kind, resolver),
			Fix: "let containers reach that resolver, or name one that they reach in docker's \"dns\" (daemon.json)", Command: "docker info"})
	}
	return out
}
