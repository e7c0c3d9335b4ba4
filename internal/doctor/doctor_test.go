package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sutler/internal/control"
	"sutler/internal/probe"
)

func indent(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestWell checks that every check finds a good machine good.
func TestWell(t *testing.T) {
	w := newWorld(t)
	var seen []string
	all := Run(t.Context(), w.Env, func(f Finding) { seen = append(seen, f.Check) })
	for _, f := range all {
		if f.Severity != OK && f.Severity != Skipped {
			t.Errorf("%+v", f)
		}
	}
	if Worst(all) != OK || len(seen) != len(all) {
		t.Errorf("worst %q, %d of %d reported", Worst(all), len(seen), len(all))
	}
	for _, n := range Names() {
		if !slices.Contains(seen, n) {
			t.Errorf("%s found nothing", n)
		}
	}
	if !slices.Contains(w.ran, "docker image rm sutler-probe:"+probe.Owner()) {
		t.Error("the image stays in the engine")
	}
}

// TestNothing checks that a machine without anything is told so, and that nothing is said
// to be broken but the daemon.
func TestNothing(t *testing.T) {
	w := newWorld(t)
	w.commands, w.files, w.answers = nil, fstest.MapFS{"cache": {Mode: fs.ModeDir}}, nil
	w.down, w.Root = control.ErrNotRunning, false
	for _, f := range Run(t.Context(), w.Env, nil) {
		if f.Severity == Broken && f.Check != "daemon" || f.Severity == Warning {
			t.Errorf("%+v", f)
		}
		if f.Severity == Skipped && f.What == "" {
			t.Errorf("%s is skipped without a reason", f.Check)
		}
	}
}

// faults is what goes wrong, and what is to be found then.
var faults = []struct {
	check, name string
	spoil       func(*world)
	severity    Severity
	what, fix   string // parts of them
}{
	{"config", "unknown variable", func(w *world) { w.Ignored = []string{"SUTLER_LISTN: unknown"} }, Warning, "SUTLER_LISTN", "correct"},
	{"daemon", "not running", func(w *world) { w.down = control.ErrNotRunning }, Broken, "not running", "sutler up"},
	{"daemon", "of another user", func(w *world) { w.down = fmt.Errorf("belongs to another user: %w", fs.ErrPermission) }, Broken, "another user", "as that user"},
	{"daemon", "stuck", func(w *world) { w.down = errors.New("answered 500") }, Broken, "500", "restart"},
	{"daemon", "other version", func(w *world) { w.status.Version = "0.9" }, Warning, "sutler 0.9 is running, this program is 1.0", "restart"},
	{"daemon", "trouble", func(w *world) { w.status.Trouble = []string{"disk on fire"} }, Warning, "disk on fire", "log"},
	{"listen", "nowhere", func(w *world) { w.status.Listen = nil }, Broken, "no clients", "restart"},
	{"listen", "everywhere", func(w *world) { w.status.Listen = []string{"[::]:7885"} }, Warning, "everyone", "listen"},
	{"listen", "not running", func(w *world) { w.down = control.ErrNotRunning }, Skipped, "not running", ""},
	{"store", "full disk", func(w *world) { w.free = 1 << 30 }, Warning, "store.min_free", "free space"},
	{"store", "too small a disk", func(w *world) { w.free = 10 << 30 }, Warning, "may still grow by 19 GiB", "max_size"},
	{"ca", "expired", func(w *world) { w.status.CA.NotAfter = today.Add(-time.Hour) }, Broken, "expired", "restart"},
	{"ca", "soon", func(w *world) { w.status.CA.NotAfter = today.AddDate(0, 0, 3) }, Warning, "soon", "restart"},
	{"ca", "off", func(w *world) { w.status.CA.Names = nil }, Skipped, "intercept.enabled", ""},
	{"files", "open socket", func(w *world) { w.files["run/s"].Mode = fs.ModeSocket | 0o666 }, Broken, "control socket (mode 0666)", "chmod 0600 /run/s"},
	{"files", "open key", func(w *world) { w.files["state/ca/ca.pem"].Mode = 0o644 }, Broken, "key of the local authority", "chmod 0600"},
	{"files", "open folder", func(w *world) { w.files["state/ca"].Mode = fs.ModeDir | 0o755 }, Broken, "folder", "chmod 0700"},
	{"files", "none yet", func(w *world) { w.files = fstest.MapFS{} }, Skipped, "yet", ""},
	{"variables", "other proxy", func(w *world) { w.Vars = []string{"https_proxy=http://me:secret@proxy.example:3128"} }, Warning, "http://***@proxy.example:3128", "upstream.proxy"},
	{"variables", "no proxy", func(w *world) { w.Vars = []string{"NO_PROXY=*"} }, Warning, "no proxy", "unset"},
	{"engine", "down", func(w *world) { w.fails("docker info", "Cannot connect to the Docker daemon") }, Warning, "Cannot connect", "start"},
	{"engine", "not allowed", func(w *world) { w.fails("docker info", "permission denied while trying to connect") }, Warning, "may not use", "root"},
	{"engine", "error inside", func(w *world) { w.says("docker info", `{"ServerErrors":["Cannot connect to it"]}`) }, Warning, "Cannot connect to it", "start"},
	{"engine", "missing", func(w *world) { delete(w.commands, "docker info") }, Skipped, "docker is not installed", ""},
	{"bridge", "gone", func(w *world) {
		w.Interfaces = func() (map[string][]netip.Addr, error) {
			return map[string][]netip.Addr{"lo": nil, "br-bbbbbbbbbbbb": nil}, nil
		}
	}, Broken, `"bridge" is gone`, "restart docker"},
	{"runtime", "missing", func(w *world) {
		w.says("docker info", strings.Replace(dockerInfo, `"runc",`, `"sutler",`, 1))
		delete(w.files, "opt/sutler-runc")
	}, Broken, `"sutler" cannot be found`, "detach"},
	{"proxies", "of the daemon", func(w *world) {
		w.says("docker info", strings.Replace(dockerInfo, "{", `{"HttpProxy":"http://u:p@proxy.example:1",`, 1))
	}, Warning, "http://***@proxy.example:1", "upstream.proxy"},
	{"proxies", "of the client", func(w *world) {
		w.files["home/me/.docker/config.json"].Data = []byte(`{"proxies":{"default":{"httpProxy":"http://proxy.example:1"}}}`)
	}, Warning, "proxies.default.httpProxy", "take it out"},
	{"proxies", "broken file", func(w *world) { w.files["home/me/.docker/config.json"].Data = []byte(`{`) }, Warning, "cannot be read", "correct"},
	{"mirrors", "dead", func(w *world) {
		w.says("docker info", strings.Replace(dockerInfo, "[]", `["http://127.0.0.1:7885/"]`, 1))
		w.down = control.ErrNotRunning
	}, Warning, "not running", "sutler up"},
	{"port53", "dnsmasq on all", func(w *world) {
		w.files["proc/net/udp"].Data = []byte(udpTable("00000000"))
		w.files["proc/9/comm"] = &fstest.MapFile{Data: []byte("dnsmasq\n")}
	}, Warning, "dnsmasq", "bind-interfaces"},
	{"port53", "somebody on the bridge", func(w *world) {
		w.files["proc/net/udp"].Data = []byte(udpTable("010011AC"))
		delete(w.files, "proc/12/comm")
	}, Warning, "another program", "attach dns"},
	{"port53", "no proc", func(w *world) { delete(w.files, "proc/net/udp") }, Skipped, "/proc/net", ""},
	{"leftovers", "attached and not running", func(w *world) {
		w.files["state/attach/manifest.json"] = &fstest.MapFile{Data: []byte(`{"tools":{"docker":{"phase":"attached"},"apt":{"phase":"attached"}}}`)}
		w.down = control.ErrNotRunning
	}, Broken, "apt, docker: attached", "sutler detach apt docker"},
	{"leftovers", "half attached", func(w *world) {
		w.files["state/attach/manifest.json"] = &fstest.MapFile{Data: []byte(`{"tools":{"pip":{"phase":"attaching"}}}`)}
	}, Broken, "pip was broken off (attaching)", "sutler detach pip"},
	{"leftovers", "damaged record", func(w *world) { w.files["state/attach/manifest.json"] = &fstest.MapFile{Data: []byte(`{`)} }, Skipped, "manifest.json", ""},
	{"leftovers", "rules", func(w *world) {
		w.says("nft list tables", "table ip filter\ntable inet sutler\n")
		w.down = control.ErrNotRunning
	}, Warning, "packet filter", "nft delete table inet sutler"},
	{"leftovers", "wrapper of nobody", func(w *world) {
		w.files["usr/local/sbin/runc.json"] = &fstest.MapFile{Data: []byte(`{"runtime":"/opt/sutler-runc"}`)}
		w.down = control.ErrNotRunning
	}, Warning, "stands in for runc", "sutler runtime remove /usr/local/sbin/runc"},
	{"leftovers", "wrapper of up", func(w *world) {
		w.files["usr/local/sbin/crun"] = &fstest.MapFile{Data: []byte("\x7fELF path sutler/cmd/sutler-runc")}
		w.files["usr/local/sbin/runc"] = &fstest.MapFile{Data: []byte("\x7fELF theirs")}
		w.down = control.ErrNotRunning
	}, Warning, "stands in for runc", "sutler runtime remove /usr/local/sbin/crun"},
	{"leftovers", "wrapper of nothing", func(w *world) {
		w.files["usr/local/sbin/runc.json"] = &fstest.MapFile{Data: []byte(`{"runtime":"/gone"}`)}
	}, Broken, "no container starts", "sutler runtime remove /usr/local/sbin/runc"},
	{"leftovers", "steps of a killed sutler", func(w *world) {
		w.files["run/steps/settings.json"] = &fstest.MapFile{}
		w.down = control.ErrNotRunning
	}, Warning, "of a sutler that was killed", "rm /run/steps/settings.json"},
	{"leftovers", "trusted and gone", func(w *world) {
		w.files["state/trust.json"] = &fstest.MapFile{Data: []byte(`{"entries":[{"kind":"file","path":"/etc/ca.crt"}]}`)}
		delete(w.files, "state/ca/ca.pem")
	}, Warning, "1 trust stores of this host hold", "sutler ca untrust"},
	{"leftovers", "trusted and old", func(w *world) {
		w.files["state/trust.json"] = &fstest.MapFile{Data: []byte(`{"entries":[{"kind":"file","path":"/etc/ca.crt"}]}`)}
		w.files["etc/ca.crt"] = &fstest.MapFile{Data: []byte("another")}
	}, Warning, "an earlier local authority: /etc/ca.crt", "sutler ca untrust"},
	{"leftovers", "trust cannot be read", func(w *world) { w.files["state/trust.json"] = &fstest.MapFile{Data: []byte("{")} }, Warning, "record of trust stores", "sutler ca untrust"},
	{"leftovers", "no root", func(w *world) { w.Root = false }, Skipped, "only root", ""},
	{"clock", "ahead", func(w *world) {
		w.answers["http://deb.example/"].Header.Set("Date", today.Add(-5*time.Minute).Format(http.TimeFormat))
	}, Warning, "5m0s ahead", "set the clock"},
	{"clock", "far behind", func(w *world) {
		w.answers["http://deb.example/"].Header.Set("Date", today.Add(48*time.Hour).Format(http.TimeFormat))
	}, Broken, "48h0m0s behind", "set the clock"},
	{"clock", "no origin", func(w *world) { delete(w.answers, "http://deb.example/") }, Skipped, "no origin", ""},
	{"clock", "offline", func(w *world) { w.Config.Upstream.Offline = true }, Skipped, "offline", ""},
	{"quota", "nearly used up", func(w *world) { w.quota("3;w=21600") }, Warning, "3 of 100 pulls left per 6h0m0s", "login"},
	{"quota", "used up", func(w *world) { w.quota("0;w=21600") }, Warning, "0 of 100", "login"},
	{"quota", "not reached", func(w *world) { w.answers = nil }, Skipped, "no route", ""},
	{"origins", "one away", func(w *world) {
		w.see("", func(r *probe.Report) {
			r.Requests[0] = probe.Result{Name: "npm", Kind: probe.Failed, Error: "502 lookup npm.example"}
		})
	}, Warning, "npm: the origin cannot be asked: 502 lookup", "upstream.proxy"},
	{"origins", "one away, counted", func(w *world) {
		w.see("", func(r *probe.Report) { r.Requests[0] = probe.Result{Name: "npm", Kind: probe.Failed, Error: "502"} })
	}, Warning, "ecosystems answer their first request", ""},
	{"origins", "proxy does not answer", func(w *world) { w.see("", func(r *probe.Report) { r.Connect.Kind = probe.Closed }) }, Broken, "nobody listens", "restart"},
	{"origins", "other authority", func(w *world) { w.see("", func(r *probe.Report) { r.TLS.Kind = probe.Distrusted }) }, Broken, "not trusted", "another proxy"},
	{"origins", "offline", func(w *world) { w.status.Offline = true }, Skipped, "offline", ""},
	{"network", "firewall", func(w *world) { w.see("app", func(r *probe.Report) { r.Connect.Kind = probe.TimedOut }) }, Broken,
		"firewall of this machine keeps app from sutler at 172.18.0.1:7885", "iptables -I INPUT -i br-bbbbbbbbbbbb -p tcp --dport 7885 -j ACCEPT"},
	{"network", "firewall of ufw", func(w *world) {
		w.see("bridge", func(r *probe.Report) { r.Connect.Kind = probe.Forbidden })
		w.files["usr/sbin/ufw"] = &fstest.MapFile{}
	}, Broken, "firewall", "ufw allow in on docker0 to any port 7885 proto tcp"},
	{"network", "nobody listens", func(w *world) { w.see("bridge", func(r *probe.Report) { r.Connect.Kind = probe.Closed }) }, Broken, "nobody listens", "restart"},
	{"network", "something else listens", func(w *world) { w.see("bridge", func(r *probe.Report) { r.Ready.Status = 404 }) }, Broken, "no sutler", "who listens"},
	{"network", "names", func(w *world) {
		w.see("app", func(r *probe.Report) { r.Names[0].Kind = probe.TimedOut; r.Resolver = []string{"192.0.2.53"} })
	}, Broken, "DNS fails in containers (timeout, asked 192.0.2.53)", "resolver"},
	{"network", "names nowhere", func(w *world) {
		w.see("app", func(r *probe.Report) { r.Names[0].Kind = probe.TimedOut })
		w.Resolve = nobody
	}, Warning, "neither in containers nor on this machine", "offline"},
	{"network", "distrust", func(w *world) { w.see("app", func(r *probe.Report) { r.TLS.Kind = probe.Distrusted }) }, Broken, "not trusted", "proxy"},
	{"network", "no containers", func(w *world) { w.fails("docker run", "could not find bridge docker0") }, Broken, "could not find bridge docker0", "docker run"},
	{"network", "image does not load", func(w *world) { w.fails("docker load", "no space left") }, Skipped, "no space left", ""},
	{"builders", "build fails", func(w *world) {
		delete(w.reports, classic)
		w.fails("docker build", "no space left")
	}, Warning, "docker build, classic: a throw-away build fails", "DOCKER_BUILDKIT=0 docker build"},
	{"builders", "another proxy", func(w *world) { w.see(ofBuildx, func(r *probe.Report) { r.Proxy = "proxy.example:3128" }) }, Warning, "another proxy, proxy.example:3128", "take it out"},
	{"builders", "no authority", func(w *world) { w.see(ofBuildx, func(r *probe.Report) { r.Proxy = "172.17.0.1:7885" }) }, Warning, "without its authority", "sutler build"},
	{"builders", "unreachable", func(w *world) { w.see(ofBuildx, func(r *probe.Report) { r.Connect.Kind = probe.TimedOut }) }, Broken, "firewall", "iptables"},
	{"builders", "attached in vain", func(w *world) {
		w.files["state/attach/manifest.json"] = &fstest.MapFile{Data: []byte(`{"tools":{"docker":{"phase":"attached"}}}`)}
	}, Warning, "a plain build is not served", "sutler attach docker"},
	{"builders", "none", func(w *world) { w.commands = nil }, Skipped, "docker buildx does not work: is not installed", ""},
	{"builders", "no buildctl", func(w *world) { w.Vars = []string{"BUILDKIT_HOST=tcp://192.0.2.1:1234"} }, Skipped, "buildctl is not installed", ""},
	{"builders", "not running", func(*world) {}, Skipped, "buildx builder off: it is not running", ""},
	{"network", "no docker", func(w *world) { delete(w.commands, "docker info") }, Skipped, "no engine", ""},
}

func TestFaults(t *testing.T) {
	for _, tt := range faults {
		t.Run(tt.check+" "+tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.spoil(w)
			found := w.of(t, tt.check)
			if !slices.ContainsFunc(found, func(f Finding) bool {
				return f.Severity == tt.severity && strings.Contains(f.What, tt.what) && strings.Contains(f.Fix+"\n"+f.Command, tt.fix)
			}) {
				t.Errorf("want %s %q %q, found %s", tt.severity, tt.what, tt.fix, indent(found))
			}
			if strings.Contains(indent(found), "secret") {
				t.Errorf("a finding shows a secret: %s", indent(found))
			}
		})
	}
}

// TestFaultsCovered checks that each check has a fault.
func TestFaultsCovered(t *testing.T) {
	for _, c := range checks() {
		bad := false
		for _, f := range faults {
			bad = bad || f.check == c.name && f.severity != OK && f.severity != Skipped
		}
		if !bad {
			t.Errorf("%s is never seen to find anything", c.name)
		}
	}
}

// TestFixes checks what --fix does, and that everything else has nothing to apply.
func TestFixes(t *testing.T) {
	for _, tt := range []struct {
		check, want string
		spoil       func(*world)
	}{
		{"daemon", "start", func(w *world) { w.down = control.ErrNotRunning }},
		{"files", "chmod 0600 /run/s", func(w *world) { w.files["run/s"].Mode = fs.ModeSocket | 0o666 }},
		{"leftovers", "rm /run/steps/report.sock", func(w *world) {
			w.files["run/steps/settings.json"] = &fstest.MapFile{}
			w.down = control.ErrNotRunning
		}},
		{"leftovers", "nft delete table inet sutler", func(w *world) {
			w.says("nft list tables", "table inet sutler\n")
			w.says("nft delete table", "")
			w.down = control.ErrNotRunning
		}},
	} {
		w, safe := newWorld(t), 0
		tt.spoil(w)
		for _, f := range w.of(t, tt.check) {
			if !f.Safe {
				if err := f.Apply(t.Context()); !errors.Is(err, errNoFix) {
					t.Errorf("%s: %v", f.What, err)
				}
				continue
			}
			safe++
			if err := f.Apply(t.Context()); err != nil || w.ran[len(w.ran)-1] != tt.want {
				t.Errorf("%s: %v, ran %q", tt.check, err, w.ran)
			}
		}
		if safe != 1 {
			t.Errorf("%s has %d safe fixes, want one: %s", tt.check, safe, tt.want)
		}
	}
	w := newWorld(t)
	w.says("nft list tables", "table inet sutler\n")
	w.files["proc/net/udp"].Data = []byte(udpTable("010011AC"))
	w.status.Settings = map[string]string{"dns.listen": `["172.17.0.1:53"]`}
	if found := w.of(t, "port53"); len(found) != 1 || found[0].Severity != OK {
		t.Errorf("sutler's own resolver: %s", indent(found))
	}
	if found := w.of(t, "leftovers"); len(found) != 1 || found[0].Severity != OK {
		t.Errorf("rules of a sutler that runs: %s", indent(found))
	}
}

// TestStepsOfAnother leaves the folder of steps alone while somebody takes reports there: a
// sutler with another configuration, which nobody asked.
func TestStepsOfAnother(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	w.down, w.Config.Steps = control.ErrNotRunning, dir
	w.files[strings.TrimPrefix(dir, "/")+"/settings.json"] = &fstest.MapFile{}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: dir + "/report.sock"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, f := range w.of(t, "leftovers") {
		if f.Safe {
			t.Errorf("would be deleted: %s", indent(f))
		}
	}
}

// TestDocs checks that every check is described.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range Names() {
		if !strings.Contains(string(text), "| `"+n+"` |") {
			t.Errorf("docs/doctor.md says nothing of %s", n)
		}
	}
}

// TestForget has a builder still use, for a while, what a throw-away build left; what
// others keep there stays.
func TestForget(t *testing.T) {
	w := newWorld(t)
	const theirs, ours = "ID:\taaa\nDescription:\tlocal source for context\n\n", "ID:\tbbb*\nDescription:\tlocal source for context\n"
	prunes := 0
	w.commands["buildctl du"] = func() (string, error) {
		if prunes > 1 {
			return theirs, nil
		}
		return theirs + ours, nil
	}
	w.commands["buildctl prune"] = func() (string, error) { prunes++; return "", nil }
	x := &exam{Env: &w.Env}
	x.forget(t.Context(), workshop{records: []string{"buildctl", "du"}, prune: []string{"buildctl", "prune", "--filter", "id~="}},
		[]record{{"aaa", "local source for context"}})
	if want := "buildctl prune --filter id~=^(bbb)$"; prunes != 2 || !slices.Contains(w.ran, want) {
		t.Errorf("%d times removed: %q", prunes, w.ran)
	}
}
