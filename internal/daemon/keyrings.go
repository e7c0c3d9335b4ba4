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
	"sutler/internal/pgp"
)

// aptKeyrings are where Debian and its relatives keep the keys of their archives, and
// where administrators add others; rpmKeyrings are where the relatives of Fedora do.
var (
	aptKeyrings = [...]string{"/usr/share/keyrings", "/etc/apt/trusted.gpg.d", "/etc/apt/keyrings"}
	rpmKeyrings = [...]string{"/etc/pki/rpm-gpg"}
)

// removed is how the names of keyrings end that hold the keys which an archive gave up:
// they are there to look at old signatures, not to believe new ones.
const removed = "-removed-keys"

// keyrings reads all keyrings of some folders of the system and of the configured one. A
// file that cannot be read, or holds no keys, is reported by name, not fatal: its keys are
// then unknown.
func keyrings(dirs []string, configured string) (rings [][]byte, err error) {
	err = eachKey(dirs, configured, isKeyring, func(_ string, b []byte) error {
		rings = append(rings, b) // those of its keys that can be read count
		_, err := pgp.Check(b)
		return err
	})
	return rings, err
}

// isKeyring reports whether a file is named as keyrings are.
func isKeyring(name string) bool {
	switch ext := filepath.Ext(name); ext {
	case ".gpg", ".asc", ".pgp", ".key":
		return !strings.HasSuffix(strings.TrimSuffix(name, ext), removed)
	}
	return strings.HasPrefix(name, "RPM-GPG-KEY")
}

// apkKeys reads the public keys that apk on this system trusts, and those of the configured
// folder. A key that cannot be used is reported, not fatal: it is then unknown.
func apkKeys(configured string) (keys []apk.Key, err error) {
	isKey := func(name string) bool { return filepath.Ext(name) == ".pub" }
	err = eachKey([]string{"/etc/apk/keys"}, configured, isKey, func(name string, b []byte) error {
		k := apk.Key{Name: name, PEM: b}
		keys = append(keys, k)
		return apk.CheckKey(k)
	})
	return keys, err
}

// eachKey reads the files in folders whose names are those of keys. Only the configured
// folder, if there is one, has to be there.
func eachKey(dirs []string, configured string, isKey func(name string) bool, add func(name string, b []byte) error) error {
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
			if f.IsDir() || !isKey(f.Name()) {
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
