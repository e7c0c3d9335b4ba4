package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"sutler/internal/builder"
	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ociruntime"
	"sutler/internal/trust"
)

// stopWithin bounds how long `down` waits: running answers may take half a minute to end.
const stopWithin = 45 * time.Second

// imagesWithin bounds how long `down --purge` waits for docker to remove images.
const imagesWithin = 20 * time.Second

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
			s, err := a.stop(c.Context(), client, dryRun)
			if err != nil {
				return err
			}
			if err := a.leftSteps(dataOf(l.Config, s).steps, dryRun); err != nil || !purge {
				return err
			}
			if entries, err := (&trust.Host{State: l.Store.State}).Entries(); err != nil || len(entries) > 0 {
				return hint(errors.Join(err, errors.New("trust stores of this host still hold the local authority")), "run: sutler ca untrust; then sutler down --purge again")
			}
			if err := a.removeData(dataOf(l.Config, s), dryRun); err != nil {
				return err
			}
			a.removeImages(c.Context(), dryRun)
			return nil
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "also delete everything that sutler stored: files, index, receipts, CA, the images of sutler build in docker")
	c.Flags().BoolVar(&keep, "keep-running", false, "detach only")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "agree to a restart of what is detached, where a reload is not enough")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	return c
}

// stop stops the daemon and waits until its process is gone. None running is fine. It
// returns what the daemon said of itself.
func (a *app) stop(ctx context.Context, client *control.Client, dryRun bool) (control.Status, error) {
	s, err := client.Status(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		a.say("sutler is not running")
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if dryRun {
		a.say("would stop process %d", s.PID)
		return s, nil
	}
	if err := client.Stop(ctx); err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopWithin, fmt.Errorf("process %d is still running after %s", s.PID, stopWithin))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for alive(s.PID) {
		select {
		case <-ctx.Done():
			return s, context.Cause(ctx)
		case <-tick.C:
		}
	}
	a.say("sutler has stopped")
	return s, nil
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

// data is where a sutler has what it stored.
type data struct{ store, state, steps string }

// dataOf returns the folders of the sutler that ran: flags may have given it others than
// the configuration has.
func dataOf(c config.Config, s control.Status) data {
	d := data{c.Store.Dir, c.Store.State, c.Steps}
	if dir := s.Store.Dir; dir != "" {
		d.store = dir
	}
	for key, dir := range map[string]*string{"store.state": &d.state, "steps": &d.steps} {
		if text, err := strconv.Unquote(s.Settings[key]); err == nil && text != "" {
			*dir = text
		}
	}
	return d
}

// removeData deletes what sutler put into its folders, by name: somebody may have
// configured a folder that holds other things. Folders are deleted if nothing is left.
func (a *app) removeData(d data, dryRun bool) error {
	unlock, err := d.lock(dryRun)
	if err != nil {
		return err
	}
	defer unlock()
	var errs []error
	drop := func(dir string, names ...string) {
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
	// A crash of the machine can leave the file empty.
	format, err := os.ReadFile(filepath.Join(d.store, "format"))
	if err == nil && (len(format) == 0 || bytes.HasPrefix(format, []byte("sutler "))) {
		drop(d.store, "blobs", "tmp", "quarantine", "synced", "lock", "format")
	} else if _, err := os.Stat(d.store); err == nil {
		a.say("%s stays: it is no store of sutler's", d.store)
	}
	drop(filepath.Join(d.state, "ca"), "ca.pem*", "next.pem*")
	drop(filepath.Join(d.state, "attach"), "lock")
	drop(filepath.Join(d.state, "run"), "sutler.sock")
	if d.steps != "" && !served(d.steps) {
		drop(d.steps, ociruntime.SettingsName, ociruntime.SocketName, ociruntime.FilesName)
	}
	drop(d.state, "index.db*", "receipts.db*", "order.gc*", logName, logName+".1")
	if err := errors.Join(errs...); err != nil || dryRun {
		return err
	}
	a.say("deleted what was stored in %s and %s", d.store, d.state)
	return nil
}

// served reports whether a sutler serves build steps from a folder.
func served(steps string) bool {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: filepath.Join(steps, ociruntime.SocketName)})
	if err != nil {
		return false
	}
	_ = c.Close() // nothing was sent
	return true
}

// leftSteps removes what a sutler that was killed told build steps.
func (a *app) leftSteps(steps string, dryRun bool) error {
	if steps == "" || served(steps) {
		return nil
	}
	var errs []error
	for _, name := range []string{ociruntime.SettingsName, ociruntime.SocketName} {
		path := filepath.Join(steps, name)
		if _, err := os.Lstat(path); err == nil {
			errs = append(errs, a.remove(path, dryRun, os.Remove))
		}
	}
	return errors.Join(errs...)
}

// removeImages removes what `sutler build` loaded into docker. That no engine answers is no
// failure of purge: a machine may have a client alone.
func (a *app) removeImages(ctx context.Context, dryRun bool) {
	ctx, cancel := context.WithTimeout(ctx, imagesWithin)
	defer cancel()
	e := builder.Engine{Docker: "docker"}
	_, err := exec.LookPath(e.Docker)
	switch {
	case err != nil: // no docker, no images
	case dryRun:
		a.say("would delete the images %s of docker", builder.ImageName)
	default:
		if err := builder.RemoveImages(ctx, e); err != nil {
			a.say("images %s may be left in docker: %s", builder.ImageName, err)
		}
	}
}

// lock keeps a sutler from starting on a store that is being deleted.
func (d data) lock(dryRun bool) (unlock func(), err error) {
	unlock = func() {}
	if _, err := os.Stat(filepath.Join(d.store, "format")); dryRun || err != nil { // no store, or none of sutler's
		return unlock, nil
	}
	l := flock.New(filepath.Join(d.store, "lock"), flock.SetFlag(os.O_CREATE|os.O_RDONLY), flock.SetPermissions(0o600))
	got, err := l.TryLock()
	if err != nil {
		return nil, err
	}
	if !got {
		return nil, hint(fmt.Errorf("%s is in use by another sutler; nothing was deleted", d.store), "stop that one: sutler down, with its --config or --socket")
	}
	return func() { _ = l.Close() }, nil // the file is gone, and the lock ends with the process
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
