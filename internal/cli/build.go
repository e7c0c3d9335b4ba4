package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/receipt"
)

// build returns the command that runs a container build through sutler.
func (a *app) build() *cobra.Command {
	c := &cobra.Command{
		Use:   "build [flags] [ENGINE FLAGS] CONTEXT",
		Short: "build an image through sutler, with an unchanged Dockerfile",
		Long: `Runs the build of docker, buildx, podman or buildah so that its steps fetch through sutler.
All flags but these go to the engine as they are, and so does what follows "--"; progress
and exit code are the engine's. If no sutler is running, the build runs without it.

      --engine string    auto, docker, buildx, podman or buildah (default auto)
      --receipt FILE     write what the build was served to a file, as JSON
      --strict           refuse this build what nobody vouches for; fail if no sutler serves it
                         (exit 3), and, although it went well, if anything it got was not
                         verified (4), was refused (5) or, offline, was not stored (6)
      --offline          serve this build only what is stored; fail if no sutler serves it (3)
      --json             print the receipt as JSON when the build has ended
      --config, --socket as for every command`,
		DisableFlagParsing: true,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := a.parseBuild(args)
		if err != nil {
			return usage(err)
		}
		if f.help {
			return c.Help()
		}
		// The first Ctrl-C is for the engine; what must be done after it still has to be.
		return a.buildWith(context.WithoutCancel(c.Context()), f)
	}
	return c
}

// buildWith runs a build through sutler or, if none is running, without it: that a cache
// is missing must not stop anybody's work.
func (a *app) buildWith(ctx context.Context, f buildFlags) error {
	client, err := a.find(ctx)
	var problems config.Problems
	switch {
	case err == nil:
		return a.buildThrough(ctx, client, f)
	case f.strict || f.offline:
		return err
	case errors.Is(err, control.ErrNotRunning):
		a.say("sutler: not running (start it with: sutler up); this build runs without it")
	case errors.As(err, &problems):
		a.say("sutler: its configuration has mistakes (see: sutler config check); this build runs without it")
	default:
		a.say("sutler: %v; this build runs without it", err)
	}
	code, err := a.buildPlain(ctx, f)
	if err != nil {
		return err
	}
	return ended(code)
}

// find returns a client of the daemon, if that answers.
func (a *app) find(ctx context.Context) (*control.Client, error) {
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	_, err = client.Status(ctx)
	return client, err
}

// buildPlain runs the engine's own build.
func (a *app) buildPlain(ctx context.Context, f buildFlags) (int, error) {
	command, err := a.engineCommand(f.engine)
	if err != nil {
		return 0, err
	}
	return a.run(ctx, append(command, f.rest...), a.Env)
}

// engineCommand returns the command that builds with an engine.
func (a *app) engineCommand(engine string) ([]string, error) {
	switch engine {
	case "buildx":
		return []string{"docker", "buildx", "build"}, nil
	case "docker", "podman", "buildah":
		return []string{engine, "build"}, nil
	}
	for _, name := range []string{"docker", "podman", "buildah"} {
		if _, err := a.lookPath(name); err == nil {
			return []string{name, "build"}, nil
		}
	}
	return nil, hint(errors.New("no container engine is installed"), "install docker, podman or buildah")
}

// conclude ends a build and says what it was served.
func (a *app) conclude(ctx context.Context, client *control.Client, f buildFlags, b control.Build, code int) error {
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	s, err := client.End(ctx, b.ID, code)
	if err != nil {
		return concluded(code, fmt.Errorf("the receipt of this build is lost: %w", err))
	}
	var before *receipt.Summary
	if all, err := client.Builds(ctx, 100); err == nil && code == 0 {
		before = previous(all, s)
	}
	a.say("%s", summaryLine(s, before))
	if err := a.handOver(ctx, client, f, b.ID); err != nil {
		return concluded(code, err)
	}
	if err := a.judge(ctx, client, s, control.BuildRequest{Strict: f.strict, Offline: f.offline}); err != nil {
		return concluded(code, err)
	}
	return ended(code)
}

// concluded returns err, but with the engine's exit code if the engine failed itself.
func concluded(code int, err error) error {
	if code == 0 {
		return err
	}
	return &exitError{code: code, err: err}
}

// handOver writes the receipt where flags ask for it.
func (a *app) handOver(ctx context.Context, client *control.Client, f buildFlags, id string) error {
	if f.receipt == "" && !a.json {
		return nil
	}
	r, err := a.printReceipt(ctx, client, id)
	if err != nil || f.receipt == "" {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(f.receipt, append(text, '\n'), 0o644)
}

// printReceipt returns the receipt of a build, which it prints where JSON was asked for.
func (a *app) printReceipt(ctx context.Context, client *control.Client, id string) (control.Receipt, error) {
	r, err := client.Receipt(ctx, id)
	if err != nil {
		return r, err
	}
	if r.Lines == nil {
		r.Lines = []receipt.Line{}
	}
	if a.json {
		err = a.print(r, nil)
	}
	return r, err
}

// command is how a build is named in receipts.
func (b buildFlags) command() string { return strings.Join(append([]string{"build"}, b.rest...), " ") }
