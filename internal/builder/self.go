package builder

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

var (
	// ErrProgram means that a program cannot be the only one in an image.
	ErrProgram = errors.New("not a program for an image of its own")
	// ErrArch means that an engine runs programs of another architecture.
	ErrArch = errors.New("the engine runs another architecture")
)

// SelfName is the name of the image of sutler itself.
const SelfName = "sutler"

// A Self is the image of sutler itself: its program, which holds the public roots, and
// nothing that would have to be pulled or built. The same program makes the same image.
type Self struct {
	// Ref is the image's name and tag, and Arch the architecture in Go's words.
	Ref, Arch string
	// Digest is that of the manifest, and ID that of the configuration. Engines know an
	// image by one or the other.
	Digest, ID string
	// Size is that of the program, in bytes.
	Size int

	layout *layout
}

// selfFile is the program's path in the image.
const selfFile = "/sutler"

// NewSelf makes the image from the program at a path. tag is the image's name and tag; if
// empty, that is SelfName and the version. The error wraps ErrProgram if the program is
// none for Linux, or needs libraries.
func NewSelf(version, path, tag string) (*Self, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	arch, err := archOf(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &Self{Ref: tag, Arch: arch, Size: len(data), layout: &layout{files: map[string][]byte{}}}
	if s.Ref == "" {
		s.Ref = SelfName + ":" + tagOf(version)
	}
	layer, err := selfLayer(data)
	if err != nil {
		return nil, err
	}
	s.describe(version, s.layout.add(layerType, layer))
	return s, nil
}

// archOf returns the architecture of a static program for Linux.
func archOf(program []byte) (string, error) {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return "", fmt.Errorf("%w: it does not run on Linux; name one that does with --program", ErrProgram)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%w: it needs the libraries of this machine; build it with CGO_ENABLED=0, as make does", ErrProgram)
		}
	}
	names := map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm",
		elf.EM_RISCV: "riscv64", elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x"}
	if name := names[f.Machine]; name != "" {
		return name, nil
	}
	return "", fmt.Errorf("%w: unknown architecture %s", ErrProgram, f.Machine)
}

// tagOf makes a tag of a version: tags have no plus sign.
func tagOf(version string) string {
	tag := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, version)
	return strings.TrimLeft(tag[:min(len(tag), 128)], ".-")
}

// selfFolders are what a program expects of a system, with their modes.
func selfFolders() []tar.Header {
	return []tar.Header{
		{Name: "etc/", Mode: 0o755}, {Name: "root/", Mode: 0o700}, {Name: "run/", Mode: 0o755}, {Name: "run/sutler/", Mode: 0o700},
		{Name: "tmp/", Mode: 0o1777}, {Name: "var/", Mode: 0o755}, {Name: "var/cache/", Mode: 0o755}, {Name: "var/cache/sutler/", Mode: 0o700},
		{Name: "var/lib/", Mode: 0o755}, {Name: "var/lib/sutler/", Mode: 0o700},
	}
}

// selfLayer returns the one layer.
func selfLayer(program []byte) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(program) + 16<<10)
	w := tar.NewWriter(&b)
	for _, h := range selfFolders() {
		h.Typeflag, h.ModTime, h.Format = tar.TypeDir, time.Unix(0, 0), tar.FormatUSTAR
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct {
		name string
		mode int64
		data []byte
	}{
		{"etc/passwd", 0o644, []byte("root:x:0:0:root:/root:" + selfFile + "\n")},
		{"etc/group", 0o644, []byte("root:x:0:\n")},
		{selfFile[1:], 0o755, program},
	} {
		if err := addTo(w, f.name, f.mode, f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// describe adds what stands around the layer.
func (s *Self) describe(version string, layer descriptor) {
	l := s.layout
	config := l.addJSON(configType, map[string]any{
		"architecture": s.Arch, "os": "linux", "created": "1970-01-01T00:00:00Z",
		"config": map[string]any{
			"Entrypoint": []string{selfFile}, "Cmd": []string{"serve"}, "WorkingDir": "/",
			"Env":          []string{"PATH=/:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"},
			"ExposedPorts": map[string]any{"7885/tcp": map[string]any{}},
			"Volumes":      map[string]any{"/var/cache/sutler": map[string]any{}, "/var/lib/sutler": map[string]any{}},
			"Healthcheck": map[string]any{"Test": []string{"CMD", selfFile, "healthcheck"}, "Interval": 30 * time.Second,
				"Timeout": 10 * time.Second, "StartPeriod": 20 * time.Second, "Retries": 3},
			"Labels": map[string]string{
				"org.opencontainers.image.title":       "sutler",
				"org.opencontainers.image.description": "verifying cache for the dependencies of container builds",
				"org.opencontainers.image.version":     version,
				"org.opencontainers.image.licenses":    "Apache-2.0",
			},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{layer.Digest}},
		"history": []map[string]string{{"created": "1970-01-01T00:00:00Z", "created_by": "sutler image self"}},
	})
	manifest := l.addJSON(manifestType, map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []descriptor{layer}})
	s.Digest, s.ID = manifest.Digest, config.Digest
	manifest.Annotations = map[string]string{"io.containerd.image.name": fullName(s.Ref), "org.opencontainers.image.ref.name": s.Ref}
	l.digest = manifest.Digest
	l.files["oci-layout"] = []byte(`{"imageLayoutVersion":"1.0.0"}`)
	l.files["index.json"] = encode(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []descriptor{manifest}})
	l.files["manifest.json"] = encode([]map[string]any{{"Config": blobPath(config.Digest), "RepoTags": []string{s.Ref}, "Layers": []string{blobPath(layer.Digest)}}})
}

// fullName returns an image's name as containerd has it. Docker's rule: what has no host
// is of its own registry.
func fullName(ref string) string {
	first, _, ok := strings.Cut(ref, "/")
	switch {
	case !ok:
		return dockerHost + "/library/" + ref
	case strings.ContainsAny(first, ".:") || first == "localhost":
		return ref
	}
	return dockerHost + "/" + ref
}

// dockerHost is the host that image names without one mean.
const dockerHost = "docker.io"

// Write writes the image as an archive that is an OCI image layout and what `docker load`
// reads at once.
func (s *Self) Write(to io.Writer) error { return s.layout.writeTar(to) }

// A Loader is a command that takes an image archive from its standard input.
type Loader struct {
	// Name is for people.
	Name string
	load []string
	// has prints the id of an image that is named after it.
	has []string
	// arch prints the engine's architecture. Nil if it does not say.
	arch []string

	// Run runs a program with this standard input and returns what it prints. If nil, it
	// is run as usual.
	Run func(ctx context.Context, stdin io.Reader, name string, args ...string) ([]byte, error)
}

// run runs a program and returns what it prints, without white space around it.
func (l Loader) run(ctx context.Context, stdin io.Reader, command ...string) (string, error) {
	run := l.Run
	if run == nil {
		run = Command
	}
	out, err := run(ctx, stdin, command[0], command[1:]...)
	return strings.TrimSpace(string(out)), err
}

// Loaders returns the engines that images can be loaded into, by the names of their
// client programs. namespace is that of containerd.
func Loaders(namespace string) []Loader {
	return []Loader{
		{Name: "docker", load: []string{"docker", "load", "--quiet"}, has: []string{"docker", "image", "inspect", "--format", "{{.Id}}"},
			arch: []string{"docker", "version", "--format", "{{.Server.Arch}}"}},
		{Name: "podman", load: []string{"podman", "load", "--quiet"}, has: []string{"podman", "image", "inspect", "--format", "{{.Id}}"},
			arch: []string{"podman", "info", "--format", "{{.Host.Arch}}"}},
		{Name: "containerd", load: []string{"ctr", "--namespace", namespace, "images", "import", "-"}},
	}
}

// Available reports whether the engine answers.
func (l Loader) Available(ctx context.Context) error {
	ask := l.arch
	if ask == nil {
		ask = []string{l.load[0], "version"}
	}
	_, err := l.run(ctx, nil, ask...)
	return err
}

// Has reports whether the engine has exactly this image under its name.
func (l Loader) Has(ctx context.Context, s *Self) bool {
	if l.has == nil {
		return false
	}
	out, err := l.run(ctx, nil, slices.Concat(l.has, []string{s.Ref})...)
	if err == nil && !strings.HasPrefix(out, "sha256:") {
		out = "sha256:" + out // podman
	}
	return err == nil && (out == s.ID || out == s.Digest)
}

// Load puts the image into the engine, whether it is there or not. The error wraps ErrArch
// if the engine could not run it.
func (l Loader) Load(ctx context.Context, s *Self) error {
	if l.arch != nil {
		arch, err := l.run(ctx, nil, l.arch...)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoEngine, err)
		}
		if arch != "" && arch != s.Arch {
			return fmt.Errorf("%w: %s runs %s programs, this one is for %s; name another with --program", ErrArch, l.Name, arch, s.Arch)
		}
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(s.Write(w)) }()
	_, err := l.run(ctx, r, l.load...)
	_ = r.Close() // ends the writer, should the client not have read all
	return err
}

// Command runs a program with this standard input and returns what it prints. The error
// holds the last line of what it complained of.
func Command(ctx context.Context, stdin io.Reader, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	cmd.WaitDelay = stopDelay
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	return out, fmt.Errorf("%s: %w: %s", strings.Join(append([]string{name}, args[:min(1, len(args))]...), " "), err, lines[len(lines)-1])
}
