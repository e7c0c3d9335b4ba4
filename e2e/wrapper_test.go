package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sutler/internal/ociruntime"
)

// wrapperDockerfile fetches in each form of RUN, as root and as nobody. BASE and URL are
// put in by the tests.
const wrapperDockerfile = `FROM BASE
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl hello && rm -rf /var/lib/apt/lists/*
USER nobody
RUN curl -fsS -o /dev/null URL
RUN ["/usr/bin/curl", "-fsS", "-o", "/dev/null", "URL"]
`

// plainDockerfile gives the same image with and without sutler, and says who serves it.
const plainDockerfile = `FROM BASE
ENV NPM_CONFIG_CAFILE=/own
RUN mkdir -p /w && touch -d @0 /w/file; echo "proxy [$http_proxy] own $NPM_CONFIG_CAFILE" $(ls /dev/sutler 2>/dev/null)
USER nobody
RUN ["/bin/cat", "/etc/hostname"]
CMD ["true"]
`

// wrapper builds sutler-runc.
func wrapper(t *testing.T) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "sutler-runc")
	cmd := exec.Command("go", "build", "-o", at, "sutler/cmd/sutler-runc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return at
}

// place copies the wrapper into the file system of an engine until the test ends.
func place(t *testing.T, from, to string, p ociruntime.Place) {
	t.Helper()
	program := contents(t, from)
	settings, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range []string{to, to + ociruntime.InstallSuffix} {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	write(t, to+ociruntime.InstallSuffix, string(settings))
	if err := ociruntime.Replace(to, []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
}

// context writes a Dockerfile for a base into a folder of its own.
func wrapperContext(t *testing.T, dockerfile, base, url string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/Dockerfile", strings.NewReplacer("FROM BASE", base, "URL", url).Replace(dockerfile))
	return dir
}

// steps returns the commands of the receipts that steps left, oldest first, and fails
// unless all they asked for was served.
func (d *daemon) steps() []string {
	d.t.Helper()
	var all []struct {
		Command             string
		Files, Failed, From int64
	}
	if err := json.Unmarshal([]byte(d.sutler("receipt", "ls", "--json").out), &all); err != nil {
		d.t.Fatal(err)
	}
	var out []string
	for _, s := range slices.Backward(all) {
		if s.Files == 0 || s.Failed > 0 {
			d.t.Errorf("%s: %d files, %d failed", s.Command, s.Files, s.Failed)
		}
		out = append(out, s.Command)
	}
	return out
}

// TestWrapper builds by a plain docker build on engines whose runtime is the wrapper.
func TestWrapper(t *testing.T) {
	for _, tt := range []struct{ name, engine, buildkit, builder string }{
		{"docker20 classic", "docker20", "0", ociruntime.Classic}, {"docker20 BuildKit", "docker20", "1", ociruntime.BuildKit},
		{"docker28 classic", "docker28", "0", ociruntime.Classic}, {"docker28 BuildKit", "docker28", "1", ociruntime.BuildKit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			program := wrapper(t)
			engine(t, tt.engine)
			t.Setenv("DOCKER_BUILDKIT", tt.buildkit)
			tree := filepath.Join(cacheDir(t), tt.engine)
			dir := wrapperContext(t, plainDockerfile, "FROM debian:bookworm-slim", "")
			output(t, "docker", "build", "-q", "--no-cache", "-t", "sutler-e2e/plain", dir)

			d := wrapped(t, tree)
			if tt.buildkit == "0" && tt.engine == "docker20" {
				defaultRuntime(t, tt.engine, tree, program)
			} else {
				place(t, program, tree+"/usr/local/sbin/runc", ociruntime.Place{})
			}
			wrapperServes(t, d, tt.builder)
			wrapperLeavesNothing(t, dir)
			wrapperLeavesRun(t)
			d.kill()
			if out := output(t, "docker", "build", "--no-cache", "-t", "sutler-e2e/through", dir); strings.Contains(out, "proxy [http") {
				t.Errorf("sutler is dead, and a step is sent to it:\n%s", out)
			}
		})
	}
}

// wrapped starts sutler beside an engine, with the folder for steps in its file system.
func wrapped(t *testing.T, tree string) *daemon {
	t.Helper()
	steps := tree + ociruntime.DefaultSteps
	t.Cleanup(func() { _ = os.RemoveAll(steps) }) // of this test only
	return startIn(t, []string{"nsenter", "--net=/run/netns/" + os.Getenv("SUTLER_E2E_NETNS")}, "127.0.0.1:7885", "STEPS="+steps, "BRIDGES=true")
}

// defaultRuntime makes the wrapper the runtime of dockerd by a reload, until the test ends.
func defaultRuntime(t *testing.T, engine, tree, program string) {
	t.Helper()
	const at = "/usr/local/lib/sutler/sutler-runc"
	place(t, program, tree+at, ociruntime.Place{Runtime: "/usr/sbin/runc"})
	file := tree + "/etc/docker/daemon.json"
	if _, err := os.Stat(file); err == nil {
		t.Fatalf("%s is in use", file)
	}
	reload := func(config, want string) {
		write(t, file, config)
		output(t, "./engines.sh", "chroot", engine, "sh", "-c", "kill -HUP 1") // dockerd is the first process in there
		for deadline := time.Now().Add(10 * time.Second); strings.TrimSpace(output(t, "docker", "info", "--format", "{{.DefaultRuntime}}")) != want; {
			if time.Now().After(deadline) {
				t.Fatal("dockerd was not reloaded")
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	t.Cleanup(func() {
		defer func() {
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
		}()
		reload(`{"default-runtime":"runc"}`, "runc")
	})
	reload(`{"runtimes":{"sutler":{"path":"`+at+`"}},"default-runtime":"sutler"}`, "sutler")
}

// wrapperServes builds twice; the second time all comes from the store.
func wrapperServes(t *testing.T, d *daemon, builder string) {
	t.Helper()
	dir := wrapperContext(t, wrapperDockerfile, "FROM debian:bookworm-slim", registryFile(t))
	output(t, "docker", "build", "--no-cache", "-t", "sutler-e2e/served", dir)
	steps := d.steps()
	if len(steps) != 3 || !strings.HasPrefix(steps[0], builder+": RUN apt-get update && ") || !strings.HasPrefix(steps[1], builder+": RUN curl ") ||
		!strings.HasPrefix(steps[2], builder+`: RUN ["/usr/bin/curl",`) {
		t.Errorf("steps that were served: %q", steps)
	}
	output(t, "docker", "build", "--no-cache", "-t", "sutler-e2e/served", dir)
	d.last().allFromStore(t, 1)
}

// wrapperLeavesNothing compares an image that was built through the wrapper with a plain one.
func wrapperLeavesNothing(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("docker", "build", "--no-cache", "-t", "sutler-e2e/through", dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "@172.") || !strings.Contains(string(out), "own /own") || !strings.Contains(string(out), "ca.pem") {
		t.Errorf("the step was not served: %v\n%s", err, out)
	}
	for _, c := range [][]string{
		{"image", "inspect", "--format", "{{json .Config}} {{len .RootFS.Layers}}"},
		{"history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}|{{.Size}}"},
	} {
		plain := steady(output(t, "docker", append(c, "sutler-e2e/plain")...))
		if through := steady(output(t, "docker", append(c, "sutler-e2e/through")...)); plain != through {
			t.Errorf("%s:\nplain   %s\nthrough %s", c[0], plain, through)
		}
	}
	if a, b := layers(t, "sutler-e2e/plain"), layers(t, "sutler-e2e/through"); !slices.Equal(a, b) {
		t.Errorf("files of the layers:\nplain\n%s\nthrough\n%s", a, b)
	}
}

// steady replaces what differs from one classic build to the next: the id of the parent.
func steady(config string) string {
	head, tail, ok := strings.Cut(config, `"Image":"sha256:`)
	if !ok || len(tail) < 64 {
		return config
	}
	return head + tail[64:]
}

// wrapperLeavesRun runs containers that are no steps, one as like to one as can be.
func wrapperLeavesRun(t *testing.T) {
	t.Helper()
	id := strings.TrimSpace(output(t, "docker", "image", "inspect", "--format", "{{.Id}}", "debian:bookworm-slim"))
	for _, args := range [][]string{{"debian:bookworm-slim"}, {"--log-driver=none", id}} {
		args = append(append([]string{"run"}, args...), "/bin/sh", "-c", "env; ls /dev")
		if out := output(t, "docker", args...); strings.Contains(strings.ToLower(out), "proxy") || strings.Contains(out, "sutler") {
			t.Errorf("%q got:\n%s", args, out)
		}
	}
}

// scratchBase begins a Dockerfile for builders that see no image of an engine.
const scratchBase = "FROM scratch\nADD base.tar /\nENV PATH=/usr/sbin:/usr/bin:/sbin:/bin"

// scratchContext makes a context with the base in it.
func scratchContext(t *testing.T, dockerfile, url string) string {
	t.Helper()
	dir := wrapperContext(t, dockerfile, scratchBase, url)
	if base := filepath.Join(cacheDir(t), "base.tar"); os.Link(base, dir+"/base.tar") != nil {
		output(t, "cp", base, dir+"/base.tar")
	}
	return dir
}

// TestWrapperBuildKit builds on a buildkitd by buildctl.
func TestWrapperBuildKit(t *testing.T) {
	program := wrapper(t)
	engine(t, "buildkitd")
	tree := filepath.Join(cacheDir(t), "docker28") // buildkitd runs in it
	d := wrapped(t, tree)
	place(t, program, tree+"/usr/local/sbin/runc", ociruntime.Place{})
	build := func(dir string, more ...string) string {
		t.Helper()
		args := append([]string{"build", "--progress=plain", "--no-cache", "--frontend=dockerfile.v0", "--local=context=" + dir, "--local=dockerfile=" + dir}, more...)
		out, err := exec.Command("buildctl", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("buildctl: %v\n%s", err, out)
		}
		return string(out)
	}
	build(scratchContext(t, wrapperDockerfile, registryFile(t)))
	if steps := d.steps(); len(steps) != 3 {
		t.Errorf("steps that were served: %q", steps)
	}
	image := t.TempDir()
	dir := scratchContext(t, plainDockerfile, "")
	if out := build(dir, "--output=type=oci,tar=false,compression=uncompressed,dest="+image, "--opt=attest:provenance=mode=max"); !strings.Contains(out, "@127.0.0.1:7885] own /own") {
		t.Errorf("the step was not served:\n%s", out)
	}
	noTrace(t, image)
	d.kill()
	if out := build(dir); !strings.Contains(out, "proxy []") {
		t.Errorf("sutler is dead, and a step is sent to it:\n%s", out)
	}
}

// noTrace looks for sutler in all small files of an image: those that say how it was made.
func noTrace(t *testing.T, image string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(image, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if i, err := e.Info(); err != nil || i.Size() > 1<<20 {
			return err // the base
		}
		seen++
		// The Dockerfile itself names the folder, to list it.
		text := strings.ReplaceAll(contents(t, path), "ls /dev/sutler", "")
		for _, trace := range []string{"7885", "sutler/", "SSL_CERT_FILE", "dev/sutler"} {
			if strings.Contains(text, trace) {
				t.Errorf("%s holds %q", filepath.Base(path), trace)
			}
		}
		return nil
	})
	if err != nil || seen < 3 {
		t.Errorf("%d files, %v", seen, err)
	}
}

// TestWrapperBuildah builds by buildah and podman of this machine.
func TestWrapperBuildah(t *testing.T) {
	if os.Getuid() != 0 {
		lacks(t, "a store of its own needs root")
	}
	need(t, "buildah", "podman", "runc")
	if _, err := os.Stat(filepath.Join(cacheDir(t), "base.tar")); err != nil {
		engine(t, "docker28") // makes it
	}
	program := wrapper(t)
	store := t.TempDir()
	storage := []string{"--root", store + "/root", "--runroot", store + "/run", "--storage-driver", "vfs"}
	for _, tool := range []string{"buildah", "podman"} {
		t.Run(tool, func(t *testing.T) {
			d := start(t)
			at := filepath.Join(t.TempDir(), "runc")
			place(t, program, at, ociruntime.Place{Steps: d.dir + "/steps"})
			t.Setenv("BUILDAH_RUNTIME", at)
			global := storage
			if tool == "podman" {
				global = append(slices.Clone(storage), "--runtime", at)
			}
			build := func(dir, tag string) string {
				t.Helper()
				out, err := exec.Command(tool, append(slices.Clone(global), "build", "--no-cache", "--network=host", "-t", tag, dir)...).CombinedOutput()
				if err != nil {
					t.Fatalf("%s build: %v\n%s", tool, err, out)
				}
				return string(out)
			}
			build(scratchContext(t, wrapperDockerfile, registryFile(t)), "localhost/served")
			if steps := d.steps(); len(steps) != 3 || !strings.HasPrefix(steps[0], "buildah: RUN apt-get") {
				t.Errorf("steps that were served: %q", steps)
			}
			dir := scratchContext(t, plainDockerfile, "")
			if out := build(dir, "localhost/through"); !strings.Contains(out, "@"+d.addr+"] own /own") {
				t.Errorf("the step was not served:\n%s", out)
			}
			image := t.TempDir()
			output(t, tool, append(slices.Clone(global), "push", "-q", "localhost/through", "dir:"+image)...)
			noTrace(t, image)
			if tool == "podman" {
				out, err := exec.Command(tool, append(slices.Clone(global), "run", "--rm", "--network=host", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "localhost/through", "/bin/sh", "-c", "env; ls /dev")...).CombinedOutput()
				if text := string(out); err != nil || strings.Contains(text, "_proxy") || strings.Contains(text, "sutler") {
					t.Errorf("podman run: %v\n%s", err, text)
				}
			}
			d.kill()
			if out := build(dir, "localhost/through"); !strings.Contains(out, "proxy []") {
				t.Errorf("sutler is dead, and a step is sent to it:\n%s", out)
			}
		})
	}
}
