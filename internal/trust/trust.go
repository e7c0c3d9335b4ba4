// Package trust puts the local authority's root into the trust stores of this host, and
// takes it out again, when somebody asks for it. It never touches images or containers.
//
// Whatever is changed is written into a manifest first, so that taking it out undoes exactly
// that, also after a crash in between: a file is removed if it still has the bytes that
// were written, folders if they were made here and are empty, a key store gets its old
// bytes back if nobody changed it since.
package trust

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// The stores that have a name of their own. System is what most programs of this host use.
const (
	System     = "system"
	Docker     = "docker"
	Containerd = "containerd"
	Java       = "java"
	NSS        = "nss"
)

// Stores lists the names of all stores.
func Stores() []string { return []string{System, Docker, Containerd, Java, NSS} }

// ErrEdited means that somebody changed what was put into a store; it is left as it is.
var ErrEdited = errors.New("changed by somebody else since; left alone")

// A Root is a certificate to trust.
type Root struct {
	Name string // of its own among all roots, such as "sutler local CA 1a2b3c4d"
	PEM  []byte
}

// file returns the root's name as a file name without extension.
func (r Root) file() string { return strings.ReplaceAll(r.Name, " ", "-") }

// A Host is the machine whose stores are changed. State, Getenv and Say are required.
type Host struct {
	State      string                          // folder of the manifest and of old key stores
	Registries []string                        // image registries that the root may answer for
	Getenv     func(string) string             // HOME, JAVA_HOME
	Say        func(format string, a ...any)   // tells people what is done, or would be
	DryRun     bool                            // change nothing
	LookPath   func(string) (string, error)    // if nil, exec.LookPath
	Run        func(*exec.Cmd) ([]byte, error) // if nil, the command runs; it returns all that was printed
	Prefix     string                          // put before each path; for tests
	GOOS       string                          // if "", the one of this program

	manifest manifest
	refresh  []string // commands to run at the end, each once
}

// Trust makes the stores trust these roots, and no older ones of ours. It is idempotent.
func (h *Host) Trust(ctx context.Context, roots []Root, stores ...string) error {
	if err := h.open(); err != nil {
		return err
	}
	for _, s := range stores {
		var err error
		switch s {
		case System:
			err = h.trustSystem(ctx, roots)
		case Docker, Containerd:
			err = h.trustRegistries(ctx, s, roots)
		case Java:
			err = h.trustJava(ctx, roots)
		case NSS:
			err = h.trustNSS(ctx, roots)
		default:
			err = fmt.Errorf("there is no store %q; there are %s", s, strings.Join(Stores(), ", "))
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s, err), h.finish(ctx))
		}
	}
	return h.finish(ctx)
}

// Untrust takes out of the stores what Trust put in; no store stands for all of them. What
// cannot be undone stays in the manifest, and the error says why.
func (h *Host) Untrust(ctx context.Context, stores ...string) error {
	if err := h.open(); err != nil {
		return err
	}
	var errs []error
	found := false
	for _, e := range slices.Clone(h.manifest.Entries) {
		if len(stores) > 0 && !slices.Contains(stores, e.Store) {
			continue
		}
		found = true
		errs = append(errs, h.remove(ctx, e))
	}
	if !found && h.GOOS != "darwin" {
		h.Say("nothing to undo: sutler put no root into a trust store here")
	}
	if h.GOOS == "darwin" {
		h.Say("to take it out of the key chain, run:\n  sudo security delete-certificate -c \"sutler local CA\" /Library/Keychains/System.keychain")
	}
	return errors.Join(append(errs, h.finish(ctx))...)
}

// Entries returns what the manifest says is in the stores.
func (h *Host) Entries() ([]Entry, error) {
	err := h.open()
	return h.manifest.Entries, err
}

// open fills in what was left out and reads the manifest.
func (h *Host) open() (err error) {
	if h.LookPath == nil {
		h.LookPath = exec.LookPath
	}
	if h.Run == nil {
		h.Run = (*exec.Cmd).CombinedOutput
	}
	if h.GOOS == "" {
		h.GOOS = runtime.GOOS
	}
	h.refresh = nil
	h.manifest, err = readManifest(filepath.Join(h.State, manifestName))
	return err
}

// remove undoes one entry.
func (h *Host) remove(ctx context.Context, e Entry) (err error) {
	switch e.Kind {
	case kindFile:
		err = h.removeFile(e)
	case kindJava:
		err = h.removeJava(ctx, e)
	case kindNSS:
		err = h.removeNSS(ctx, e)
	default:
		err = fmt.Errorf("a later sutler wrote it")
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", e.Store, e.Path, err)
	}
	h.later(e.Refresh)
	h.removeFolders()
	return h.forget(e)
}

// later runs a command at the end, once.
func (h *Host) later(command string) {
	if command != "" && !slices.Contains(h.refresh, command) {
		h.refresh = append(h.refresh, command)
	}
}

// finish runs the commands that make changed files count.
func (h *Host) finish(ctx context.Context) error {
	var errs []error
	for _, c := range h.refresh {
		errs = append(errs, h.run(ctx, strings.Fields(c)...))
	}
	return errors.Join(errs...)
}

// run runs a program, or says that it would.
func (h *Host) run(ctx context.Context, command ...string) error {
	if h.DryRun {
		h.Say("would run    %s", strings.Join(command, " "))
		return nil
	}
	path, err := h.LookPath(command[0])
	if err != nil {
		return err
	}
	out, err := h.Run(exec.CommandContext(ctx, path, command[1:]...))
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(out)))
	}
	h.Say("ran          %s", strings.Join(command, " "))
	return nil
}

// keep writes an entry into the manifest, in the place of one about the same path.
func (h *Host) keep(e Entry) error {
	h.manifest.put(e)
	return h.save()
}

// forget takes an entry out of the manifest.
func (h *Host) forget(e Entry) error {
	h.manifest.drop(e)
	return h.save()
}

// save writes the manifest.
func (h *Host) save() error {
	if h.DryRun {
		return nil
	}
	return h.manifest.write(filepath.Join(h.State, manifestName))
}

// at returns a path of the host.
func (h *Host) at(path string) string { return h.Prefix + path }

// has reports whether a path of the host exists.
func (h *Host) has(path string) bool {
	_, err := os.Stat(h.at(path))
	return err == nil
}
