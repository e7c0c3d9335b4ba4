package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// keyringDirs are where Debian and its relatives keep the keys of their archives, and
// where administrators add others.
var keyringDirs = [...]string{"/usr/share/keyrings", "/etc/apt/trusted.gpg.d", "/etc/apt/keyrings"}

// keyrings reads all keyrings of the system and of the configured folder. A file that
// cannot be read is reported, not fatal: its keys are then unknown.
func keyrings(configured string) (rings [][]byte, err error) {
	dirs := keyringDirs[:]
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
			if ext := filepath.Ext(f.Name()); f.IsDir() || ext != ".gpg" && ext != ".asc" && ext != ".pgp" {
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
