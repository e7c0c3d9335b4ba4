package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"sutler/internal/builder"
	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ecosystem"
	"sutler/internal/probe"
)

// today is what the clocks of these tests say.
var today = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A world is an Env of which all is well, to be spoiled by tests.
type world struct {
	Env
	files    fstest.MapFS                      // by path without its first slash
	commands map[string]func() (string, error) // by the beginning of the command line
	ran      []string
	mu       sync.Mutex // of ran
	spec     string     // of the last build, JSON
	status   control.Status
	down     error // why Status fails
	free     int64
	reports  map[string]probe.Report // by network; "" is this machine
	answers  map[string]*http.Response
}

const dockerInfo = `{"ServerVersion":"28.5.2","DefaultRuntime":"runc","Runtimes":{"runc":{"path":"runc"},"sutler":{"path":"/opt/sutler-runc"}},"RegistryConfig":{"Mirrors":[]}}`

const dockerNetworks = `[{"Name":"bridge","Id":"aaaaaaaaaaaaaaaa","Driver":"bridge","IPAM":{"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]},"Options":{"com.docker.network.bridge.name":"docker0"}},
{"Name":"app","Id":"bbbbbbbbbbbbbbbb","Driver":"bridge","IPAM":{"Config":[{"Gateway":"172.18.0.1"}]},"Options":{}},
{"Name":"closed","Id":"cccccccccccccccc","Driver":"bridge","Internal":true,"IPAM":{"Config":[{"Gateway":"172.19.0.1"}]}}]`

// The commands that build, by which the reports of their steps are known.
const (
	classic  = "docker build --force-rm"
	kit20    = "docker build --progress=plain"
	ofBuildx = "docker buildx build"
)

// buildxBuilders is what buildx lists: the engine's own builder, one that does not run and one
// that cannot be reached.
const buildxBuilders = `NAME/NODE    DRIVER/ENDPOINT                 STATUS    BUILDKIT  PLATFORMS
default*     docker
 \_ default   \_ default   running   v0.25.0   linux/amd64
off          docker-container
 \_ off0      \_ unix:///var/run/docker.sock   inactive
gone                                                             error
Cannot load builder gone: dial unix /gone: no such file or directory
`

// newWorld returns a machine with docker, two networks, and a sutler that runs.
func newWorld(t *testing.T) *world {
	good := probe.Report{Connect: probe.Result{Kind: probe.Fine}, Ready: probe.Result{Kind: probe.Fine, Status: 200}, TLS: probe.Result{Name: "npm.example", Kind: probe.Fine},
		Names: []probe.Result{{Name: "deb.example", Kind: probe.Fine}}, Requests: []probe.Result{{Name: "npm", Kind: probe.Fine, Status: 200}, {Name: "apt", Kind: probe.Fine, Status: 200}}}
	from := func(gateway string) probe.Report { r := good; r.At = gateway + ":7885"; return r }
	w := &world{
		files: fstest.MapFS{
			"run/s":                       {Mode: fs.ModeSocket | 0o600},
			"state/ca":                    {Mode: fs.ModeDir | 0o700},
			"state/ca/ca.pem":             {Mode: 0o600},
			"cache/format":                {Mode: 0o600},
			"proc/net/udp":                {Data: []byte(udpTable("3500007F"))},
			"proc/12/comm":                {Data: []byte("systemd-resolve\n")},
			"opt/sutler-runc":             {Mode: 0o755},
			"home/me/.docker/config.json": {Data: []byte(`{"auths":{}}`)},
		},
		free: 100 << 30, reports: map[string]probe.Report{"": from("127.0.0.1"), "bridge": from("172.17.0.1"), "app": from("172.18.0.1"),
			classic: from("172.17.0.1"), kit20: from("172.17.0.1"), ofBuildx: from("172.17.0.1")}, answers: map[string]*http.Response{},
	}
	w.commands = programs()
	w.status = control.Status{Version: "1.0", PID: 7, Listen: []string{"127.0.0.1:7885", "172.17.0.1:7885", "172.18.0.1:7885"},
		Store: control.Store{Dir: "/cache", Bytes: 1 << 30}, CA: control.CA{Names: []string{"npm.example"}, NotAfter: today.AddDate(1, 0, 0), PEM: "pem"}}
	w.answers["http://deb.example/"] = answer(200, "Date", today.Format(http.TimeFormat))
	w.answers["https://hub.example/v2/ratelimitpreview/test/manifests/latest"] = answer(200, "RateLimit-Limit", "100;w=21600", "RateLimit-Remaining", "76;w=21600")
	w.Env = Env{
		Version: "1.0", Root: true, Vars: []string{"HOME=/home/me"}, Now: func() time.Time { return today },
		Config: config.Config{Listen: []string{"127.0.0.1:7885"}, Socket: "/run/s", Steps: "/run/steps", Store: config.Store{Dir: "/cache", State: "/state", MaxSize: 20 << 30, MinFree: 5 << 30}},
		Profiles: []ecosystem.Profile{{Name: "oci", Hosts: []string{"hub.example"}}, {Name: "apt", Hosts: []string{"deb.example"}, First: "/apt/x"},
			{Name: "npm", Hosts: []string{"npm.example"}, First: "/npm/x"}},
		Status:   func(context.Context) (control.Status, error) { return w.current() },
		Start:    func(context.Context) error { w.ran = append(w.ran, "start"); return nil },
		ReadFile: func(p string) ([]byte, error) { return w.files.ReadFile(strings.TrimPrefix(p, "/")) },
		Stat:     func(p string) (fs.FileInfo, error) { return w.files.Stat(strings.TrimPrefix(p, "/")) },
		Glob:     w.glob,
		Chmod: func(p string, m fs.FileMode) error {
			w.ran = append(w.ran, fmt.Sprintf("chmod %04o %s", m, p))
			return nil
		},
		Remove: func(p string) error { w.ran = append(w.ran, "rm "+p); return nil },
		Free:   func(string) (int64, error) { return w.free, nil },
		Interfaces: func() (map[string][]netip.Addr, error) {
			return map[string][]netip.Addr{"lo": {netip.MustParseAddr("127.0.0.1")}, "docker0": {netip.MustParseAddr("172.17.0.1")}, "br-bbbbbbbbbbbb": {netip.MustParseAddr("172.18.0.1")}}, nil
		},
		Resolve: func(context.Context, string) ([]string, error) { return []string{"192.0.2.1"}, nil },
		Do: func(r *http.Request) (*http.Response, error) {
			if a := w.answers[r.URL.String()]; a != nil {
				return a, nil
			}
			return nil, errors.New("no route to " + r.URL.Host)
		},
		Run:   w.run,
		Build: w.build, Context: func(files map[string]string) (string, func(), error) {
			w.spec = files[specFile]
			return "/context", func() {}, nil
		},
		Look:  func(context.Context, probe.Spec) probe.Report { return w.reports[""] },
		Image: func() (*builder.Self, error) { return image(t) },
	}
	return w
}

// programs are what is installed, by the beginning of the command line.
func programs() map[string]func() (string, error) {
	return map[string]func() (string, error){
		"docker info":            func() (string, error) { return dockerInfo, nil },
		"docker network ls":      func() (string, error) { return "bridge\napp\nclosed\n", nil },
		"docker network inspect": func() (string, error) { return dockerNetworks, nil },
		"docker image inspect":   func() (string, error) { return "sha256:other", nil },
		"docker version":         func() (string, error) { return "amd64", nil },
		"docker load":            func() (string, error) { return "loaded", nil },
		"docker image ls":        func() (string, error) { return "debian:12\nsutler-probe:" + probe.Owner() + "\n", nil },
		"docker image rm":        func() (string, error) { return "", nil },
		"docker image prune":     func() (string, error) { return "", nil },
		"docker --version":       func() (string, error) { return "", nil },
		"docker buildx ls":       func() (string, error) { return buildxBuilders, nil },
		"docker buildx inspect":  func() (string, error) { return "", nil },
		"docker buildx du":       func() (string, error) { return "", nil },
		"nft list tables":        func() (string, error) { return "table inet filter\n", nil },
	}
}

func (w *world) current() (control.Status, error) {
	if w.down != nil {
		return control.Status{}, w.down
	}
	return w.status, nil
}

func (w *world) glob(pattern string) ([]string, error) {
	all, err := fs.Glob(w.files, strings.TrimPrefix(pattern, "/"))
	for i := range all {
		all[i] = "/" + all[i]
	}
	return all, err
}

// run stands for programs; what is not in commands is not installed.
func (w *world) run(_ context.Context, stdin io.Reader, name string, args ...string) ([]byte, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	w.mu.Lock()
	w.ran = append(w.ran, line)
	w.mu.Unlock()
	if stdin != nil {
		if _, err := io.Copy(io.Discard, stdin); err != nil && line == "" {
			return nil, err
		}
	}
	if i := slices.Index(args, "--network"); i > 0 && w.commands[name+" run"] == nil {
		return []byte(probe.Print(w.reports[args[i+1]])), nil
	}
	for start, do := range w.commands {
		if strings.HasPrefix(line, start) {
			out, err := do()
			return []byte(out), err
		}
	}
	return nil, &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// build stands for clients of builders, which print the report of the step.
func (w *world) build(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	for start, r := range w.reports {
		if start == "" || !strings.HasPrefix(line, start) {
			continue
		}
		_, after, _ := strings.Cut(w.spec, `{"id":"`)
		r.ID, _, _ = strings.Cut(after, `"`)
		return []byte("#5 0.1 " + probe.Print(r) + "\n"), nil
	}
	return w.run(ctx, nil, name, args...)
}

// says makes a command print something.
func (w *world) says(command, out string) {
	w.commands[command] = func() (string, error) { return out, nil }
}

// fails makes a command fail.
func (w *world) fails(command, why string) {
	w.commands[command] = func() (string, error) { return "", errors.New(why) }
}

// answer makes an answer of an origin with these fields.
func answer(status int, fields ...string) *http.Response {
	r := &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: http.NoBody}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return r
}

// udpTable is /proc/net/udp with one listener on port 53.
func udpTable(addr string) string {
	return "  sl  local_address rem_address   st\n   1: " + addr + ":0035 00000000:0000 07 0:0\n   2: 00000000:0044 00000000:0000 07 0:0\n"
}

// of runs one check and returns what it found.
func (w *world) of(t *testing.T, name string) []Finding {
	t.Helper()
	e := w.Env
	i := slices.IndexFunc(checks(), func(c check) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("no check %q", name)
	}
	return checks()[i].run(t.Context(), examine(t.Context(), &e))
}

// see changes what a probe reports.
func (w *world) see(network string, change func(*probe.Report)) {
	r := w.reports[network]
	r.Names, r.Requests = slices.Clone(r.Names), slices.Clone(r.Requests)
	change(&r)
	w.reports[network] = r
}

// quota makes the registry state what is left.
func (w *world) quota(left string) {
	w.answers["https://hub.example/v2/ratelimitpreview/test/manifests/latest"].Header.Set("RateLimit-Remaining", left)
}

// nobody is a resolver that knows no name.
func nobody(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }

// image makes the image of the smallest program that Linux would take for one.
func image(t *testing.T) (*builder.Self, error) {
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x01\x01")
	header[16], header[18], header[20], header[52] = 2, 62, 1, 64 // executable, amd64, version, size of the header
	at := t.TempDir() + "/program"
	if err := os.WriteFile(at, header, 0o755); err != nil {
		return nil, err
	}
	return builder.NewSelf("1.0", at, "")
}
