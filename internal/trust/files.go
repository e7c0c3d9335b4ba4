package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// A systemStore is how one family of systems is told of further roots: a file for each in
// a folder, and a program that makes the lists that programs read.
type systemStore struct {
	systems string
	mark    string // there if the host is of the family
	dir     string
	ending  string
	update  string // makes what was added count
	undo    string // and what was removed
}

// systemStores lists the families, the more particular first.
func systemStores() []systemStore {
	return []systemStore{
		{"openSUSE", "/etc/pki/trust", "/etc/pki/trust/anchors", ".pem", "update-ca-certificates", "update-ca-certificates --fresh"},
		{"Fedora, RHEL, CentOS", "/etc/pki/ca-trust/source", "/etc/pki/ca-trust/source/anchors", ".pem", "update-ca-trust", "update-ca-trust"},
		{"Arch", "/etc/ca-certificates/trust-source", "/etc/ca-certificates/trust-source/anchors", ".crt", "update-ca-trust", "update-ca-trust"},
		{"Debian, Ubuntu, Alpine", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", ".crt", "update-ca-certificates", "update-ca-certificates --fresh"},
	}
}

// trustSystem puts the roots where most programs of this host look.
func (h *Host) trustSystem(ctx context.Context, roots []Root) error {
	if h.GOOS == "darwin" {
		return h.sayKeychain(roots)
	}
	for _, s := range systemStores() {
		if !h.has(s.mark) {
			continue
		}
		if _, err := h.LookPath(s.update); err != nil {
			return fmt.Errorf("%s is missing: install the package ca-certificates first", s.update)
		}
		var paths []string
		for _, r := range roots {
			path := filepath.Join(s.dir, r.file()+s.ending)
			paths = append(paths, path)
			if err := h.put(Entry{Store: System, Path: path, Refresh: s.undo}, r.PEM, s.update); err != nil {
				return err
			}
		}
		return h.removeOthers(ctx, System, paths)
	}
	return errors.New("this host has no trust store that sutler knows; `sutler ca show --pem` prints the root; on Debian, Ubuntu and Alpine install the package ca-certificates first")
}

// sayKeychain says what to run on macOS, which asks for a password on its own screen.
func (h *Host) sayKeychain(roots []Root) error {
	for _, r := range roots {
		path := filepath.Join(h.State, r.file()+".pem")
		if !h.DryRun {
			if err := os.MkdirAll(h.State, 0o700); err != nil {
				return err
			}
			if err := renameio.WriteFile(path, r.PEM, 0o644); err != nil {
				return err
			}
		}
		h.Say("run:\n  sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain %q", path)
	}
	return nil
}

// trustRegistries puts the roots where an engine looks for those of one registry.
func (h *Host) trustRegistries(ctx context.Context, store string, roots []Root) error {
	if len(h.Registries) == 0 {
		return errors.New("the local authority may answer for no image registry")
	}
	var text []byte
	for _, r := range roots {
		text = append(text, r.PEM...)
	}
	var paths []string
	for _, host := range h.Registries {
		dir := filepath.Join("/etc", store, "certs.d", host)
		if h.has(filepath.Join(dir, "hosts.toml")) && store == Containerd {
			h.Say("left alone   %s: add  ca = [\"%s\"]  to its hosts.toml", dir, filepath.Join(dir, "ca.crt"))
		}
		path := filepath.Join(dir, "ca.crt")
		if _, ours := h.manifest.find(store, path); !ours && h.has(path) {
			path = filepath.Join(dir, "sutler-ca.crt") // theirs stays; engines read every .crt
		}
		paths = append(paths, path)
		if err := h.put(Entry{Store: store, Path: path}, text, ""); err != nil {
			return err
		}
	}
	return h.removeOthers(ctx, store, paths)
}

// put writes the file of an entry, unless it is there already, and its folders. update is
// the command that makes it count, "" if none is needed.
func (h *Host) put(e Entry, text []byte, update string) error {
	e.Kind = kindFile
	e.SHA256 = sum(text)
	old, err := os.ReadFile(h.at(e.Path))
	was, ours := h.manifest.find(e.Store, e.Path)
	switch {
	case err == nil && bytes.Equal(old, text) && ours && was.SHA256 == e.SHA256:
		return nil
	case err == nil && bytes.Equal(old, text) && !ours:
		h.Say("is there     %s, not by sutler; it stays when sutler goes", e.Path)
		return nil
	case err == nil && (!ours || sum(old) != was.SHA256):
		return fmt.Errorf("%s: %w", e.Path, ErrEdited)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if h.DryRun {
		h.Say("would write  %s", e.Path)
		h.later(update)
		return nil
	}
	for dir := filepath.Dir(e.Path); !h.has(dir); dir = filepath.Dir(dir) {
		h.manifest.Folders = append(h.manifest.Folders, dir)
	}
	if err == nil { // what is recorded and what is there never contradict each other
		if err := os.Remove(h.at(e.Path)); err != nil {
			return err
		}
	}
	if err := h.keep(e); err != nil { // first: whatever happens next can be undone
		return err
	}
	if err := os.MkdirAll(filepath.Dir(h.at(e.Path)), 0o755); err != nil {
		return err
	}
	if err := renameio.WriteFile(h.at(e.Path), text, 0o644); err != nil {
		return err
	}
	h.Say("wrote        %s", e.Path)
	h.later(update)
	return nil
}

// removeOthers removes what a store has of ours besides these paths: older roots.
func (h *Host) removeOthers(ctx context.Context, store string, paths []string) error {
	var errs []error
	for _, e := range slices.Clone(h.manifest.Entries) {
		if e.Store == store && !slices.Contains(paths, e.Path) {
			errs = append(errs, h.remove(ctx, e))
		}
	}
	return errors.Join(errs...)
}

// removeFile removes the file of an entry, if it is as it was written.
func (h *Host) removeFile(e Entry) error {
	text, err := os.ReadFile(h.at(e.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case sum(text) != e.SHA256:
		return ErrEdited
	}
	if h.DryRun {
		h.Say("would remove %s", e.Path)
		return nil
	}
	if err == nil {
		if err := os.Remove(h.at(e.Path)); err != nil {
			return err
		}
		h.Say("removed      %s", e.Path)
	}
	return nil
}

// removeFolders removes the folders that were made for files, the innermost first, if
// nothing is in them.
func (h *Host) removeFolders() {
	if h.DryRun {
		return
	}
	slices.SortFunc(h.manifest.Folders, func(a, b string) int { return len(b) - len(a) })
	h.manifest.Folders = slices.DeleteFunc(h.manifest.Folders, func(dir string) bool {
		err := os.Remove(h.at(dir))
		return err == nil || errors.Is(err, fs.ErrNotExist)
	})
}

// sum returns the SHA-256 of text as lower-case hexadecimal.
func sum(text []byte) string {
	s := sha256.Sum256(text)
	return hex.EncodeToString(s[:])
}

// trimmed returns the output of a program in one line.
func trimmed(out []byte) string { return strings.Join(strings.Fields(string(out)), " ") }
