package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The ids of the secrets and the names of the build arguments that the frontend knows
// (internal/frontend); a test compares the two lists.
const (
	secretPrefix  = "sutler-"
	proxySecret   = secretPrefix + "proxy"
	noProxySecret = secretPrefix + "no-proxy"
	proxyArg      = "SUTLER_PROXY"
	noProxyArg    = "SUTLER_NO_PROXY"
)

// proxyNames are the predefined build arguments by which a user sets a proxy.
var proxyNames = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}

// stopDelay is how long an engine's client may take to end after it was interrupted.
const stopDelay = 10 * time.Second

// ErrPartly means that not all that the steps of a build fetch would come through sutler.
var ErrPartly = errors.New("the build would not be served in full")

// Options say what to build, and what its RUN steps get.
type Options struct {
	// Engine is what to build with. If it is the zero value, Run finds it out.
	Engine Engine
	// Args are the user's arguments of docker build.
	Args []string
	// Proxy is the URL by which RUN steps reach sutler. Without it the build gets nothing.
	Proxy string
	// NoProxy lists the hosts that RUN steps reach directly.
	NoProxy string
	// Env are variables for RUN steps, the same from build to build: they are part of the
	// layer cache's key. Variables of the proxy do not belong here.
	Env map[string]string
	// Proxied names variables that hold the proxy's URL besides the common ones. Engines
	// that cannot put a secret into a step's environment leave them out.
	Proxied []string
	// Files are contents by name of files below /dev/sutler in RUN steps.
	Files map[string][]byte
	// Whole refuses, with ErrPartly, a build whose steps would reach sutler in part only.
	Whole bool
	// Stdin, Stdout and Stderr are the engine's. If nil, they are the null device.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Notice is told what the user should know, a line each. If nil, nobody is.
	Notice func(string)
}

// Run builds and returns the exit code of the engine's client. An error means that the
// client could not be started.
func Run(ctx context.Context, o Options) (int, error) {
	if o.Engine.Docker == "" {
		e, err := Detect(ctx, "", o.Args)
		if err != nil {
			return 0, err
		}
		o.Engine = e
	}
	dir, err := os.MkdirTemp("", "sutler-build-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover of a private directory, nothing to add
	ours, err := o.flags(ctx, dir)
	if err != nil {
		return 0, err
	}
	return o.start(ctx, slices.Concat([]string{"build"}, ours, o.Args))
}

// start runs the client with the given arguments.
func (o *Options) start(ctx context.Context, args []string) (int, error) {
	cmd := exec.CommandContext(ctx, o.Engine.Docker, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = o.Stdin, o.Stdout, o.Stderr
	cmd.Env = os.Environ()
	if _, set := os.LookupEnv("DOCKER_BUILDKIT"); !set && o.Engine.BuildKit {
		cmd.Env = append(cmd.Env, "DOCKER_BUILDKIT=1") // not the default of clients before 23
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopDelay
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return 0, err
	}
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// flags returns the flags for the engine that come before the user's, and puts the files
// that they name into dir.
func (o *Options) flags(ctx context.Context, dir string) ([]string, error) {
	if o.Proxy == "" {
		return nil, nil
	}
	a := parseArguments(o.Args)
	d := readDockerfile(a)
	if name := a.ownProxy(); name != "" {
		if err := o.partly("the build has a proxy of its own (%s): its steps use that one, not sutler", name); err != nil {
			return nil, err
		}
	} else if name := configuredProxy(); name != "" {
		if err := o.partly("docker's configuration gives builds a proxy (proxies, %s): their steps use that one, not sutler", name); err != nil {
			return nil, err
		}
	}
	if !o.Engine.BuildKit {
		return o.proxyFlags(a, d), o.partly("%s: steps reach sutler over plain HTTP only", o.Engine.Name)
	}
	if v := a.buildArgs["BUILDKIT_SYNTAX"]; v != "" {
		return o.proxyFlags(a, d), o.partly("the build asks for the frontend %s: steps reach sutler over plain HTTP only", v)
	}
	if d.foreign() {
		o.notice("the Dockerfile asks for syntax %s; it is built as docker/dockerfile:1", d.syntax)
	}
	flags, err := o.frontendFlags(ctx, dir)
	if err != nil {
		return o.proxyFlags(a, d), o.partly("%v: steps reach sutler over plain HTTP only", err)
	}
	secrets, err := o.secretFlags(dir)
	return append(flags, secrets...), err
}

// frontendFlags hands the frontend to the builder.
func (o *Options) frontendFlags(ctx context.Context, dir string) ([]string, error) {
	f, err := newFrontend(o.Engine.Arch, frontendSettings{Env: o.Env, Files: slices.Collect(maps.Keys(o.Files)), Proxied: o.Proxied})
	if err != nil {
		return nil, err
	}
	flags := []string{"--build-arg", "BUILDKIT_SYNTAX=" + f.ref()}
	if !o.Engine.SecretEnv {
		// Such engines know no provenance, in which the value could stay.
		flags = append(flags, "--build-arg", proxyArg+"="+o.Proxy, "--build-arg", noProxyArg+"="+o.NoProxy)
	}
	if o.Engine.Loads {
		return flags, o.Engine.load(ctx, f)
	}
	// A builder of its own takes the frontend from us, under the name of its image.
	l, err := f.image()
	if err != nil {
		return nil, err
	}
	at := filepath.Join(dir, "frontend")
	if err := l.writeDir(at); err != nil {
		return nil, err
	}
	return append(flags, "--build-context", f.ref()+"=oci-layout://"+at+"@"+l.digest), nil
}

// secretFlags returns the flags for the proxy's URL and the files.
func (o *Options) secretFlags(dir string) ([]string, error) {
	secrets := map[string][]byte{proxySecret: []byte(o.Proxy), noProxySecret: []byte(o.NoProxy)}
	for name, data := range o.Files {
		if len(data) == 0 {
			data = []byte("\n") // BuildKit 0.8 takes an empty secret for a missing one
		}
		secrets[secretPrefix+name] = data
	}
	var flags []string
	for _, id := range slices.Sorted(maps.Keys(secrets)) {
		at := filepath.Join(dir, id)
		if err := os.WriteFile(at, secrets[id], 0o600); err != nil {
			return nil, err
		}
		flags = append(flags, "--secret", "id="+id+",src="+at)
	}
	return flags, nil
}

// proxyFlags returns the predefined build arguments for steps that reach us over plain
// HTTP: the engine keeps them out of the image, unless the Dockerfile declares them.
func (o *Options) proxyFlags(a arguments, d dockerfile) []string {
	if a.ownProxy() != "" {
		return nil
	}
	proxy := o.Proxy
	if !d.known || o.Engine.BuildKit {
		proxy = withoutUser(proxy) // it may stay in the image's history, or its provenance
	}
	var flags []string
	for _, v := range []struct{ name, value string }{
		{"HTTP_PROXY", proxy}, {"http_proxy", proxy}, {"NO_PROXY", o.NoProxy}, {"no_proxy", o.NoProxy},
	} {
		if _, own := a.buildArgs[v.name]; own || d.args[v.name] || v.value == "" {
			continue
		}
		flags = append(flags, "--build-arg", v.name+"="+v.value)
	}
	return flags
}

func withoutUser(proxy string) string {
	u, err := url.Parse(proxy)
	if err != nil {
		return proxy
	}
	u.User = nil
	return u.String()
}

// load puts the frontend's image into the engine, if it is not there.
func (e *Engine) load(ctx context.Context, f program) error {
	if _, err := e.ask(ctx, "image", "inspect", "--format", "{{.Id}}", f.ref()); err == nil {
		return nil
	}
	l, err := f.image()
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(l.writeTar(w)) }()
	cmd := exec.CommandContext(ctx, e.Docker, "load", "--quiet")
	cmd.Stdin = r
	out, err := cmd.CombinedOutput()
	_ = r.Close() // ends the writer, should the client not have read all
	if err != nil {
		return fmt.Errorf("%s load: %w: %s", e.Docker, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// RemoveImages removes the frontend's images from the engine.
func RemoveImages(ctx context.Context, e Engine) error {
	out, err := e.ask(ctx, "image", "ls", "--quiet", ImageName)
	if err != nil || out == "" {
		return err
	}
	_, err = e.ask(ctx, append([]string{"image", "rm", "--force"}, strings.Fields(out)...)...)
	return err
}

// partly notes that the build is not served in full, or refuses it for that.
func (o *Options) partly(format string, args ...any) error {
	if o.Whole {
		return fmt.Errorf("%w: %s", ErrPartly, fmt.Sprintf(format, args...))
	}
	o.notice(format, args...)
	return nil
}

func (o *Options) notice(format string, args ...any) {
	if o.Notice != nil {
		o.Notice(fmt.Sprintf(format, args...))
	}
}
