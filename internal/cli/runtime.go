package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sutler/internal/attach"
	"sutler/internal/ociruntime"
	"sutler/internal/ociruntime/program"
)

// runtime returns the commands that install the program which stands in for a container
// runtime.
func (a *app) runtime() *cobra.Command {
	return group("runtime", "let plain builds be served by a program in place of runc", a.runtimeInstall(), a.runtimeRemove())
}

func (a *app) runtimeInstall() *cobra.Command {
	var stands string
	var dryRun bool
	c := &cobra.Command{
		Use:   "install PATH",
		Short: "write sutler-runc to PATH, for example /usr/local/sbin/runc",
		Long: `install writes sutler-runc, which engines run in place of runc or crun. It gives the steps of
builds sutler's proxy and CA, leaves all other containers alone, and does nothing if sutler is
not running. docs/wrapper.md says which engine looks where.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.load(nil)
			if err != nil {
				return err
			}
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			if err := ours(path); err != nil {
				return err
			}
			if dryRun {
				a.say("would write %s and %s", path, path+ociruntime.InstallSuffix)
				return nil
			}
			if err := program.Install(path, ociruntime.Place{Runtime: stands, Steps: l.Steps}); err != nil {
				return err
			}
			a.say("installed %s; undo: sutler runtime remove %s", path, path)
			return nil
		},
	}
	c.Flags().StringVar(&stands, "for", "", "the runtime that it stands in for; by default the next runc or crun on PATH")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	return c
}

// ours returns an error if a path is taken by something that install did not write.
func ours(path string) error {
	_, err := os.Stat(path)
	_, placeErr := os.Stat(path + ociruntime.InstallSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil && placeErr == nil:
		return nil
	case err == nil:
		if program, err := os.ReadFile(path); err == nil && attach.IsWrapper(program) {
			return hint(fmt.Errorf("%s was put there by sutler attach", path), "sutler detach runtime removes it; if that knows nothing of it any more, delete the file")
		}
		return hint(fmt.Errorf("%s is not sutler's", path), "choose another path, or move that program away and name it with --for")
	}
	return err
}

func (a *app) runtimeRemove() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use: "remove PATH", Short: "remove sutler-runc from PATH", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.load(nil)
			if err != nil {
				return err
			}
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			if err := ours(path); err != nil {
				return err
			}
			if file := attach.NamedBy(a.machine(l.Config), path); file != "" {
				return hint(fmt.Errorf("%s names %s: without it no container would start", file, path), "detach the engine, or take the name out and reload the engine")
			}
			if dryRun {
				a.say("would remove %s and %s", path, path+ociruntime.InstallSuffix)
				return nil
			}
			return program.Remove(path)
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	return c
}
