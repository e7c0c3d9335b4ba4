package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sutler/internal/ecosystem/apk"
	"sutler/internal/ecosystem/apt"
)

// keyringDirs are where Debian and its relatives keep the keys of their archives, and
// where administrators add others.
var keyringDirs = [...]string{"/usr/share/keyrings", "/etc/apt/trusted.gpg.d", "/etc/apt/keyrings"}

// removed is how the names of keyrings end that hold the keys which an archive gave up:
// they are there to look at old signatures, not to believe new ones.
const removed = "-removed-keys"

// keyrings reads all keyrings of the system and of the configured folder. A file that
// cannot be read, or holds no keys, is reported by name, not fatal: its keys are then unknown.
func keyrings(configured string) (rings [][]byte, err error) {
	err = eachKey(keyringDirs[:], configured, []string{".gpg", ".asc", ".pgp"}, func(_ string, b []byte) error {
		rings = append(rings, b) // those of its keys that can be read count
		_, err := apt.CheckKeyring(b)
		return err
	})
	return rings, err
}

// apkKeys reads the public keys that apk on this system trusts, and those of the configured
// folder. A key that cannot be used is reported, not fatal: it is then unknown.
func apkKeys(configured string) (keys []apk.Key, err error) {
	err = eachKey([]string{"/etc/apk/keys"}, configured, []string{".pub"}, func(name string, b []byte) error {
		k := apk.Key{Name: name, PEM: b}
		keys = append(keys, k)
		return apk.CheckKey(k)
	})
	return keys, err
}

// eachKey reads the files in folders whose names end so. Only the configured folder, if
// there is one, has to be there.
func eachKey(dirs []string, configured string, exts []string, add func(name string, b []byte) error) error {
	if configured != "" {
		dirs = append(slices.Clone(dirs), configured)
	}
	var errs []error
	for _, dir := range dirs {
		files, err := os.ReadDir(dir)
		if err != nil && (dir == configured || !errors.Is(err, fs.ErrNotExist)) {
			errs = append(errs, err)
		}
		for _, f := range files {
			ext := filepath.Ext(f.Name())
			if f.IsDir() || !slices.Contains(exts, ext) || strings.HasSuffix(strings.TrimSuffix(f.Name(), ext), removed) {
				continue
			}
			path := filepath.Join(dir, f.Name())
			b, err := os.ReadFile(path)
			if err == nil {
				err = add(f.Name(), b)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("keyring %s: %w", path, err))
			}
		}
	}
	return errors.Join(errs...)
}
