package attach

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxFile is the largest configuration file that is edited, bytes.
const maxFile = 4 << 20

// A Machine is where tools live.
type Machine struct {
	// Root is the folder that stands for "/" in the paths of tools.
	Root string
	// Home is the user's home folder, in the tools' words.
	Home string
	// System says that the user may change the whole machine.
	System bool
	// Getenv looks up the user's variables.
	Getenv func(string) string
	// Bridge is the address by which containers reach this machine, "" if they do not.
	Bridge string
}

// at returns where a path of a tool is for us, following a link at its end: what is
// replaced is the file, not the link to it.
func (m Machine) at(path string) (string, error) {
	for range 10 {
		full := filepath.Join(m.Root, path)
		to, err := os.Readlink(full)
		if err != nil {
			return full, nil // no link, or nothing at all
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", fmt.Errorf("%s: too many links", path)
}

// exists reports whether there is something at a path of a tool.
func (m Machine) exists(path string) bool {
	_, err := os.Stat(filepath.Join(m.Root, path))
	return err == nil
}

// read returns a file of a tool as it is now; nil if there is none.
func (m Machine) read(path string) (*original, error) {
	full, err := m.at(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file of at most %d MiB: nothing was changed", full, maxFile>>20)
	}
	data, err := os.ReadFile(full)
	if err != nil {
		return nil, err
	}
	o := &original{Data: append([]byte{}, data...), Digest: digestOf(data), Mode: info.Mode().Perm()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		o.UID, o.GID = int(st.Uid), int(st.Gid)
	}
	return o, nil
}

// data returns the content, nil if there is no file.
func (o *original) data() []byte {
	if o == nil {
		return nil
	}
	return o.Data
}

// missing returns the folders that a file at path lacks, the outermost first.
func (m Machine) missing(path string) []string {
	var out []string
	for dir := filepath.Dir(path); !m.exists(dir) && dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		out = append([]string{dir}, out...)
	}
	return out
}

// write replaces a file of a tool, keeping mode and owner, or makes it with that mode; 0
// means 0644. data nil removes it. Folders are made as needed, for the owner of the one that
// they are in.
func (m Machine) write(path string, data []byte, mode fs.FileMode) error {
	full, err := m.at(path)
	if err != nil {
		return err
	}
	if data == nil {
		if err := os.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDir(filepath.Dir(full))
	}
	for _, dir := range m.missing(path) {
		dir = filepath.Join(m.Root, dir)
		uid, gid := ownerOf(filepath.Dir(dir))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := chown(dir, uid, gid); err != nil {
			return err
		}
	}
	o, err := m.read(path)
	if err != nil {
		return err
	}
	if o == nil {
		o = &original{Mode: cmp.Or(mode, 0o644)}
		o.UID, o.GID = ownerOf(filepath.Dir(full))
	}
	return replace(full, data, o)
}

// replace writes a file beside full and renames it over full. A file that is a mount
// point, as in a container, cannot be replaced and is written in place.
func replace(full string, data []byte, o *original) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(full), "."+filepath.Base(full)+".sutler-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the error is what matters
		}
	}()
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(o.Mode), chown(tmp.Name(), o.UID, o.GID), copyAttributes(full, tmp.Name()), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	err = os.Rename(tmp.Name(), full)
	if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
		return errors.Join(inPlace(full, data), os.Remove(tmp.Name()))
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(full))
}

// inPlace overwrites a file without replacing it.
func inPlace(full string, data []byte) error {
	f, err := os.OpenFile(full, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// removeDirs removes folders that we made, unless something is in them.
func (m Machine) removeDirs(dirs []string) {
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = os.Remove(filepath.Join(m.Root, dirs[i])) // not empty: no longer ours
	}
}

// ownerOf returns who owns a path; us if that cannot be told.
func ownerOf(path string) (uid, gid int) {
	if info, err := os.Stat(path); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return int(st.Uid), int(st.Gid)
		}
	}
	return os.Getuid(), os.Getgid()
}

// chown gives a file to somebody, unless it is theirs.
func chown(path string, uid, gid int) error {
	if u, g := ownerOf(path); u == uid && g == gid {
		return nil
	}
	return os.Lchown(path, uid, gid)
}
