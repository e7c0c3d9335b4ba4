package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
)

// storePassword is that of every cacerts: it protects nothing, the roots are public.
const storePassword = "changeit"

// cacerts returns the key store of this host's Java.
func (h *Host) cacerts() (string, error) {
	home := h.Getenv("JAVA_HOME")
	if home == "" {
		tool, err := h.LookPath("keytool")
		if err != nil {
			return "", errors.New("there is no keytool here, and JAVA_HOME is not set")
		}
		if tool, err = filepath.EvalSymlinks(tool); err != nil {
			return "", err
		}
		home = filepath.Dir(filepath.Dir(tool))
	}
	for _, p := range []string{"lib/security/cacerts", "jre/lib/security/cacerts"} {
		if path, err := filepath.EvalSymlinks(filepath.Join(home, p)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s has no lib/security/cacerts", home)
}

// trustJava puts the roots into the key store of Java.
func (h *Host) trustJava(ctx context.Context, roots []Root) error {
	path, err := h.cacerts()
	if err != nil {
		return err
	}
	e := Entry{Store: Java, Kind: kindJava, Path: path}
	for _, r := range roots {
		e.Names = append(e.Names, r.file())
	}
	if was, ok := h.manifest.find(Java, path); ok {
		if now, err := os.ReadFile(path); err == nil && slices.Equal(was.Names, e.Names) && sum(now) == was.SHA256 {
			return nil
		}
		if err := h.remove(ctx, was); err != nil {
			return err
		}
	}
	if h.DryRun {
		h.Say("would add    %s to %s", strings.Join(e.Names, ", "), path)
		return nil
	}
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	e.SHA256 = sum(before) // nothing is changed yet
	e.Backup = filepath.Join(h.State, "cacerts-"+sum([]byte(path))[:16])
	if err := errors.Join(os.MkdirAll(h.State, 0o700), renameio.WriteFile(e.Backup, before, 0o600)); err != nil {
		return err
	}
	if err := h.keep(e); err != nil {
		return err
	}
	after, err := h.keytool(before, func(store string) error {
		for i, r := range roots {
			if err := h.keytoolOn(ctx, store, r.PEM, "-importcert", "-noprompt", "-alias", e.Names[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.SHA256 = sum(after)
	if err := h.keep(e); err != nil {
		return err
	}
	h.Say("added        %s to %s", strings.Join(e.Names, ", "), path)
	return replace(path, after)
}

// removeJava takes the roots out of the key store of Java.
func (h *Host) removeJava(ctx context.Context, e Entry) error {
	now, err := os.ReadFile(e.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Java is gone
	}
	before, gone := os.ReadFile(e.Backup)
	if err := errors.Join(err, gone); err != nil && (gone == nil || !errors.Is(gone, fs.ErrNotExist)) {
		return err
	}
	if h.DryRun {
		h.Say("would remove %s from %s", strings.Join(e.Names, ", "), e.Path)
		return nil
	}
	after := before
	if gone != nil || sum(now) != e.SHA256 { // somebody else changed it: only ours goes
		after, err = h.keytool(now, func(store string) error {
			for _, n := range e.Names {
				if err := h.keytoolOn(ctx, store, nil, "-list", "-alias", n); err != nil {
					continue // it is not there
				}
				if err := h.keytoolOn(ctx, store, nil, "-delete", "-alias", n); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := replace(e.Path, after); err != nil {
		return err
	}
	h.Say("removed      %s from %s", strings.Join(e.Names, ", "), e.Path)
	_ = os.Remove(e.Backup) // of no use any more; gone is fine
	return nil
}

// keytool returns what edit makes of a copy of a key store.
func (h *Host) keytool(store []byte, edit func(path string) error) ([]byte, error) {
	dir, err := os.MkdirTemp("", "sutler-trust-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a copy of public roots
	path := filepath.Join(dir, "cacerts")
	if err := os.WriteFile(path, store, 0o600); err != nil {
		return nil, err
	}
	if err := edit(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// keytoolOn runs keytool on a key store, with a certificate as its input.
func (h *Host) keytoolOn(ctx context.Context, store string, pem []byte, args ...string) error {
	tool, err := h.LookPath("keytool")
	if err != nil {
		tool = filepath.Join(h.Getenv("JAVA_HOME"), "bin", "keytool")
	}
	cmd := exec.CommandContext(ctx, tool, append(args, "-keystore", store, "-storepass", storePassword)...)
	cmd.Stdin = strings.NewReader(string(pem))
	if out, err := h.Run(cmd); err != nil {
		return fmt.Errorf("keytool %s: %w: %s", args[0], err, trimmed(out))
	}
	return nil
}

// replace gives a file other bytes by a rename, and keeps its mode and owner.
func replace(path string, text []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(path, renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }() // nothing to do once it is in place
	if s, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := f.Chown(int(s.Uid), int(s.Gid)); err != nil {
			return err
		}
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// trustNSS puts the roots into the database that browsers and other programs of this user
// share.
func (h *Host) trustNSS(ctx context.Context, roots []Root) error {
	dir := filepath.Join(h.Getenv("HOME"), ".pki", "nssdb")
	if _, err := os.Stat(filepath.Join(dir, "cert9.db")); err != nil {
		return fmt.Errorf("%s holds no database; nothing of this user uses it", dir)
	}
	if _, err := h.LookPath("certutil"); err != nil {
		return errors.New("certutil is missing: install libnss3-tools (Debian) or nss-tools")
	}
	e := Entry{Store: NSS, Kind: kindNSS, Path: dir}
	for _, r := range roots {
		e.Names = append(e.Names, r.file())
	}
	if was, ok := h.manifest.find(NSS, dir); ok {
		if slices.Equal(was.Names, e.Names) {
			return nil
		}
		if err := h.remove(ctx, was); err != nil {
			return err
		}
	}
	if h.DryRun {
		h.Say("would add    %s to %s", strings.Join(e.Names, ", "), dir)
		return nil
	}
	if err := h.keep(e); err != nil {
		return err
	}
	for i, r := range roots {
		if err := h.certutil(ctx, dir, r.PEM, "-A", "-t", "C,,", "-a", "-n", e.Names[i]); err != nil {
			return err
		}
	}
	h.Say("added        %s to %s", strings.Join(e.Names, ", "), dir)
	return nil
}

// removeNSS takes the roots out of the database.
func (h *Host) removeNSS(ctx context.Context, e Entry) error {
	if _, err := os.Stat(e.Path); errors.Is(err, fs.ErrNotExist) {
		return nil // the database is gone
	}
	if h.DryRun {
		h.Say("would remove %s from %s", strings.Join(e.Names, ", "), e.Path)
		return nil
	}
	for _, n := range e.Names {
		if err := h.certutil(ctx, e.Path, nil, "-L", "-n", n); err != nil {
			continue // it is not there
		}
		if err := h.certutil(ctx, e.Path, nil, "-D", "-n", n); err != nil {
			return err
		}
	}
	h.Say("removed      %s from %s", strings.Join(e.Names, ", "), e.Path)
	return nil
}

// certutil runs certutil on a database, with a certificate as its input.
func (h *Host) certutil(ctx context.Context, dir string, pem []byte, args ...string) error {
	tool, err := h.LookPath("certutil")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, tool, append([]string{"-d", "sql:" + dir}, args...)...)
	cmd.Stdin = strings.NewReader(string(pem))
	if out, err := h.Run(cmd); err != nil {
		return fmt.Errorf("certutil %s: %w: %s", args[0], err, trimmed(out))
	}
	return nil
}
