package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An attachable is an engine that tests may change, with a registry beside it that stands
// for the default one.
type attachable struct {
	*daemon
	name     string
	root     string // of the engine
	conf     string // its daemon.json
	registry *registry
}

// toAttach starts an engine, a registry and a sutler in its network. The engine's settings
// are as they were when the test ends.
func toAttach(t *testing.T, name string) *attachable {
	t.Helper()
	need(t, "docker-registry", "htpasswd", "curl")
	engine(t, name)
	root := strings.TrimSpace(output(t, "./engines.sh", "root", name))
	a := &attachable{name: name, root: root, conf: root + "/etc/docker/daemon.json"}
	old, err := os.ReadFile(a.conf)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now, err := os.ReadFile(a.conf)
		if string(now) == string(old) && errors.Is(err, fs.ErrNotExist) == (old == nil) {
			return
		}
		if old == nil {
			err = os.Remove(a.conf)
		} else {
			err = os.WriteFile(a.conf, old, 0o644)
		}
		if err != nil {
			t.Error(err)
		}
		output(t, "./engines.sh", "restart", name)
	})
	in := []string{"nsenter", "--net=/run/netns/" + os.Getenv("SUTLER_E2E_NETNS")}
	host := hostIn(t)
	a.registry = newRegistry(t, nil, host+":"+portOf(freeAddr(t)), "", "")
	hook, err := filepath.Abs("engines.sh")
	if err != nil {
		t.Fatal(err)
	}
	a.daemon = startIn(t, in, "127.0.0.1:7885", append(mirrors(map[string]string{hub(): a.registry.addr}),
		"BRIDGES=true", "UPSTREAM_ALLOW_PRIVATE_HOSTS="+a.registry.addr, "ATTACH_ROOT="+root, "STEPS="+root+"/run/sutler-steps", "ATTACH_DOCKER_RESTART="+hook+" restart "+name)...)
	return a
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// docker runs the engine's client and must succeed.
func (a *attachable) docker(args ...string) result {
	a.t.Helper()
	return a.must(a.dir, nil, "docker", args...)
}

// fetched is what sutler fetched for the engine.
func (a *attachable) fetched() int64 {
	a.t.Helper()
	out := a.must(a.dir, nil, "curl", "-sS", "http://127.0.0.1:7885/metrics").out
	return sampleSum(a.t, out, `sutler_response_bytes_total{ecosystem="oci"`)
}

// traces fails if anything is left of an attach.
func (a *attachable) traces(want string) {
	a.t.Helper()
	got, err := os.ReadFile(a.conf)
	if want == "" && !errors.Is(err, fs.ErrNotExist) || want != "" && string(got) != want {
		a.t.Errorf("daemon.json is %q %v, want %q", got, err, want)
	}
	if left, err := os.ReadDir(a.dir + "/state/attach"); err == nil && len(left) > 1 {
		a.t.Errorf("left in the state: %v", left)
	}
	if out := a.docker("ps", "-aq", "--filter", "label=sutler-probe").out + a.docker("images", "-q", "sutler-probe").out; out != "" {
		a.t.Errorf("left in the engine: %s", out)
	}
	var info struct{ RegistryConfig struct{ Mirrors []string } }
	if err := json.Unmarshal([]byte(a.docker("info", "--format", "{{json .}}").out), &info); err != nil || len(info.RegistryConfig.Mirrors) > 0 {
		a.t.Errorf("the engine still has mirrors: %v %v", info.RegistryConfig.Mirrors, err)
	}
}

// odd is a file as people write it.
const odd = "{\n   \"labels\": [ \"a=b\" ],\n\n\t\"debug\":false }\n"

func TestAttachDocker(t *testing.T) {
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			a := toAttach(t, name)
			fresh := uint64(time.Now().UnixNano()) // layers that no engine has
			a.registry.push("library/attached", "1", fresh, fresh+1)
			a.registry.push("library/attached", "2", fresh+2)
			defer a.run(a.dir, nil, "docker", "rmi", "-f", "attached:1", "attached:2")
			for _, was := range []string{odd, ""} {
				a.setConf(was)
				out := a.sutler("attach", "docker", "--dry-run").out
				if !strings.Contains(out, `+`) || !strings.Contains(out, "registry-mirrors") {
					t.Errorf("dry run: %s", out)
				}
				a.traces(was)
				start := time.Now()
				r := a.sutler("attach", "docker")
				t.Logf("attached in %s: %s", time.Since(start).Round(time.Millisecond), r.err)
				if !strings.Contains(r.err, "a container on network bridge fetches http://172.17.0.1:7885/livez") {
					t.Error("no container was asked what it reaches")
				}
				if r := a.sutler("attach", "docker"); !strings.Contains(r.err, "nothing to change") {
					t.Errorf("again: %s", r.err)
				}
				before := a.fetched()
				a.docker("pull", "attached:1")
				if n := a.fetched() - before; n < 600_000 {
					t.Errorf("%d bytes of the image came from sutler", n)
				}
				a.docker("rmi", "attached:1")
				write(t, a.dir+"/build/Dockerfile", "FROM attached:2\nLABEL a=b\n")
				before = a.fetched()
				br := a.run(a.dir, nil, "docker", "build", "--no-cache", a.dir+"/build")
				if n := a.fetched() - before; name == "docker28" && was != "" && (br.code != 0 || n < 300_000) {
					t.Errorf("BuildKit: exit %d, %d bytes of its base came from sutler\n%s", br.code, n, br.err)
				}
				if out := a.sutler("status").out; !strings.Contains(out, "attached") {
					t.Errorf("status: %s", out)
				}
				a.sutler("detach", "docker")
				a.traces(was)
				if r := a.run(a.dir, nil, binary, "detach", "docker"); r.code != 3 {
					t.Errorf("detach again: exit %d", r.code)
				}
			}
		})
	}
}

// setConf gives the engine a file and has it read it.
func (a *attachable) setConf(text string) {
	a.t.Helper()
	if text == "" {
		if err := os.Remove(a.conf); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.t.Fatal(err)
		}
		return
	}
	write(a.t, a.conf, text)
}

// TestAttachRestart attaches by up with a restart where it is needed, after which BuildKit's
// base images come from sutler too, and detaches by down.
func TestAttachRestart(t *testing.T) {
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			a := toAttach(t, name)
			a.registry.push("library/restarted", "1", uint64(time.Now().UnixNano()))
			a.setConf(odd)
			r := a.sutler("up", "-y")
			want := map[string]string{"docker20": "restart", "docker28": "reload"}[name]
			if !strings.Contains(r.err, "attached") || !strings.Contains(a.sutler("attach", "--json").out, `"did": "`+want) {
				t.Errorf("up: %s", r.err)
			}
			dir := t.TempDir()
			write(t, dir+"/Dockerfile", "FROM restarted:1\nLABEL a=b\n")
			before := a.fetched()
			a.docker("build", "--no-cache", dir)
			if n := a.fetched() - before; n < 300_000 {
				t.Errorf("%d bytes of the base image came from sutler", n)
			}
			a.sutler("down", "--keep-running", "-y")
			a.traces(odd)
			a.sutler("up")
			a.sutler("down", "-y")
			a.traces(odd)
		})
	}
}

// TestAttachBadWeather goes through what may go wrong.
func TestAttachBadWeather(t *testing.T) {
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			a := toAttach(t, name)
			fails := func(want string, args ...string) {
				t.Helper()
				if r := a.run(a.dir, nil, binary, args...); r.code == 0 || !strings.Contains(r.err, want) {
					t.Errorf("%v: exit %d, want %q in: %s", args, r.code, want, r.err)
				}
			}
			// Broken before we came.
			const broken = "{\n \"debug\": true\n oops }\n"
			a.setConf(broken)
			fails("nothing was changed", "attach", "docker")
			a.traces(broken)
			const unknown = "{\"debgu\": true}\n"
			a.setConf(unknown)
			fails(map[string]string{"docker20": "everything is as before", "docker28": "broken already"}[name], "attach", "docker")
			a.traces(unknown)

			// No resolver there that containers could be sent to.
			a.setConf(odd)
			fails("does not answer on", "attach", "dns", "--via", "daemon.json", "-y")
			a.traces(odd)

			// Somebody else edits in between.
			a.setConf(odd)
			a.sutler("attach", "docker")
			now := contents(t, a.conf)
			write(t, a.conf, strings.Replace(now, `"a=b"`, `"a=b", "c=d"`, 1))
			a.sutler("detach", "docker")
			a.traces(strings.Replace(odd, `"a=b"`, `"a=b", "c=d"`, 1))

			// Nothing that can be told apart.
			a.setConf(odd)
			a.sutler("attach", "docker")
			now = contents(t, a.conf)
			write(t, a.conf, broken)
			fails("nothing was changed", "detach", "docker")
			if got := contents(t, a.conf); got != broken {
				t.Errorf("it was changed: %s", got)
			}
			write(t, a.conf, now)
			a.sutler("detach", "docker")
			a.traces(odd)

			if name != "docker20" {
				return // a reload is enough for it
			}
			// A restart that fails once: the old file is back and so is the engine.
			hook := a.dir + "/restart"
			write(t, hook, "#!/bin/sh\n[ -e "+a.dir+"/once ] || { touch "+a.dir+"/once; kill $(cat "+cacheDir(t)+"/run/"+name+".pid); exit 1; }\nexec "+mustAbs(t, "engines.sh")+" restart "+name+"\n")
			a.set("ATTACH_DOCKER_RESTART=sh " + hook)
			fails("everything is as before", "attach", "docker", "-y")
			a.traces(odd)
		})
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestAttachKilled kills sutler between the edit and the reload, and has `down` repair it,
// with the daemon gone too.
func TestAttachKilled(t *testing.T) {
	a := toAttach(t, "docker20")
	a.setConf(odd)
	in := append(append([]string{}, a.in...), binary, "attach", "docker", "-y")
	// The hook is reached after the edit and the reload, and never ends.
	a.set("ATTACH_DOCKER_RESTART=touch " + a.dir + "/reached; exec sleep 600")
	cmd := exec.Command(in[0], in[1:]...)
	cmd.Env, cmd.SysProcAttr = a.env, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(a.dir + "/reached"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the restart was not reached")
		}
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil { // the hook as well
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is the signal
	a.kill()
	if !strings.Contains(contents(t, a.conf), "registry-mirrors") {
		t.Fatal("nothing was edited")
	}
	if out := a.sutler("attach").out; !strings.Contains(out, "half-way") {
		t.Errorf("attach says %s", out)
	}
	a.set("ATTACH_DOCKER_RESTART=" + mustAbs(t, "engines.sh") + " restart docker20")
	a.sutler("down")
	a.traces(odd)
}
