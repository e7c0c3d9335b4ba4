package disk

import (
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// identOf returns the identity of the file that info describes.
func identOf(info fs.FileInfo) ident {
	st := info.Sys().(*syscall.Stat_t) // always, on this platform
	return ident{
		dev: uint64(st.Dev), ino: st.Ino, size: st.Size, //nolint:unconvert // other widths elsewhere
		modified: st.Mtim.Nano(), changed: st.Ctim.Nano(),
	}
}

// linksOf returns how many names a file has.
func linksOf(info fs.FileInfo) uint64 {
	return uint64(info.Sys().(*syscall.Stat_t).Nlink) //nolint:unconvert // other widths elsewhere
}

// openAnonymous makes a file without a name in tmp/.
func openAnonymous(root *os.Root) (*os.File, error) {
	return root.OpenFile(tmpDir, os.O_RDWR|unix.O_TMPFILE, 0o600)
}

// linkAnonymous gives f, made by openAnonymous, a name in dir. It does not replace.
func linkAnonymous(f *os.File, dir *os.Root, name string) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close() // a directory: nothing to lose
	// Through /proc, since linking a bare descriptor wants a capability.
	from := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	err = unix.Linkat(unix.AT_FDCWD, from, int(d.Fd()), name, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "linkat", Old: from, New: name, Err: err}
	}
	return nil
}

// syncAll makes the blobs and all else on the file system of dir durable: one call, and
// one journal commit, however many they are. It reports write errors since the last call
// on the same descriptor.
func syncAll(dir *os.File, _ []key, _ *Store) error {
	return unix.Syncfs(int(dir.Fd()))
}
