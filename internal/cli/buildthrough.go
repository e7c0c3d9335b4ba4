package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"sutler/internal/builder"
	"sutler/internal/control"
	"sutler/internal/ecosystem"
	"sutler/internal/settings"
)

// stepsDir is where the files for clients are in build steps: /dev is a tmpfs there, so
// that nothing of it stays in the image.
const stepsDir = "/dev/sutler"

// errNotServed means that an engine's steps cannot reach sutler.
var errNotServed = errors.New("cannot serve this build")

// buildThrough runs a build whose steps are served by the daemon. What stands in the way
// of that, but not of the build, is said, and fails it only if it is strict.
func (a *app) buildThrough(ctx context.Context, client *control.Client, f buildFlags) error {
	engine, err := a.detect(ctx, &f)
	if err != nil {
		return a.notServed(ctx, f, err)
	}
	b, err := client.Begin(ctx, control.BuildRequest{Command: f.command(), Address: engine.Listen, Dir: stepsDir, Steps: true,
		Strict: f.strict, Offline: f.offline})
	if err != nil {
		return a.notServed(ctx, f, err)
	}
	proxy, err := proxyFor(engine, b.Proxy)
	if err != nil {
		return err
	}
	ctx, stop := a.engineContext(ctx)
	defer stop()
	code, err := builder.Run(ctx, builder.Options{
		Engine: engine, Args: f.rest, Proxy: proxy, NoProxy: settings.NoProxy, Env: environment(b.Env), Proxied: b.Proxied, Files: b.Files,
		Whole: f.strict || f.offline, Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr, Notice: func(text string) { a.say("sutler: %s", text) },
	})
	ctx = context.WithoutCancel(ctx)
	if err == nil {
		return a.conclude(ctx, client, f, b, code)
	}
	failed := &exitError{code: exitFailed, err: err}
	if errors.Is(err, builder.ErrPartly) {
		failed = unserved(err)
	}
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	if _, err := client.End(ctx, b.ID, failed.code); err != nil {
		a.say("sutler: the receipt of this build is lost: %v", err)
	}
	return failed
}

// unserved ends a build that must be served by sutler and cannot be.
func unserved(why error) *exitError {
	return &exitError{code: exitNotRunning, err: why, hints: []string{"without --strict and --offline the build runs, but not through sutler"}}
}

// notServed runs a build without sutler and says why, unless it is strict.
func (a *app) notServed(ctx context.Context, f buildFlags, why error) error {
	if f.strict || f.offline {
		return unserved(why)
	}
	a.say("sutler: %v; this build runs without it", why)
	code, err := a.buildPlain(ctx, f)
	if err != nil {
		return err
	}
	return ended(code)
}

// detect finds out what the build runs on. For buildx it names the selected builder, which
// plain docker build would not use.
func (a *app) detect(ctx context.Context, f *buildFlags) (builder.Engine, error) {
	command, err := a.engineCommand(f.engine)
	if err != nil {
		return builder.Engine{}, err
	}
	if command[0] != "docker" {
		return builder.Engine{}, fmt.Errorf("%w: %s is not supported yet", errNotServed, command[0])
	}
	if f.engine == "buildx" && !slices.ContainsFunc(f.rest, func(s string) bool { return s == "--builder" || strings.HasPrefix(s, "--builder=") }) {
		name, err := selectedBuilder(ctx)
		if err != nil {
			return builder.Engine{}, fmt.Errorf("%w: %w", errNotServed, err)
		}
		f.rest = append([]string{"--builder=" + name}, f.rest...)
		f.engine = "docker" // its build command takes --builder, and so does the one without us
	}
	e, err := builder.Detect(ctx, "docker", f.rest)
	if err != nil {
		return e, fmt.Errorf("%w: %w", errNotServed, err)
	}
	if e.Listen == "" {
		return e, fmt.Errorf("%w: steps of %s have no known way to this machine", errNotServed, e.Name)
	}
	return e, nil
}

// selectedBuilder returns the name of the builder that buildx uses.
func selectedBuilder(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", "buildx", "inspect").Output()
	if err != nil {
		return "", fmt.Errorf("docker buildx inspect: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(line, "Name:"); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", errors.New("docker buildx inspect names no builder")
}

// proxyFor returns the proxy's URL as steps of the engine reach it.
func proxyFor(e builder.Engine, proxy string) (string, error) {
	u, err := url.Parse(proxy)
	if err != nil {
		return "", err
	}
	if e.Host != e.Listen {
		u.Host = e.Host + ":" + u.Port()
	}
	return u.String(), nil
}

func environment(list []ecosystem.Setting) map[string]string {
	env := make(map[string]string, len(list))
	for _, s := range list {
		env[s.Name] = s.Value
	}
	return env
}

// engineContext returns a context that ends when the engine has to be told to stop. Where
// there is a terminal it has sent the first Ctrl-C to the engine already.
func (a *app) engineContext(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for first := true; ; first = false {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				if s != os.Interrupt || !terminal(a.Stdin) || !first {
					cancel()
				}
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}
