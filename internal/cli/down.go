package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sutler/internal/config"
	"sutler/internal/control"
)

// stopWithin bounds how long `down` waits: running answers may take half a minute to end.
const stopWithin = 45 * time.Second

// down returns the command that stops the daemon.
func (a *app) down() *cobra.Command {
	var purge, dryRun, keep bool
	var f attachFlags
	c := &cobra.Command{
		Use:   "down",
		Short: "detach everything, restore what was changed, and stop sutler",
		Long: `down takes sutler's settings out of everything that was attached, also after a crash, and
then stops sutler; running answers are finished first. What cannot be taken out by itself
is shown, and sutler goes on running.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.load(nil)
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			f.dryRun = dryRun
			if _, err := a.detachNamed(c.Context(), l.Config, nil, f); err != nil || keep {
				return err
			}
			if err := a.stop(c.Context(), client, dryRun); err != nil {
				return err
			}
			if !purge {
				return nil
			}
			return a.removeData(l.Config, dryRun)
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "also delete everything that sutler stored: files, index, receipts, CA")
	c.Flags().BoolVar(&keep, "keep-running", false, "detach only")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "agree to a restart of what is detached, where a reload is not enough")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	return c
}

// stop stops the daemon and waits until its process is gone. None running is fine.
func (a *app) stop(ctx context.Context, client *control.Client, dryRun bool) error {
	s, err := client.Status(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		a.say("sutler is not running")
		return nil
	}
	if err != nil {
		return err
	}
	if dryRun {
		a.say("would stop process %d", s.PID)
		return nil
	}
	if err := client.Stop(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopWithin, fmt.Errorf("process %d is still running after %s", s.PID, stopWithin))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for alive(s.PID) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	a.say("sutler has stopped")
	return nil
}

// alive reports whether there is a process of that number that has not ended. One that
// nobody has waited for yet, as in a container without an init, has.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	if err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, syscall.ESRCH) // no /proc here, as on macOS
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// removeData deletes what sutler put into its folders, by name: somebody may have
// configured a folder that holds other things. Folders are deleted if nothing is left.
func (a *app) removeData(c config.Config, dryRun bool) error {
	var errs []error
	for dir, names := range map[string][]string{
		c.Store.Dir:   {"blobs", "tmp", "quarantine", "synced", "lock", "format"},
		c.Store.State: {"index.db*", "receipts.db*", "order.gc*", "ca", "attach", logName, logName + ".1", "run"},
	} {
		for _, name := range names {
			paths, err := filepath.Glob(filepath.Join(dir, name))
			errs = append(errs, err)
			for _, p := range paths {
				errs = append(errs, a.remove(p, dryRun, os.RemoveAll))
			}
		}
		if _, err := os.Stat(dir); err == nil {
			errs = append(errs, a.remove(dir, dryRun, removeEmpty))
		}
	}
	return errors.Join(errs...)
}

func (a *app) remove(path string, dryRun bool, do func(string) error) error {
	if dryRun {
		a.say("would delete %s", path)
		return nil
	}
	return do(path)
}

// removeEmpty removes a folder unless something is in it, which then is not ours.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		return err
	}
	err = os.Remove(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
