package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeBytes returns the bytes that an ordinary user may still write to a file system.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:gosec,unconvert // the types differ by platform
}
