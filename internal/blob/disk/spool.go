package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"runtime"
	"sync"
)

// A temp is a file on its way to become a blob. It has no name where the file system can
// make such files (O_TMPFILE), else a random one in tmp/.
type temp struct {
	f    *os.File
	name string
}

// tempName returns a new random name for tmp/.
func tempName() string { return tmpPrefix + rand.Text() }

// newTemp makes an empty file.
func (s *Store) newTemp() (temp, error) {
	if s.anonymous {
		f, err := openAnonymous(s.root)
		return temp{f: f}, err
	}
	name := tempName()
	f, err := s.root.OpenFile(tmpDir+"/"+name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	return temp{f, name}, err
}

// linkTemp gives the nameless file t its name in tmp/.
func (s *Store) linkTemp(t temp) error {
	dir, err := s.root.OpenRoot(tmpDir)
	if err != nil {
		return err
	}
	return errors.Join(linkAnonymous(t.f, dir, t.name), dir.Close())
}

// probe reports whether files without a name can be made here, and named later.
func (s *Store) probe() bool {
	f, err := openAnonymous(s.root)
	if err != nil {
		return false
	}
	defer f.Close() // empty
	t := temp{f, tempName()}
	if err := s.linkTemp(t); err != nil {
		return false
	}
	return s.root.Remove(tmpDir+"/"+t.name) == nil
}

// Spool returns a new empty file that Put and Admit move instead of copying. Where the
// file system cannot make a file without a name, the name goes when the closed file is
// garbage, or when the store is opened next.
func (s *Store) Spool(context.Context) (*os.File, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	t, err := s.newTemp()
	if err != nil {
		return nil, storeErr("being spooled", err)
	}
	if t.name == "" {
		return t.f, nil
	}
	if err := s.spools.remember(s.root, t); err != nil {
		return nil, errors.Join(err, t.f.Close(), s.root.Remove(tmpDir+"/"+t.name))
	}
	return t.f, nil
}

// movable returns f as a temp if it is a spool file of size bytes that can be moved.
func (s *Store) movable(f *os.File, size int64) (temp, bool) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return temp{}, false
	}
	id := identOf(info)
	if id.dev != s.dev {
		return temp{}, false
	}
	if s.anonymous {
		return temp{f: f}, linksOf(info) == 0
	}
	name, ok := s.spools.name(inode{id.dev, id.ino})
	return temp{f, name}, ok
}

// An inode names a file of this machine.
type inode struct{ dev, ino uint64 }

// spools are the spool files that have a name, because the file system wants one.
type spools struct {
	mu    sync.Mutex
	names map[inode]string
}

// remember notes the name of t, and removes it when t.f is garbage: its owner closes it
// without telling us.
func (s *spools) remember(root *os.Root, t temp) error {
	info, err := t.f.Stat()
	if err != nil {
		return err
	}
	id := identOf(info)
	at := inode{id.dev, id.ino}
	s.mu.Lock()
	s.names[at] = t.name
	s.mu.Unlock()
	runtime.AddCleanup(t.f, func(name string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.names[at] != name {
			return // moved
		}
		delete(s.names, at)
		_ = root.Remove(tmpDir + "/" + name) // else the next Open of the store does it
	}, t.name)
	return nil
}

// name returns the name of a spool file in tmp/.
func (s *spools) name(at inode) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, ok := s.names[at]
	return name, ok
}

// forget says that f was moved out of tmp/.
func (s *spools) forget(f *os.File) {
	info, err := f.Stat()
	if err != nil {
		return // closed: its clean-up finds no file of its name
	}
	id := identOf(info)
	s.mu.Lock()
	delete(s.names, inode{id.dev, id.ino})
	s.mu.Unlock()
}
