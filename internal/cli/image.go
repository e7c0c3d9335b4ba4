package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"sutler/internal/builder"
	"sutler/internal/probe"
)

// image returns the commands about images.
func (a *app) image() *cobra.Command {
	return group("image", "images: that of sutler itself", a.imageSelf())
}

// selfFlags are the flags of `image self`.
type selfFlags struct {
	engine, namespace, output, program, tag string
	dryRun                                  bool
}

// imageSelf returns the command that makes an image of this program.
func (a *app) imageSelf() *cobra.Command {
	var f selfFlags
	c := &cobra.Command{
		Use:   "self",
		Short: "load an image of this very program into an engine, with no network",
		Long: `Makes an image of one layer from the running program and loads it into an engine. Nothing
is pulled and nothing is built, so it works while registries and name resolution do not.
The same program always makes the same image. How to run it is in docs/container.md.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.loadSelf(c.Context(), f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.engine, "engine", "auto", "load it into auto, docker, podman or containerd")
	flags.StringVar(&f.namespace, "namespace", "default", "containerd's namespace; k8s.io is that of Kubernetes")
	flags.StringVarP(&f.output, "output", "o", "", "write an archive to this file instead, - for standard output")
	flags.StringVar(&f.program, "program", "", "make it from this program: a static sutler for Linux")
	flags.StringVar(&f.tag, "tag", "", "name and tag of the image (default sutler:VERSION)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only say what would be done")
	return c
}

// A selfResult is what `image self` prints.
type selfResult struct {
	Image  string `json:"image"`
	Digest string `json:"digest"` // of the manifest
	ID     string `json:"id"`     // digest of the configuration
	Arch   string `json:"arch"`
	Size   int    `json:"size"` // of the program, bytes
	Engine string `json:"engine,omitempty"`
	Output string `json:"output,omitempty"`
	Loaded bool   `json:"loaded"` // false: it was there already, or nothing was to be done
}

func (a *app) loadSelf(ctx context.Context, f selfFlags) error {
	if !slices.Contains([]string{"auto", "docker", "podman", "containerd"}, f.engine) {
		return usage(fmt.Errorf("--engine %q: there are auto, docker, podman and containerd", f.engine))
	}
	s, err := a.self(f.program, f.tag)
	if err != nil {
		return err
	}
	r := selfResult{Image: s.Ref, Digest: s.Digest, ID: s.ID, Arch: s.Arch, Size: s.Size, Output: f.output}
	if f.output != "" {
		return a.writeSelf(s, r, f)
	}
	l, err := loaderOf(ctx, f)
	if err != nil {
		return err
	}
	r.Engine = l.Name
	switch {
	case l.Has(ctx, s):
		a.say("sutler: %s has %s already", l.Name, s.Ref)
	case f.dryRun:
		a.say("sutler: would load %s (%s) into %s", s.Ref, ibytes(int64(s.Size)), l.Name)
	default:
		if err := l.Load(ctx, s); err != nil {
			return err
		}
		r.Loaded = true
		a.say("sutler: loaded %s (%s) into %s; docs/container.md says how to run it", s.Ref, ibytes(int64(s.Size)), l.Name)
	}
	return a.printSelf(a.Stdout, r)
}

// self makes the image of a program, or of this one.
func (a *app) self(program, tag string) (*builder.Self, error) {
	if program == "" {
		var err error
		if program, err = probe.Program(); err != nil {
			return nil, err
		}
	}
	return builder.NewSelf(a.Version, program, tag)
}

// loaderOf returns the engine that was asked for, or the first that answers.
func loaderOf(ctx context.Context, f selfFlags) (builder.Loader, error) {
	all := builder.Loaders(f.namespace)
	if f.engine != "auto" {
		return all[slices.IndexFunc(all, func(l builder.Loader) bool { return l.Name == f.engine })], nil
	}
	var errs []error
	for _, l := range all[:2] { // containerd has namespaces, which nobody chose
		err := l.Available(ctx)
		if err == nil {
			return l, nil
		}
		errs = append(errs, err)
	}
	return builder.Loader{}, hint(fmt.Errorf("%w: %w", builder.ErrNoEngine, errors.Join(errs...)),
		"write an archive instead and load it elsewhere: sutler image self --output sutler.tar")
}

// writeSelf writes the archive to a file, which is whole or not there, or to standard output.
func (a *app) writeSelf(s *builder.Self, r selfResult, f selfFlags) error {
	if f.dryRun {
		a.say("sutler: would write %s (%s) to %s", s.Ref, ibytes(int64(s.Size)), f.output)
		return nil
	}
	if f.output == "-" {
		if terminal(a.Stdout) {
			return usage(errors.New("--output -: standard output is a terminal; redirect it to a file or a pipe"))
		}
		if err := s.Write(a.Stdout); err != nil {
			return err
		}
		return a.printSelf(a.Stderr, r)
	}
	t, err := renameio.NewPendingFile(f.output, renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer func() { _ = t.Cleanup() }() // after the rename there is nothing to clean up
	if err := s.Write(t); err != nil {
		return err
	}
	if err := t.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return a.printSelf(a.Stdout, r)
}

func (a *app) printSelf(to io.Writer, r selfResult) error {
	if to == a.Stdout {
		return a.print(r, func(w io.Writer) error { _, err := fmt.Fprintln(w, r.Image, r.Digest); return err })
	}
	_, err := fmt.Fprintln(to, r.Image, r.Digest)
	return err
}
