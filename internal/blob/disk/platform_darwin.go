package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// identOf returns the identity of the file that info describes.
func identOf(info fs.FileInfo) ident {
	st := info.Sys().(*syscall.Stat_t) // always, on this platform
	return ident{
		dev: uint64(st.Dev), ino: st.Ino, size: st.Size,
		modified: st.Mtimespec.Nano(), changed: st.Ctimespec.Nano(),
	}
}

// linksOf returns how many names a file has.
func linksOf(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Nlink) }

// openAnonymous fails: files without a name cannot be given one later on this platform.
func openAnonymous(*os.Root) (*os.File, error) { return nil, errors.ErrUnsupported }

// linkAnonymous is never reached, since openAnonymous fails.
func linkAnonymous(*os.File, *os.Root, string) error { return errors.ErrUnsupported }

// syncAll makes the blobs durable, one by one, and then their directories.
func syncAll(_ *os.File, blobs []key, s *Store) error {
	var errs []error
	var dirs [256]bool
	for _, k := range blobs {
		dirs[k[0]] = true
		errs = append(errs, ignoreMissing(syncOne(s.root, blobPath(k.Digest().Hex()))))
	}
	for i, used := range dirs {
		if used {
			errs = append(errs, syncOne(s.root, fmt.Sprintf("%s/%02x", blobDir, i)))
		}
	}
	return errors.Join(append(errs, syncOne(s.root, blobDir))...)
}

// syncOne makes one file or directory durable.
func syncOne(dir *os.Root, name string) error {
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
