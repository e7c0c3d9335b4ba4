package database

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrDamaged means that a file does not hold what was written to it. Functions given to
// Read and Write may return it, if they find out what SQLite did not; the database is
// replaced then.
var ErrDamaged = errors.New("database is damaged")

// keep is how many damaged files are kept. A failing disk must not be filled with them.
const keep = 3

// isDamage reports whether err says that the file does not hold what was written to it.
// Trouble that may pass (a full or failing disk, missing permission) is none.
func isDamage(err error) bool {
	if errors.Is(err, ErrDamaged) {
		return true
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() {
	case sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS, sqlite3.SQLITE_IOERR_DATA:
		return true
	}
	primary := e.Code() & 0xff
	return primary == sqlite3.SQLITE_CORRUPT || primary == sqlite3.SQLITE_NOTADB
}

// checkFile finds damages that SQLite would take for something else: a file cut to
// nothing for a new database, a log without its file for a leftover, another journal mode
// for one that the log does not belong to.
func checkFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		if st, err := os.Stat(path + "-wal"); err == nil && st.Size() > 0 {
			return fmt.Errorf("%w: there is a log, but the file is missing", ErrDamaged)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var h [100]byte
	if _, err := io.ReadFull(f, h[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the file is cut short", ErrDamaged)
	} else if err != nil {
		return err
	}
	return checkHeader(h)
}

// checkHeader compares the fields of a file header that never change with what a database
// of ours has (https://www.sqlite.org/fileformat.html, section 1.3).
func checkHeader(h [100]byte) error {
	size := int(binary.BigEndian.Uint16(h[16:]))
	encoding := binary.BigEndian.Uint32(h[56:])
	format := binary.BigEndian.Uint32(h[44:])
	switch {
	case !bytes.HasPrefix(h[:], []byte("SQLite format 3\x00")):
		return fmt.Errorf("%w: not an SQLite file", ErrDamaged)
	case size != 1 && (size < 512 || size&(size-1) != 0):
		return fmt.Errorf("%w: page size %d", ErrDamaged, size)
	case h[18] != 2 || h[19] != 2:
		return fmt.Errorf("%w: journal mode %d, %d", ErrDamaged, h[18], h[19])
	case h[20] != 0 || h[21] != 64 || h[22] != 32 || h[23] != 32:
		return fmt.Errorf("%w: page layout %v", ErrDamaged, h[20:24])
	case encoding > 1 || format > 4: // both 0 while there is no table
		return fmt.Errorf("%w: text encoding %d, schema format %d", ErrDamaged, encoding, format)
	}
	return nil
}

// setAside renames the file and its log, which belong together for whoever examines them,
// and returns the new name, which is "" if the file was not moved. No connection may be
// open. Only the newest such files are kept.
func setAside(path string) (string, error) {
	numbers, err := setAsides(path)
	if err != nil {
		return "", err
	}
	n := 1
	for _, m := range numbers {
		n = max(n, m+1)
	}
	errs := []error{remove(path + "-shm")} // only an index into the log
	for _, m := range numbers {
		if old := asideName(path, m); m <= n-keep {
			errs = append(errs, remove(old), remove(old+"-wal"), remove(old+"-journal"))
		}
	}
	to := asideName(path, n)
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	if err := move(path, to); err != nil {
		return "", err
	}
	// A log that stays behind, should this fail, is a damage that checkFile finds.
	return to, errors.Join(move(path+"-wal", to+"-wal"), move(path+"-journal", to+"-journal"))
}

// asideName returns the name of the n-th damaged file.
func asideName(path string, n int) string { return path + ".damaged-" + strconv.Itoa(n) }

// setAsides returns the numbers of the damaged files that are kept.
func setAsides(path string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var all []int
	for _, e := range entries {
		s, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".damaged-")
		if !ok {
			continue
		}
		// A log without its file counts too: its name must not be used again.
		s, _, _ = strings.Cut(s, "-")
		if n, err := strconv.Atoi(s); err == nil {
			all = append(all, n)
		}
	}
	return all, nil
}

// move renames a file that may be absent.
func move(from, to string) error {
	if err := os.Rename(from, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// remove removes a file that may be absent.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
