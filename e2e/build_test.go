package e2e

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// buildDockerfile fetches over HTTP by apt-get and over HTTPS, as root and as nobody.
const buildDockerfile = `FROM debian:bookworm-slim
ARG URL
RUN apt-get update && apt-get install -y --no-install-recommends PACKAGES && rm -rf /var/lib/apt/lists/*
USER nobody
RUN curl -fsS -o /dev/null "$URL"
`

// inEngine starts sutler beside one of the engines of engines.sh, where its steps reach it.
func inEngine(t *testing.T, name string) *daemon {
	t.Helper()
	engine(t, name)
	return startIn(t, []string{"nsenter", "--net=/run/netns/" + os.Getenv("SUTLER_E2E_NETNS")}, "127.0.0.1:7885")
}

// registryFile returns the URL of a file in this machine's npm registry.
func registryFile(t *testing.T) string {
	t.Helper()
	need(t, "npm")
	out, err := exec.Command("npm", "config", "get", "registry").Output()
	if err != nil {
		lacks(t, "npm config get registry: "+err.Error())
	}
	return strings.TrimSpace(string(out)) + "left-pad/-/left-pad-1.3.0.tgz"
}

// context makes a build context that installs these packages.
func buildContext(t *testing.T, packages string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/Dockerfile", strings.Replace(buildDockerfile, "PACKAGES", packages, 1))
	return dir
}

// TestBuild builds an unchanged Dockerfile: cold, warm, with the origins gone, without
// sutler, and two at once.
func TestBuild(t *testing.T) {
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			url := registryFile(t)
			d := inEngine(t, name)
			dir := buildContext(t, "ca-certificates curl hello")
			build := func(more ...string) []string {
				return append([]string{"build", "--no-cache", "--build-arg", "URL=" + url, "-t", "sutler-e2e/build"}, append(more, dir)...)
			}
			r := d.sutler(build("--strict")...)
			if s := d.last(); s.Verified < 8 || s.Failed > 0 || !strings.Contains(r.err, "verified") {
				t.Errorf("first build: %d of %d verified, %d failed\n%s", s.Verified, s.Files, s.Failed, r.err)
			}
			d.sutler(build("--strict")...)
			d.last().allFromStore(t, 0.95)

			d.stop()
			d.set("UPSTREAM_OFFLINE=true")
			d.serve()
			d.sutler(build("--strict")...)
			d.last().allFromStore(t, 1)
			if r := d.run(dir, nil, binary, "build", "--no-cache", "--build-arg", "URL="+url+".absent", dir); r.code == 0 {
				t.Error("a build that needs what is not stored succeeded offline")
			}

			// What only a registry behind a private authority would fail is left out here.
			d.stop()
			write(t, dir+"/Dockerfile", "FROM debian:bookworm-slim\nARG URL\nRUN echo plain\n")
			r = d.sutler(build()...)
			if !strings.Contains(r.err, "not running") {
				t.Errorf("without sutler: %s", r.err)
			}
			if r := d.run(dir, nil, binary, build("--strict")...); r.code != 3 {
				t.Errorf("--strict without sutler: exit %d, want 3", r.code)
			}
		})
	}
}

// TestTwoBuildsAtOnce checks that each of two builds gets the receipt of what it was served.
func TestTwoBuildsAtOnce(t *testing.T) {
	url := registryFile(t)
	d := inEngine(t, "docker28")
	packages := []string{"curl ca-certificates hello", "curl ca-certificates sl"}
	receipts := make([]string, len(packages))
	var group sync.WaitGroup
	for i, p := range packages {
		dir := buildContext(t, p)
		receipts[i] = dir + "/receipt.json"
		group.Go(func() {
			r := d.run(dir, nil, binary, "build", "--no-cache", "--strict", "--receipt", receipts[i], "--build-arg", "URL="+url, dir)
			if r.code != 0 {
				t.Errorf("build %d: exit %d\n%s", i, r.code, r.err)
			}
		})
	}
	group.Wait()
	for i, want := range []string{"/hello_", "/sl_"} {
		text := contents(t, receipts[i])
		other := []string{"/sl_", "/hello_"}[i]
		if !strings.Contains(text, want) || strings.Contains(text, other) {
			t.Errorf("receipt %d has %s: %t, %s: %t", i, want, strings.Contains(text, want), other, strings.Contains(text, other))
		}
	}
}

// TestBuildPurgeImages checks that down --purge leaves no image of the frontend in the engine.
func TestBuildPurgeImages(t *testing.T) {
	d := inEngine(t, "docker28")
	dir := t.TempDir()
	write(t, dir+"/Dockerfile", "FROM debian:bookworm-slim\nRUN true\n")
	d.sutler("build", "-t", "sutler-e2e/purge", dir)
	images := func() string {
		return d.must(dir, nil, "docker", "image", "ls", "--quiet", "localhost/sutler-frontend").out
	}
	if images() == "" {
		t.Fatal("the build loaded no frontend")
	}
	d.sutler("down", "--purge")
	if left := images(); left != "" {
		t.Errorf("left after down --purge: %s", left)
	}
}
