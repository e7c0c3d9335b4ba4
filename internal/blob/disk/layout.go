package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"sutler/internal/digest"
)

// The names in the directory of a store. Blobs lie under blobDir by their first byte.
const (
	formatName    = "format"
	lockName      = "lock"
	syncedName    = "synced"
	blobDir       = "blobs/sha256"
	tmpDir        = "tmp"
	quarantineDir = "quarantine"
)

const (
	// formatPrefix and formatVersion make up the format file.
	formatPrefix  = "sutler blob store "
	formatVersion = 1
	// tmpPrefix marks the files in tmp/ that are ours to remove.
	tmpPrefix = "sutler-"
	// quarantineMax is how many damaged blobs are kept for people to look at.
	quarantineMax = 32
)

// open takes the directory and prepares it. On error, release undoes it.
func (s *Store) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	s.root = root
	// Before anything is touched: a newer store stays as it is, even without a lock file.
	if err := s.checkFormat(); err != nil {
		return err
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	s.marks = newMarks(s.opt)
	s.checks.running = make(map[key]*running)
	s.spools.names = make(map[inode]string)
	s.suspect = s.readSynced()
	return nil
}

// release gives back what open took. It is safe after a part of open.
func (s *Store) release() error {
	var errs []error
	for i := range s.bins {
		if b := s.bins[i].Load(); b != nil {
			errs = append(errs, b.Close())
		}
	}
	if s.root != nil {
		errs = append(errs, s.syncer.close(), s.root.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// checkFormat refuses a directory that is not a store of this version or an empty one.
func (s *Store) checkFormat() error {
	b, err := s.readSmall(formatName)
	if errors.Is(err, fs.ErrNotExist) {
		// The format file is written first: blobs without one are not ours to interpret.
		if _, err := s.root.Lstat("blobs"); err == nil {
			return fmt.Errorf("%w: it holds blobs but no file %q", ErrFormat, formatName)
		}
		return s.checkEmpty()
	}
	if err != nil {
		return err
	}
	v, err := decodeFormat(b)
	if err != nil {
		return err
	}
	if v != formatVersion {
		return fmt.Errorf("%w: it has format %d, this version knows %d; use the version that wrote it or another directory",
			ErrFormat, v, formatVersion)
	}
	return nil
}

// checkEmpty refuses a directory that holds what a store would take for its own, or anything
// that people see: a home, say. What belongs to the store is deleted by name one day.
func (s *Store) checkEmpty() error {
	entries, err := s.readDir(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name == lockName || name == formatName+".new" || name == "lost+found" || strings.HasPrefix(name, ".") {
			continue // a start that was cut short, a fresh file system
		}
		return fmt.Errorf("%w: it holds other things (%s …); use an empty directory, or a new one in it", ErrForeign, name)
	}
	return nil
}

// encodeFormat returns the content of the format file.
func encodeFormat(version int) []byte {
	return []byte(formatPrefix + strconv.Itoa(version) + "\n")
}

// decodeFormat reads the content of the format file, or returns ErrFormat.
func decodeFormat(b []byte) (int, error) {
	n, ok := strings.CutPrefix(string(b), formatPrefix)
	v, err := strconv.Atoi(strings.TrimSuffix(n, "\n"))
	if len(b) == 0 {
		return 0, fmt.Errorf("%w: the file %q is empty, as a crash of the machine can leave it; if this directory is sutler's, "+
			"write the line %q into it", ErrFormat, formatName, strings.TrimSpace(string(encodeFormat(formatVersion))))
	}
	if !ok || err != nil || v < 1 || string(encodeFormat(v)) != string(b) {
		return 0, fmt.Errorf("%w: the file %q is not one of a store", ErrFormat, formatName)
	}
	return v, nil
}

// takeLock makes this process the only user of the directory, and says so in the lock file.
func (s *Store) takeLock() error {
	s.lock = flock.New(filepath.Join(s.dir, lockName), flock.SetFlag(os.O_CREATE|os.O_RDONLY), flock.SetPermissions(0o600))
	got, err := s.lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if !got {
		// The holder writes its number after it has the lock, so it may not be there yet.
		pid, _ := s.readSmall(lockName)
		who := "another process"
		if n, err := strconv.Atoi(strings.TrimSpace(string(pid))); err == nil {
			who = "process " + strconv.Itoa(n)
		}
		return fmt.Errorf("%w by %s: stop it, or use another directory", ErrLocked, who)
	}
	return s.root.WriteFile(lockName, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
}

// prepare makes what is missing of the layout and clears tmp/.
func (s *Store) prepare() error {
	if err := s.checkFormat(); err != nil { // again: the lock may have been waited for by a writer
		return err
	}
	if _, err := s.root.Lstat(formatName); errors.Is(err, fs.ErrNotExist) {
		if err := s.writeSmall(formatName, encodeFormat(formatVersion)); err != nil {
			return err
		}
	}
	for _, d := range []string{blobDir, tmpDir, quarantineDir} {
		if err := s.root.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if err := s.clearTmp(); err != nil {
		return err
	}
	info, err := s.root.Stat(".")
	if err != nil {
		return err
	}
	s.dev = identOf(info).dev
	s.anonymous = s.probe()
	return s.syncer.open(s.root)
}

// clearTmp removes what a killed process left in tmp/. We hold the lock: nobody uses it.
func (s *Store) clearTmp() error {
	entries, err := s.readDir(tmpDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tmpPrefix) {
			continue
		}
		if err := s.root.Remove(tmpDir + "/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// trimQuarantine removes the oldest damaged blobs beyond quarantineMax.
func (s *Store) trimQuarantine() error {
	entries, err := s.readDir(quarantineDir)
	if err != nil || len(entries) <= quarantineMax {
		return err
	}
	changed := func(e fs.DirEntry) int64 {
		info, err := e.Info()
		if err != nil {
			return 0 // gone already: sorts first, and removing it again does no harm
		}
		return identOf(info).changed
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return int(changed(a) - changed(b)) })
	var errs []error
	for _, e := range entries[:len(entries)-quarantineMax] {
		errs = append(errs, s.root.RemoveAll(quarantineDir+"/"+e.Name()))
	}
	return errors.Join(errs...)
}

// readDir lists a directory of the layout that is known to be small.
func (s *Store) readDir(name string) ([]fs.DirEntry, error) {
	d, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	entries, err := d.ReadDir(-1)
	return entries, errors.Join(err, d.Close())
}

// readSmall reads one of the small files of the layout; more than 4 KiB is not one.
func (s *Store) readSmall(name string) ([]byte, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, 4<<10))
	return b, errors.Join(err, f.Close())
}

// writeSmall replaces a small file of the layout. It is whole and synced or unchanged.
func (s *Store) writeSmall(name string, b []byte) error {
	tmp := name + ".new"
	f, err := s.root.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return s.root.Rename(tmp, name)
}

// bin returns the directory of the blobs whose first byte is i, fs.ErrNotExist if there is
// none yet.
func (s *Store) bin(i byte) (*os.Root, error) {
	if b := s.bins[i].Load(); b != nil {
		return b, nil
	}
	b, err := s.root.OpenRoot(fmt.Sprintf("%s/%02x", blobDir, i))
	if err != nil {
		return nil, err
	}
	if !s.bins[i].CompareAndSwap(nil, b) { // somebody was faster
		err = b.Close()
	}
	return s.bins[i].Load(), err
}

// newBin returns the directory of the blobs whose first byte is i, made if it is missing.
func (s *Store) newBin(i byte) (*os.Root, error) {
	b, err := s.bin(i)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if err := s.root.MkdirAll(fmt.Sprintf("%s/%02x", blobDir, i), 0o700); err != nil {
		return nil, err
	}
	return s.bin(i)
}

// stat describes what lies at the name of blob k.
func (s *Store) stat(k key) (fs.FileInfo, error) {
	b, err := s.bin(k[0])
	if err != nil {
		return nil, err
	}
	return b.Lstat(k.Digest().Hex())
}

// list yields the blobs of one bin. It reports whether to go on.
func (s *Store) list(ctx context.Context, bin byte, yield func(digest.Digest, error) bool) bool {
	dir, err := s.root.Open(fmt.Sprintf("%s/%02x", blobDir, bin))
	if errors.Is(err, fs.ErrNotExist) {
		return true // never used
	}
	if err != nil {
		return yield("", fmt.Errorf("list blobs: %w", err))
	}
	defer dir.Close() // read only: nothing to lose
	for {
		if err := ctx.Err(); err != nil {
			yield("", err)
			return false
		}
		names, err := dir.Readdirnames(1024)
		for _, n := range names {
			d := digest.Digest(digest.SHA256 + ":" + n)
			if k, ok := digest.KeyOf(d); ok && k[0] == bin && !yield(d, nil) {
				return false
			}
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return yield("", fmt.Errorf("list blobs: %w", err))
		}
	}
}
