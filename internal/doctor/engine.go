package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// An engine is docker or podman as its client program describes it.
type engine struct {
	name string
	err  error // why it cannot be examined
	info info
	// local says that it runs on this machine's own system, not in a virtual one.
	local bool
}

// info is what we read of `docker info`.
type info struct {
	ServerVersion, OperatingSystem, DefaultRuntime string

	HTTPProxy, HTTPSProxy string `json:",omitempty"`
	HTTPProxyDocker       string `json:"HttpProxy"`
	HTTPSProxyDocker      string `json:"HttpsProxy"`

	Runtimes       map[string]struct{ Path string }
	RegistryConfig struct{ Mirrors []string }
	ServerErrors   []string
}

// A network is one that containers can be on.
type network struct {
	Name, ID, Driver string
	Bridge           string // interface of this machine
	Gateway          string // its address there, "" if unknown
}

// errNoClient means that a client program is not installed.
var errNoClient = errors.New("is not installed")

// findEngines asks each engine how it is.
func findEngines(ctx context.Context, e *Env) []engine {
	d := engine{name: "docker"}
	out, err := e.Run(ctx, nil, "docker", "info", "--format", "{{json .}}")
	if err == nil || len(out) > 0 { // some clients complain, and print what they know
		if parse := json.Unmarshal(out, &d.info); parse != nil && err == nil {
			err = parse
		}
	}
	if err == nil && len(d.info.ServerErrors) > 0 {
		err = errors.New(d.info.ServerErrors[0])
	}
	d.err = clientError(err)
	host := e.variable("DOCKER_HOST")
	d.local = (host == "" || strings.HasPrefix(host, "unix://")) && !strings.Contains(d.info.OperatingSystem, "Docker Desktop")

	p := engine{name: "podman", local: true}
	out, err = e.Run(ctx, nil, "podman", "version", "--format", "{{.Client.Version}}")
	p.info.ServerVersion, p.err = strings.TrimSpace(string(out)), clientError(err)
	if p.err == nil && !e.Root {
		p.err = errors.New("networks of podman without root are not examined: its containers reach this machine by an address of their own")
	}
	return []engine{d, p}
}

// clientError says that the program is missing if that is what err means.
func clientError(err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return errNoClient
	}
	return err
}

// major returns the first number of the engine's version, 0 if it has none.
func (e engine) major() int {
	first, _, _ := strings.Cut(e.info.ServerVersion, ".")
	n, _ := strconv.Atoi(first) // what is no number is an old or a strange engine
	return n
}

// docker returns the docker engine; its err is set if there is none.
func (x *exam) docker() engine { return x.engines[0] }

func checkEngines(_ context.Context, x *exam) []Finding {
	var out []Finding
	for _, e := range x.engines {
		switch {
		case errors.Is(e.err, errNoClient):
			out = append(out, Finding{Severity: Skipped, Where: e.name, What: e.name + " " + e.err.Error()})
		case e.name == "podman" && e.err != nil:
			out = append(out, Finding{Severity: Skipped, Where: e.name, What: e.err.Error()})
		case e.err != nil && strings.Contains(e.err.Error(), "permission denied"):
			out = append(out, Finding{Severity: Warning, Where: e.name, What: "this user may not use the engine: " + e.err.Error(),
				Fix: "run this as root, or as a member of the engine's group", Command: "sudo sutler doctor"})
		case e.err != nil:
			out = append(out, Finding{Severity: Warning, Where: e.name, What: "the engine does not answer: " + e.err.Error(),
				Fix: "start it", Command: "systemctl start docker"})
		default:
			out = append(out, Finding{Severity: OK, Where: e.name, What: e.name + " " + e.info.ServerVersion + " answers"})
		}
	}
	return out
}

// checkBridge looks for the interface without which no container of docker starts.
func checkBridge(ctx context.Context, x *exam) []Finding {
	d := x.docker()
	if d.err != nil || !d.local {
		return skipped("docker is not here, or its bridge is not on this machine")
	}
	all, err := x.networks(ctx, d)
	if err != nil {
		return []Finding{{Severity: Warning, What: "docker does not list its networks: " + err.Error(), Where: "docker"}}
	}
	interfaces, err := x.Interfaces()
	if err != nil {
		return skipped("the interfaces of this machine: " + err.Error())
	}
	var out []Finding
	for _, n := range all {
		if _, ok := interfaces[n.Bridge]; ok {
			continue
		}
		out = append(out, Finding{Severity: Broken, Where: n.Bridge, What: fmt.Sprintf("the bridge of docker's network %q is gone: no container starts on it", n.Name),
			Fix: "restart docker, it makes the bridge again; another docker daemon may have removed it", Command: "systemctl restart docker"})
	}
	if len(out) > 0 {
		return out
	}
	return ok("", "each network of docker has its bridge: "+strings.Join(namesOf(all), ", "))
}

// namesOf returns the names of networks.
func namesOf(all []network) []string {
	var out []string
	for _, n := range all {
		out = append(out, n.Name)
	}
	return out
}

// networks lists the networks of an engine whose containers reach this machine by a bridge.
func (x *exam) networks(ctx context.Context, e engine) ([]network, error) {
	out, err := x.Run(ctx, nil, e.name, "network", "ls", "--filter", "driver=bridge", "--format", "{{.Name}}")
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(out))
	if len(names) == 0 {
		return nil, nil
	}
	out, err = x.Run(ctx, nil, e.name, append([]string{"network", "inspect"}, names...)...)
	if err != nil {
		return nil, err
	}
	interfaces, err := x.Interfaces()
	if err != nil {
		return nil, err
	}
	return parseNetworks(out, interfaces)
}

// parseNetworks reads `network inspect` of docker and of podman.
func parseNetworks(text []byte, interfaces map[string][]netip.Addr) ([]network, error) {
	var all []struct {
		Name, Driver string
		ID           string `json:"Id"`
		Internal     bool
		IPAM         struct{ Config []struct{ Gateway string } }
		Options      map[string]string

		Interface string `json:"network_interface"` // podman, as is the next
		Subnets   []struct{ Gateway string }
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	var out []network
	for _, n := range all {
		if n.Internal {
			continue // its containers reach nothing, by intent
		}
		w := network{Name: n.Name, ID: n.ID, Driver: n.Driver, Bridge: n.Interface}
		if w.Bridge == "" {
			w.Bridge = n.Options["com.docker.network.bridge.name"]
		}
		if w.Bridge == "" && len(n.ID) >= 12 {
			w.Bridge = "br-" + n.ID[:12]
		}
		for _, c := range append(n.IPAM.Config, n.Subnets...) {
			if a, err := netip.ParseAddr(c.Gateway); err == nil && a.Is4() && w.Gateway == "" {
				w.Gateway = a.String()
			}
		}
		for _, a := range interfaces[w.Bridge] { // engines leave it out until the bridge is used
			if a.Is4() && w.Gateway == "" {
				w.Gateway = a.String()
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// checkRuntime looks for the program that starts docker's containers.
func checkRuntime(_ context.Context, x *exam) []Finding {
	d := x.docker()
	if d.err != nil || !d.local {
		return skipped("docker is not here, or its programs are not on this machine")
	}
	name := d.info.DefaultRuntime
	path := d.info.Runtimes[name].Path
	if !filepath.IsAbs(path) {
		return ok(name, "the engine finds its default runtime by name")
	}
	if _, err := x.Stat(path); err != nil {
		return []Finding{{Severity: Broken, Where: path, What: fmt.Sprintf("docker's default runtime %q cannot be found: no container starts (%v)", name, err),
			Fix: "detach sutler from docker, or take default-runtime out of daemon.json and reload docker", Command: "sutler detach docker"}}
	}
	return ok(path, "the program of docker's default runtime is there")
}

// checkProxies looks for proxies of docker that go before sutler's.
func checkProxies(_ context.Context, x *exam) []Finding {
	var out []Finding
	d := x.docker()
	for key, value := range map[string]string{"HTTP": d.info.HTTPProxyDocker, "HTTPS": d.info.HTTPSProxyDocker} {
		if d.err == nil && value != "" && !x.ours(value) {
			out = append(out, Finding{Severity: Warning, Where: "docker info", What: fmt.Sprintf("the engine pulls through another %s proxy, %s", key, withoutUser(value)),
				Fix: "if origins are reached through it only, set upstream.proxy to it"})
		}
	}
	path := filepath.Join(x.variable("HOME"), ".docker", "config.json")
	if dir := x.variable("DOCKER_CONFIG"); dir != "" {
		path = filepath.Join(dir, "config.json")
	}
	var client struct{ Proxies map[string]map[string]string }
	if text, err := x.ReadFile(path); err == nil {
		if err := json.Unmarshal(text, &client); err != nil {
			out = append(out, Finding{Severity: Warning, Where: path, What: "docker's client configuration cannot be read: " + err.Error(), Fix: "correct it"})
		}
	}
	for engine, set := range client.Proxies {
		for _, key := range []string{"httpProxy", "httpsProxy", "allProxy"} {
			if set[key] != "" && !x.ours(set[key]) {
				out = append(out, Finding{Severity: Warning, Where: path, What: fmt.Sprintf("docker gives every build and container another proxy (proxies.%s.%s), which goes before sutler's", engine, key),
					Fix: "take it out; if origins are reached through it only, set upstream.proxy to it"})
			}
		}
	}
	if len(out) == 0 {
		return ok("", "docker has no other proxy")
	}
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.What, b.What) })
	return out
}

// checkMirrors looks for a registry mirror that is a sutler which does not run.
func checkMirrors(_ context.Context, x *exam) []Finding {
	d := x.docker()
	if d.err != nil {
		return skipped("docker is not here")
	}
	for _, m := range d.info.RegistryConfig.Mirrors {
		if x.ours(m) && !x.up() {
			return []Finding{{Severity: Warning, Where: m, What: "docker asks sutler for images first, which is not running: pulls go to the registry after a failed attempt",
				Fix: "start it, or detach it", Command: "sutler up"}}
		}
	}
	return ok("", fmt.Sprintf("no dead mirror of ours among docker's registry mirrors (%d)", len(d.info.RegistryConfig.Mirrors)))
}
