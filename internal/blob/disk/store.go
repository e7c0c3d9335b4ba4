// Package disk keeps blobs as files under one directory.
//
// Layout: format, lock, synced, blobs/sha256/ab/abcdef…, tmp/, quarantine/. The only
// names that ever reach the file system are made here: fixed ones, the hexadecimal form
// of a digest, and random ones in tmp/. All access goes through os.Root.
//
// A blob gets its name after its last byte was written, so a killed process leaves whole
// blobs only. Nothing is synced before a blob is served: files are synced in the
// background, and every process hashes each blob itself before, or while, it first serves
// it, so what a power loss damaged is found, set aside and reported as damaged, never
// delivered to its end (docs/adr/0002-fsync-policy.md).
//
// The package does not decide what to keep: see package gc.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"sutler/internal/blob"
	"sutler/internal/digest"
)

var (
	// ErrLocked is returned by Open for a directory that another process has open.
	ErrLocked = errors.New("store is in use")
	// ErrFormat is returned by Open for a directory that is not a store, or that a newer
	// version wrote. It is left as it was.
	ErrFormat = errors.New("store cannot be read by this version")
	// ErrForeign means that a directory is no store, and not empty either.
	ErrForeign = errors.New("not a store")
	// ErrClosed is returned by calls that change a store which was closed.
	ErrClosed = errors.New("store is closed")
)

const (
	// wholeMax is the size up to which a blob that must be checked is hashed before Open
	// returns: some 8 ms of work. Larger ones are hashed while they are read.
	wholeMax = 8 << 20
	// tail is what is held back of a blob that is hashed while it is read, in bytes.
	tail = 64 << 10
)

// Options are the settings of a store. The zero Options work.
type Options struct {
	// VerifyEvery is how long a check of a blob holds. If zero, 24 hours.
	VerifyEvery time.Duration
	// SyncEvery is how long a new blob may stay unsynced, and so how much a power loss
	// costs: what was put in that time is fetched again. If zero, 5 seconds.
	SyncEvery time.Duration
	// Marks bounds how many blobs are remembered as checked (about 100 bytes each).
	// If zero, 131072.
	Marks int
	// Damaged, if not nil, is told of each blob that was found damaged or lost, after it
	// was set aside. It is called from any goroutine and must not block.
	Damaged func(d digest.Digest, cause error)
}

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() Options {
	if o.VerifyEvery == 0 {
		o.VerifyEvery = 24 * time.Hour
	}
	if o.SyncEvery == 0 {
		o.SyncEvery = 5 * time.Second
	}
	if o.Marks == 0 {
		o.Marks = 1 << 17
	}
	return o
}

// Stats counts what a store did since it was opened.
type Stats struct {
	Checked  int64 // blobs hashed on the way out
	Damaged  int64 // blobs found damaged and set aside
	Lost     int64 // blobs given up because syncing them failed
	Syncs    int64 // batches synced
	Unsynced int64 // blobs that wait for the next batch
	Marks    int64 // blobs remembered as checked
}

// A Store is a blob.Store and blob.Admitter on a directory of its own.
type Store struct {
	dir  string
	opt  Options
	lock *flock.Flock
	root *os.Root
	bins [256]atomic.Pointer[os.Root] // blobs/sha256/00 … ff, once used: a blob is one openat away
	dev  uint64                       // device of the directory: files elsewhere cannot be moved here

	anonymous bool           // the file system has O_TMPFILE
	names     [64]sync.Mutex // by digest: a name is made, replaced or removed by one goroutine
	spools    spools
	marks     *marks
	checks    checks
	syncer    syncer
	suspect   int64 // blobs changed after this time (Unix ns) may have missed the last sync
	started   time.Time
	closed    atomic.Bool
	whole     int64 // wholeMax, smaller in tests

	checked, damaged, lost, syncs atomic.Int64
}

var (
	_ blob.Store    = (*Store)(nil)
	_ blob.Admitter = (*Store)(nil)
)

// Open opens the store in dir, which it makes if needed, for this process alone: ErrLocked
// names the process that has it. The time it takes does not depend on how many blobs there
// are. The caller closes the store.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, opt: o.withDefaults(), started: time.Now(), whole: wholeMax}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("store %s: %w", dir, errors.Join(err, s.release()))
	}
	s.syncer.start(s)
	return s, nil
}

// Close waits for running syncs, syncs what is left and gives the directory free. Readers
// that are open stay usable.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.syncer.halt()
	return errors.Join(s.Sync(), s.release())
}

// Stats returns the counters so far.
func (s *Store) Stats() Stats {
	return Stats{
		Checked:  s.checked.Load(),
		Damaged:  s.damaged.Load(),
		Lost:     s.lost.Load(),
		Syncs:    s.syncs.Load(),
		Unsynced: s.syncer.waiting(),
		Marks:    s.marks.len(),
	}
}

// Open returns blob d, or blob.ErrNotFound. A blob whose check does not hold any more is
// hashed before Open returns, if it is not larger than 8 MiB, else while it is read.
func (s *Store) Open(ctx context.Context, d digest.Digest) (blob.Reader, error) {
	k, ok := digest.KeyOf(d)
	if !ok {
		return nil, fmt.Errorf("%w: %s", blob.ErrNotFound, d)
	}
	o, err := s.find(k, d)
	if err != nil {
		return nil, err
	}
	if s.marks.holds(k, o.id, s.now()) {
		return newReader(o), nil
	}
	if o.id.size > s.whole && o.id.changed <= s.suspect {
		return &checkedReader{store: s, opened: o}, nil
	}
	err = s.check(ctx.Done(), o)
	if errors.Is(err, errGivenUp) {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, o.f.Close())
	}
	return newReader(o), nil
}

// An opened is a blob file and what it was when it was opened.
type opened struct {
	k  key
	d  digest.Digest
	f  *os.File
	id ident
}

// find opens the file of d and takes its identity.
func (s *Store) find(k key, d digest.Digest) (opened, error) {
	bin, err := s.bin(k[0])
	if errors.Is(err, fs.ErrNotExist) {
		return opened{}, fmt.Errorf("%w: %s", blob.ErrNotFound, d)
	}
	if err != nil {
		return opened{}, fmt.Errorf("open blob %s: %w", d, err)
	}
	// Not to block on what was swapped in; and it spares five system calls: without it,
	// package os tries whether the file can be polled.
	f, err := bin.OpenFile(d.Hex(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return opened{}, fmt.Errorf("%w: %s", blob.ErrNotFound, d)
	}
	if err != nil {
		return opened{}, s.unopenable(k, d, err)
	}
	info, err := f.Stat()
	if err != nil {
		return opened{}, fmt.Errorf("open blob %s: %w", d, errors.Join(err, f.Close()))
	}
	o := opened{k, d, f, identOf(info)}
	if !info.Mode().IsRegular() {
		return opened{}, errors.Join(s.setAside(o, errors.New("not a regular file")), f.Close())
	}
	return o, nil
}

// unopenable returns the error for a blob that could not be opened. Only we make names
// here, so one that is not a file was swapped in.
func (s *Store) unopenable(k key, d digest.Digest, err error) error {
	info, statErr := s.stat(k)
	if statErr == nil && !info.Mode().IsRegular() {
		return s.setAside(opened{k: k, d: d}, errors.New("not a regular file"))
	}
	return fmt.Errorf("open blob %s: %w", d, err)
}

// Has reports whether d is stored, and its size in bytes. It does not check the bytes.
func (s *Store) Has(_ context.Context, d digest.Digest) (int64, bool) {
	k, ok := digest.KeyOf(d)
	if !ok {
		return 0, false
	}
	info, err := s.stat(k)
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	return info.Size(), true
}

// Delete removes d. Readers that are open go on. Deleting what is absent is no error.
func (s *Store) Delete(_ context.Context, d digest.Digest) error {
	k, ok := digest.KeyOf(d)
	if !ok {
		return nil
	}
	name := s.name(k)
	name.Lock()
	defer name.Unlock()
	s.marks.drop(k)
	if err := s.root.Remove(blobPath(d.Hex())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob %s: %w", d, err)
	}
	return nil
}

// All yields every stored digest. Blobs that come or go meanwhile may be missed.
func (s *Store) All(ctx context.Context) iter.Seq2[digest.Digest, error] {
	return func(yield func(digest.Digest, error) bool) {
		for i := range s.bins {
			if !s.list(ctx, byte(i), yield) {
				return
			}
		}
	}
}

// name returns the lock under which the name of blob k changes.
func (s *Store) name(k key) *sync.Mutex { return &s.names[int(k[31])%len(s.names)] }

// now returns the time since the store was opened. It does not jump with the clock.
func (s *Store) now() time.Duration { return time.Since(s.started) }
