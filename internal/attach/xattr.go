package attach

import (
	"bytes"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// copyAttributes gives a new file the extended attributes of the one that it replaces,
// such as its SELinux label. A file system without them has none to copy.
func copyAttributes(from, to string) error {
	names := make([]byte, 64<<10)
	n, err := unix.Listxattr(from, names)
	if unsupported(err) || err == nil && n == 0 {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "listxattr", Path: from, Err: err}
	}
	value := make([]byte, 64<<10)
	for name := range bytes.SplitSeq(bytes.TrimRight(names[:n], "\x00"), []byte{0}) {
		size, err := unix.Getxattr(from, string(name), value)
		if err == nil {
			err = unix.Setxattr(to, string(name), value[:size], 0)
		}
		if err != nil && !unsupported(err) {
			return &fs.PathError{Op: "setxattr " + string(name), Path: to, Err: err}
		}
	}
	return nil
}

// unsupported reports whether an error says that there is nothing to copy, or that only
// the system itself sets it.
func unsupported(err error) bool {
	return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
}
