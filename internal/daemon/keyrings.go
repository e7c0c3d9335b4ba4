package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// aptKeyrings are where Debian and its relatives keep the keys of their archives, and
// where administrators add others; rpmKeyrings are where the relatives of Fedora do.
var (
	aptKeyrings = [...]string{"/usr/share/keyrings", "/etc/apt/trusted.gpg.d", "/etc/apt/keyrings"}
	rpmKeyrings = [...]string{"/etc/pki/rpm-gpg"}
)

// keyrings reads all keyrings of some folders of the system and of the configured one. A
// file that cannot be read is reported, not fatal: its keys are then unknown.
func keyrings(dirs []string, configured string) (rings [][]byte, err error) {
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
			if f.IsDir() || !isKeyring(f.Name()) {
				continue
			}
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				errs = append(errs, err)
				continue
			}
			rings = append(rings, b)
		}
	}
	return rings, errors.Join(errs...)
}

// isKeyring reports whether a file is named as keyrings are.
func isKeyring(name string) bool {
	switch filepath.Ext(name) {
	case ".gpg", ".asc", ".pgp", ".key":
		return true
	}
	return strings.HasPrefix(name, "RPM-GPG-KEY")
}
