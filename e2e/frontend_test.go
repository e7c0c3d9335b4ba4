package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sutler/internal/builder"
)

// frontendDockerfile has a step of each form. What they print is what they were given.
const frontendDockerfile = `# syntax=docker/dockerfile:1
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS base
BASE_FILES
FROM base AS one
ENV NPM_CONFIG_CAFILE=/own
RUN echo "shell: $SSL_CERT_FILE $http_proxy $HTTPS_PROXY $NPM_CONFIG_CAFILE"; touch -d @0 /one
FROM base
SHELL ["/bin/bash", "-c"]
RUN --network=none echo "none: [$SSL_CERT_FILE$http_proxy]" $(ls /dev/sutler 2>/dev/null | wc -l)
RUN <<END
set -e
echo "heredoc: $SSL_CERT_FILE $no_proxy"
END
COPY --from=one /one /one
RUN mkdir -p /w && chown nobody /w
USER nobody
WORKDIR /w
RUN ["/bin/cat", "/dev/sutler/ca.pem"]
RUN id -un && cat /dev/sutler/empty | wc -c
CMD ["true"]
`

// engine starts one of the engines of engines.sh and points the environment at it.
func engine(t *testing.T, name string) {
	t.Helper()
	if os.Getuid() != 0 {
		lacks(t, "engines need root")
	}
	need(t, "debootstrap", "ip", "nft", "nsenter", "unshare", "flock")
	if testing.Short() {
		t.Skip("engines take long to start")
	}
	alone(t)
	if out, err := exec.Command("./engines.sh", "up", name).CombinedOutput(); err != nil {
		lacks(t, name+" does not start: "+string(out))
	}
	out, err := exec.Command("./engines.sh", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`).FindAllStringSubmatch(string(out), -1) {
		t.Setenv(m[1], m[2])
	}
}

// alone waits until no other process tests with this set of engines, and has it until the
// process ends: two would be in each other's way, on ports and in what engines are attached to.
func alone(t *testing.T) {
	t.Helper()
	owned.Do(func() {
		if err := os.MkdirAll(cacheDir(t), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(cacheDir(t), "tests.lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil { // the file stays open
			t.Fatal(err)
		}
		if waited := time.Since(began); waited > time.Second {
			t.Logf("waited %s for the engines of another process", waited.Round(time.Second))
		}
		lock = f
	})
}

// owned is done when this process has the engines; lock is the file that says so.
var (
	owned sync.Once
	lock  *os.File
)

// through builds through the frontend and returns the output. n makes all that may differ
// from build to build differ.
func through(t *testing.T, n string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	code, err := builder.Run(t.Context(), builder.Options{
		Args:    append([]string{"--progress=plain"}, args...),
		Proxy:   "http://secret" + n + ":x@192.0.2." + n + ":788" + n,
		NoProxy: "localhost,none" + n,
		Env:     map[string]string{"SSL_CERT_FILE": "/dev/sutler/ca.pem", "NPM_CONFIG_CAFILE": "/dev/sutler/ca.pem"},
		Files:   map[string][]byte{"ca.pem": []byte("authority" + n + "\n"), "empty": nil},
		Stdout:  &out, Stderr: &out,
		Notice: func(line string) {
			if strings.Contains(line, builder.ErrNoFrontend.Error()) {
				lacks(t, line)
			}
			t.Error(line)
		},
	})
	if err != nil || code != 0 {
		t.Fatalf("build %s: exit code %d, %v\n%s", n, code, err, &out)
	}
	return out.String()
}

// checkSteps checks what the steps of frontendDockerfile print.
func checkSteps(t *testing.T, out string) {
	t.Helper()
	const url = "http://secret1:x@192.0.2.1:7881"
	for _, want := range []string{
		"shell: /dev/sutler/ca.pem " + url + " " + url + " /own", "none: [] 0", "heredoc: /dev/sutler/ca.pem localhost,none1", "authority1", "nobody",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no step says %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// checkCached checks that a second build, with another proxy and CA, ran nothing.
func checkCached(t *testing.T, out string) {
	t.Helper()
	if n := strings.Count(out, "CACHED"); n < 8 || strings.Contains(out, "authority") {
		t.Errorf("%d steps are cached\n%s", n, out)
	}
}

func TestFrontend(t *testing.T) {
	for _, name := range []string{"docker20", "docker28"} {
		t.Run(name, func(t *testing.T) {
			engine(t, name)
			dir := t.TempDir()
			write(t, dir+"/Dockerfile", strings.Replace(frontendDockerfile, "BASE_FILES", "LABEL made="+filepath.Base(dir)+" run="+dir, 1))
			checkSteps(t, through(t, "1", "--no-cache", "-t", "sutler-e2e/through", dir))
			checkCached(t, through(t, "2", "-t", "sutler-e2e/through", dir))
			t.Run("LeavesNothing", func(t *testing.T) { leavesNothing(t, dir) })
			t.Run("StandardInput", standardInput)
			t.Run("Trigger", trigger)
			t.Run("RemoteContext", remoteContext)
		})
	}
}

// leavesNothing compares the image with that of a plain build of the same Dockerfile.
func leavesNothing(t *testing.T, dir string) {
	plain := strings.Replace(contents(t, dir+"/Dockerfile"), "# syntax=docker/dockerfile:1\n", "", 1)
	// The plain build gets the forms that Docker 20.10 knows by itself.
	plain = strings.NewReplacer("RUN --network=none", "RUN", "RUN <<END\nset -e\n", "RUN ", "\nEND\n", "\n",
		"RUN [\"/bin/cat\", \"/dev/sutler/ca.pem\"]\nRUN id -un && cat /dev/sutler/empty | wc -c\n", "RUN id -un\n").Replace(plain)
	write(t, dir+"/Dockerfile", plain)
	output(t, "docker", "build", "-q", "--no-cache", "-t", "sutler-e2e/plain", dir)
	through(t, "3", "--no-cache", "-t", "sutler-e2e/through", dir)
	for _, format := range []string{"{{json .Config}}", "{{.Architecture}} {{.Os}} {{.Comment}} {{len .RootFS.Layers}}"} {
		a := output(t, "docker", "image", "inspect", "--format", format, "sutler-e2e/plain")
		if b := output(t, "docker", "image", "inspect", "--format", format, "sutler-e2e/through"); a != b {
			t.Errorf("image:\nplain   %s\nthrough %s", a, b)
		}
	}
	history := func(image string) string {
		return output(t, "docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}|{{.Size}}", image)
	}
	if a, b := history("sutler-e2e/plain"), history("sutler-e2e/through"); a != b {
		t.Errorf("history:\nplain\n%s\nthrough\n%s", a, b)
	}
	if a, b := layers(t, "sutler-e2e/plain"), layers(t, "sutler-e2e/through"); !slices.Equal(a, b) {
		t.Errorf("files of the layers:\nplain\n%s\nthrough\n%s", a, b)
	}
}

// layers lists the files of all layers of an image but the first.
func layers(t *testing.T, image string) []string {
	t.Helper()
	dir := t.TempDir()
	output(t, "docker", "save", "-o", dir+"/image.tar", image)
	output(t, "tar", "-C", dir, "-xf", dir+"/image.tar")
	var archives []struct{ Layers []string }
	if err := json.Unmarshal([]byte(contents(t, dir+"/manifest.json")), &archives); err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, layer := range archives[0].Layers[1:] {
		for _, name := range strings.Fields(output(t, "tar", "-tf", dir+"/"+layer)) {
			out = append(out, string(rune('a'+i))+" "+name)
		}
	}
	return out
}

// standardInput gives the whole context, and then the Dockerfile alone, by standard input.
func standardInput(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/D", "FROM debian:bookworm-slim\nRUN cat /dev/sutler/ca.pem\n")
	output(t, "tar", "-C", dir, "-cf", dir+"/context.tar", "D")
	for _, tt := range []struct {
		stdin string
		args  []string
	}{{dir + "/context.tar", []string{"-f", "D", "-"}}, {dir + "/D", []string{"-f-", dir}}} {
		in, err := os.Open(tt.stdin)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code, err := builder.Run(t.Context(), builder.Options{
			Args: append([]string{"--no-cache", "--progress=plain"}, tt.args...), Proxy: "http://192.0.2.1:1",
			Files: map[string][]byte{"ca.pem": []byte("authority\n")}, Stdin: in, Stdout: &out, Stderr: &out,
		})
		_ = in.Close()
		if err != nil || code != 0 || !strings.Contains(out.String(), "authority") {
			t.Errorf("%v: exit code %d, %v\n%s", tt.args, code, err, &out)
		}
	}
}

// trigger builds on an image whose step comes from ONBUILD, and breaks a build.
func trigger(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/Dockerfile", "FROM debian:bookworm-slim\nONBUILD RUN cat /dev/sutler/ca.pem\n")
	output(t, "docker", "build", "-q", "-t", "sutler-e2e/trigger", dir)
	write(t, dir+"/Dockerfile", "FROM sutler-e2e/trigger\nRUN true\nRUN exit 3\n")
	var out bytes.Buffer
	code, err := builder.Run(t.Context(), builder.Options{
		Args: []string{"--no-cache", "--progress=plain", dir}, Proxy: "http://192.0.2.1:1",
		Files: map[string][]byte{"ca.pem": []byte("authority\n")}, Stdout: &out, Stderr: &out,
	})
	if err != nil || code == 0 || !strings.Contains(out.String(), "authority") {
		t.Errorf("exit code %d, %v\n%s", code, err, &out)
	}
}

// remoteContext builds what a web server and a git repository hold.
func remoteContext(t *testing.T) {
	need(t, "git")
	dir := t.TempDir()
	write(t, dir+"/work/Dockerfile", "FROM debian:bookworm-slim\nCOPY note /note\nRUN cat /note /dev/sutler/ca.pem\n")
	write(t, dir+"/work/note", "from afar "+filepath.Base(dir)+"\n")
	output(t, "tar", "-C", dir+"/work", "-czf", dir+"/context.tar.gz", ".")
	git := []string{"-C", dir + "/work", "-c", "user.name=n", "-c", "user.email=e@example.com"}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"commit", "-q", "-m", "one"}, {"clone", "-q", "--bare", ".", dir + "/repo.git"}} {
		output(t, "git", append(git, args...)...)
	}
	l, err := net.Listen("tcp", hostIn(t)+":0")
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{Path: strings.TrimSpace(output(t, "git", "--exec-path")) + "/git-http-backend",
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"}, Root: "/", InheritEnv: []string{"PATH"}}
	mux := http.NewServeMux()
	mux.Handle("/repo.git/", backend)
	mux.HandleFunc("/context.tar.gz", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, dir+"/context.tar.gz") })
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	s.Start()
	defer s.Close()
	for _, at := range []string{"/context.tar.gz", "/repo.git#main"} {
		var out bytes.Buffer
		code, err := builder.Run(t.Context(), builder.Options{
			Args: []string{"--no-cache", "--progress=plain", s.URL + at}, Proxy: "http://192.0.2.1:1",
			Files: map[string][]byte{"ca.pem": []byte("authority\n")}, Stdout: &out, Stderr: &out,
		})
		if err != nil || code != 0 || !strings.Contains(out.String(), "authority") || !strings.Contains(out.String(), "from afar "+filepath.Base(dir)) {
			t.Errorf("%s: exit code %d, %v\n%s", at, code, err, &out)
		}
	}
}

// TestFrontendOtherBuilder builds on a buildkitd that sees no image of the engine, and
// looks for traces in the most talkative provenance.
func TestFrontendOtherBuilder(t *testing.T) {
	engine(t, "buildkitd")
	dir := t.TempDir()
	linkTo(t, filepath.Join(cacheDir(t), "base.tar"), dir+"/base.tar")
	text := strings.Replace(frontendDockerfile, "ARG BASE=debian:bookworm-slim", "ARG BASE=scratch", 1)
	write(t, dir+"/Dockerfile", strings.Replace(text, "BASE_FILES", "ADD base.tar /\nENV PATH=/usr/sbin:/usr/bin:/sbin:/bin RUN="+dir, 1))
	image := t.TempDir()
	args := []string{"--provenance=mode=max", "--output=type=oci,tar=false,compression=uncompressed,dest=" + image, dir}
	checkSteps(t, through(t, "1", args...))
	checkCached(t, through(t, "2", args...))
	traces := regexp.MustCompile(`secret[123]|192\.0\.2\.|:788\d|none[12]|sutler-build-`)
	provenance := false
	err := filepath.WalkDir(image, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if i, err := d.Info(); err != nil || i.Size() > 1<<20 {
			return err // the base
		}
		data := contents(t, path)
		provenance = provenance || strings.Contains(data, "slsa.dev/provenance") && strings.Contains(data, "sutler-proxy")
		if m := traces.FindString(data); m != "" {
			t.Errorf("%s holds %q: %s", filepath.Base(path), m, data)
		}
		return nil
	})
	if err != nil || !provenance {
		t.Errorf("provenance found: %v, %v", provenance, err)
	}
}

// cacheDir returns the folder of engines.sh.
func cacheDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("SUTLER_E2E_DIR"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "sutler-e2e")
}

// output runs a program that must succeed and returns what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

func contents(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
