package builder

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"sutler/internal/frontend"
)

// The two sides of the frontend cannot share code: one would pull BuildKit into sutler.
func TestNamesOfTheFrontend(t *testing.T) {
	for _, p := range [][2]string{
		{secretPrefix, frontend.SecretPrefix}, {proxySecret, frontend.ProxySecret}, {noProxySecret, frontend.NoProxySecret},
		{proxyArg, frontend.ProxyArg}, {noProxyArg, frontend.NoProxyArg}, {"/settings.json", frontend.SettingsPath},
	} {
		if p[0] != p[1] {
			t.Errorf("%q here, %q in the frontend", p[0], p[1])
		}
	}
	data, err := json.Marshal(frontendSettings{Env: map[string]string{"A": "b"}, Files: []string{"ca.pem"}, Proxied: []string{"A_PROXY"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := frontend.ParseSettings(data)
	if err != nil || s.Env["A"] != "b" || !slices.Equal(s.Files, []string{"ca.pem"}) || !slices.Equal(s.Proxied, []string{"A_PROXY"}) {
		t.Errorf("ParseSettings = %+v, %v", s, err)
	}
}

// fakeFrontend stands for the embedded program.
func fakeFrontend(t *testing.T) program {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return program{arch: "amd64", compressed: w.EncodeAll([]byte("program"), nil), settings: []byte(`{"env":{},"files":[]}`)}
}

func TestImage(t *testing.T) {
	f := fakeFrontend(t)
	l, err := f.image()
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := l.writeTar(&archive); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(&archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if want, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok {
			if sum := sha256.Sum256(files[h.Name]); hex.EncodeToString(sum[:]) != want {
				t.Errorf("%s has digest %x", h.Name, sum)
			}
		}
	}
	var archives []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &archives); err != nil {
		t.Fatal(err)
	}
	a := archives[0]
	if !slices.Equal(a.RepoTags, []string{f.ref()}) || len(a.Layers) != 2 || files[a.Config] == nil {
		t.Errorf("manifest.json = %s", files["manifest.json"])
	}
	for _, name := range a.Layers {
		if files[name] == nil {
			t.Errorf("layer %s is missing", name)
		}
	}
	again, err := f.image()
	if err != nil || again.digest != l.digest {
		t.Errorf("the same frontend makes the image %s and %s, %v", l.digest, again.digest, err)
	}
}

func TestRefFollowsContent(t *testing.T) {
	a, b := fakeFrontend(t), fakeFrontend(t)
	if a.ref() != b.ref() {
		t.Errorf("%s and %s for the same frontend", a.ref(), b.ref())
	}
	b.settings = []byte("{}")
	if a.ref() == b.ref() {
		t.Errorf("%s for two frontends", a.ref())
	}
}

func TestNoFrontend(t *testing.T) {
	if _, err := newFrontend("pdp11", frontendSettings{}); !errors.Is(err, ErrNoFrontend) {
		t.Errorf("newFrontend = %v, want ErrNoFrontend", err)
	}
}

// fakeDocker puts a docker on PATH: it answers from the files of a directory, named after
// its first two arguments, and prints the arguments of build.
func fakeDocker(t *testing.T, answers map[string]string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	dir := t.TempDir()
	for name, text := range answers {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\n" +
		"case $1 in build) shift; for a; do echo \"$a\"; done; exit 7;; esac\n" +
		"for f in \"$1-$2\" \"$1\"; do [ ! -e " + dir + "/$f ] || exec cat " + dir + "/$f; done\n" +
		"echo \"no $1\" >&2; exit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("BUILDX_BUILDER", "")
	t.Setenv("DOCKER_BUILDKIT", "")
}

const bridgeJSON = `[{"IPAM":{"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]}}]`

func TestDetect(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers map[string]string
		env     map[string]string
		args    []string
		want    Engine
	}{
		{"20.10", map[string]string{"version": "20.10.24|20.10.24|amd64", "network": bridgeJSON}, nil, nil,
			Engine{Name: "docker 20.10.24 (BuildKit)", BuildKit: true, Loads: true, Arch: "amd64", Host: "172.17.0.1", Listen: "172.17.0.1"}},
		{"20.10 classic", map[string]string{"version": "20.10.24|20.10.24|amd64", "network": bridgeJSON}, map[string]string{"DOCKER_BUILDKIT": "0"}, nil,
			Engine{Name: "docker 20.10.24 (classic builder)", Arch: "amd64", Host: "172.17.0.1", Listen: "172.17.0.1"}},
		{"28 without buildx", map[string]string{"version": "28.5.2|28.5.2|arm64", "network": bridgeJSON}, nil, nil,
			Engine{Name: "docker 28.5.2 (classic builder)", SecretEnv: true, Arch: "arm64", Host: "172.17.0.1", Listen: "172.17.0.1"}},
		{"28", map[string]string{"version": "28.5.2|28.5.2|amd64", "buildx-version": "v0.29", "network": bridgeJSON}, nil, nil,
			Engine{Name: "docker 28.5.2 (BuildKit)", BuildKit: true, Loads: true, SecretEnv: true, Arch: "amd64", Host: "172.17.0.1", Listen: "172.17.0.1"}},
		{"Desktop", map[string]string{"version": "28.5.2|28.5.2|arm64", "buildx-version": "v0.29", "info": "Docker Desktop"}, nil, nil,
			Engine{Name: "docker 28.5.2 (BuildKit)", BuildKit: true, Loads: true, SecretEnv: true, Arch: "arm64", Host: "host.docker.internal", Listen: "127.0.0.1"}},
		{"container builder", map[string]string{
			"version": "28.5.2|28.5.2|amd64", "buildx-version": "v0.29", "network": bridgeJSON,
			"buildx-inspect": "Name:   b\nDriver: docker-container\n\nNodes:\nName: b0\nPlatforms: linux/arm64*, linux/amd64\n",
		}, nil, []string{"--builder=b", "."},
			Engine{Name: "buildx builder b (docker-container)", BuildKit: true, SecretEnv: true, Arch: "arm64", Host: "172.17.0.1", Listen: "172.17.0.1"}},
		{"remote builder", map[string]string{
			"version": "28.5.2|28.5.2|amd64", "buildx-version": "v0.29",
			"buildx-inspect": "Name: r\nDriver: remote\n\nNodes:\nName: r0\nEndpoint: unix:///run/buildkit.sock\nPlatforms: linux/amd64\n",
		}, map[string]string{"BUILDX_BUILDER": "r"}, nil,
			Engine{Name: "buildx builder r (remote)", BuildKit: true, SecretEnv: true, Arch: "amd64", Host: "127.0.0.1", Listen: "127.0.0.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fakeDocker(t, tt.answers)
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			tt.want.Docker = "docker"
			got, err := Detect(t.Context(), "", tt.args)
			if err != nil || got != tt.want {
				t.Errorf("Detect = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	t.Run("no answer", func(t *testing.T) {
		fakeDocker(t, nil)
		if _, err := Detect(t.Context(), "", nil); !errors.Is(err, ErrNoEngine) {
			t.Errorf("Detect = %v, want ErrNoEngine", err)
		}
	})
}

func TestRunClassic(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM x\nARG http_proxy\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		args  []string
		proxy string
		want  string
	}{
		{"plain HTTP", []string{"-"}, "http://b@h:1", "--build-arg HTTP_PROXY=http://h:1 --build-arg http_proxy=http://h:1 -"},
		{"declared by the Dockerfile", []string{dir}, "http://b@h:1", "--build-arg HTTP_PROXY=http://b@h:1 " + dir},
		{"a proxy of the user", []string{"--build-arg", "http_proxy=x", "-"}, "http://b@h:1", "--build-arg http_proxy=x -"},
		{"no sutler", []string{"-t", "x", "-"}, "", "-t x -"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fakeDocker(t, nil)
			var out bytes.Buffer
			code, err := Run(t.Context(), Options{Engine: Engine{Docker: "docker"}, Args: tt.args, Proxy: tt.proxy, Stdout: &out})
			if err != nil || code != 7 {
				t.Errorf("Run = %d, %v, want 7", code, err)
			}
			if got := strings.Join(strings.Fields(out.String()), " "); got != tt.want {
				t.Errorf("docker build %s, want %s", got, tt.want)
			}
		})
	}
}

// TestRunPartly says what keeps steps from sutler, and refuses such a build if it must be
// served in full.
func TestRunPartly(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		buildKit     bool
		args         []string
		want         string
	}{
		{"classic builder", "{}", false, []string{"-"}, "plain HTTP only"},
		{"own proxy", "{}", true, []string{"--build-arg", "http_proxy=x", "-"}, "proxy of its own (http_proxy)"},
		{"own frontend", "{}", true, []string{"--build-arg", "BUILDKIT_SYNTAX=x", "-"}, "frontend x"},
		{"configured proxy", `{"proxies":{"default":{"httpsProxy":"http://corp.example"}}}`, false, []string{"-"}, "docker's configuration gives builds a proxy (proxies, httpsProxy)"},
		{"configured proxy of another engine", `{"proxies":{"tcp://other":{"httpsProxy":"http://corp.example"}}}`, false, []string{"-"}, ": steps reach"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fakeDocker(t, map[string]string{"config.json": tt.config})
			var notices []string
			o := Options{Engine: Engine{Docker: "docker", Name: "engine", BuildKit: tt.buildKit, Arch: "none"}, Args: tt.args, Proxy: "http://b@h:1",
				Notice: func(s string) { notices = append(notices, s) }}
			if code, err := Run(t.Context(), o); err != nil || code != 7 || len(notices) == 0 || !strings.Contains(notices[0], tt.want) {
				t.Errorf("Run = %d, %v, says %q, want %q", code, err, notices, tt.want)
			}
			o.Whole = true
			if _, err := Run(t.Context(), o); !errors.Is(err, ErrPartly) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want ErrPartly and %q", err, tt.want)
			}
		})
	}
}

func TestRunMissingEngine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Run(t.Context(), Options{Args: []string{"."}}); !errors.Is(err, ErrNoEngine) {
		t.Errorf("Run = %v, want ErrNoEngine", err)
	}
}
