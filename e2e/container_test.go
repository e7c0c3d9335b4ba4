package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// containerDockerfile takes its base from the context: the builder sees no image of the engine.
const containerDockerfile = `FROM scratch
ADD base.tar /
ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin
ARG URL
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/*
RUN curl -fsS -o /dev/null "$URL"
`

// TestBuildContainerDriver builds on a buildx builder that is a container of the engine,
// from an image that is only there, named by a flag and as the one in use.
func TestBuildContainerDriver(t *testing.T) {
	url := registryFile(t)
	engine(t, "buildkitd") // makes the programs
	t.Setenv("BUILDX_BUILDER", "")
	ownContainers(t, "runc")
	d := inEngine(t, "docker28")
	image := t.TempDir()
	for _, name := range []string{"buildkitd", "buildctl"} {
		at, err := filepath.Glob(filepath.Join(cacheDir(t), "bin", name+"-*"))
		if err != nil || len(at) == 0 {
			t.Fatalf("no %s: %v", name, err)
		}
		linkTo(t, at[len(at)-1], filepath.Join(image, name))
	}
	write(t, image+"/Dockerfile", "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends runc\nCOPY buildkitd buildctl /usr/bin/\nENTRYPOINT [\"buildkitd\"]\n")
	d.sutler("build", "-t", "sutler-e2e/buildkit", image)

	const builder = "sutler-e2e-container"
	d.run(d.dir, nil, "docker", "buildx", "rm", "--force", builder) // of a run that was killed
	d.must(d.dir, nil, "docker", "buildx", "create", "--name", builder, "--driver", "docker-container", "--driver-opt", "image=sutler-e2e/buildkit:latest")
	defer d.must(d.dir, nil, "docker", "buildx", "rm", "--force", builder)
	dir := t.TempDir()
	linkTo(t, filepath.Join(cacheDir(t), "base.tar"), dir+"/base.tar")
	write(t, dir+"/Dockerfile", containerDockerfile)
	build := func(args ...string) (result, summary) {
		args = append([]string{"build", "--strict", "--progress=plain", "--output=type=cacheonly", "--build-arg", "URL=" + url}, append(args, dir)...)
		return d.sutler(args...), d.last()
	}
	r, s := build("--builder", builder)
	if !s.has("/left-pad-") || s.Verified < 8 || s.Failed > 0 {
		t.Errorf("first build: %d of %d verified, %d failed\n%s", s.Verified, s.Files, s.Failed, r.err)
	}
	_, s = build("--builder", builder, "--no-cache")
	s.allFromStore(t, 0.95)
	cached := d.must(d.dir, nil, "docker", "buildx", "du", "--builder", builder, "--format", "{{.ID}}").out
	all, _ := d.doctor()
	if what := d.whatSteps(all, "buildx builder "+builder); !strings.Contains(what, "not served") {
		t.Errorf("a plain build on it: %q", what)
	}
	if left := d.must(d.dir, nil, "docker", "buildx", "du", "--builder", builder, "--format", "{{.ID}}").out; len(left) != len(cached) {
		t.Errorf("doctor leaves records:\n%s\nbefore:\n%s", left, cached)
	}
	d.must(d.dir, nil, "docker", "buildx", "use", builder)
	defer d.must(d.dir, nil, "docker", "buildx", "use", "default")
	if r, _ := build("--engine", "buildx"); strings.Count(r.err, "CACHED") < 3 {
		t.Errorf("the builder in use ran its steps again:\n%s", r.err)
	}
}

// TestBuildAttachedBuildx makes a builder in a container after "attach buildx": its base
// images come from sutler.
func TestBuildAttachedBuildx(t *testing.T) {
	engine(t, "docker28")
	t.Setenv("BUILDX_BUILDER", "")
	if exec.Command("docker", "image", "inspect", "sutler-e2e/buildkit").Run() != nil {
		t.Skip("TestBuildContainerDriver makes the image of the builder")
	}
	r := newRegistry(t, nil, hostIn(t)+":"+portOf(freeAddr(t)), "", "")
	r.push("library/inbuilder", "1", 41, 42)
	d := startIn(t, []string{"nsenter", "--net=/run/netns/" + os.Getenv("SUTLER_E2E_NETNS")}, "127.0.0.1:7885",
		append(mirrors(map[string]string{hub(): r.addr}), "BRIDGES=true", "ATTACH_ROOT=/", "UPSTREAM_ALLOW_PRIVATE_HOSTS="+r.addr)...)
	file := os.Getenv("DOCKER_CONFIG") + "/buildx/buildkitd.default.toml"
	d.sutler("attach", "buildx")
	if text := contents(t, file); !strings.Contains(text, "172.17.0.1:7885") {
		t.Errorf("%s: %s", file, text)
	}
	const builder = "sutler-e2e-mirrored"
	d.run(d.dir, nil, "docker", "buildx", "rm", "--force", builder) // of a run that was killed
	d.must(d.dir, nil, "docker", "buildx", "create", "--name", builder, "--driver", "docker-container", "--driver-opt", "image=sutler-e2e/buildkit:latest")
	defer d.must(d.dir, nil, "docker", "buildx", "rm", "--force", builder)
	dir := t.TempDir()
	write(t, dir+"/Dockerfile", "FROM inbuilder:1\nCOPY Dockerfile /\n")
	d.must(dir, nil, "docker", "buildx", "build", "--builder", builder, "--output=type=cacheonly", ".")
	if n := d.traffic().images; n < 600_000 {
		t.Errorf("%d bytes of the base image came from sutler", n)
	}
	d.sutler("detach", "buildx")
	if _, err := os.Stat(file); err == nil {
		t.Errorf("%s is left", file)
	}
}

// linkTo gives a file a second name, or copies it.
func linkTo(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Link(from, to); err != nil {
		output(t, "cp", from, to)
	}
}
