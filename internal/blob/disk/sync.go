package disk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// errMark is returned for a sync mark that is not one.
var errMark = errors.New("damaged sync mark")

// clockLag is how far the clock of file times may be behind: a tick of the kernel is at
// most 10 ms. A mark that is too old costs a check; one that is too young hides a blob
// that was missed.
const clockLag = 20 * time.Millisecond

// A syncer makes new blobs durable in batches.
type syncer struct {
	dir *os.File // kept open: errors are reported once to each descriptor

	mu      sync.Mutex
	pending []key // named, not yet synced

	one  sync.Mutex // one batch at a time
	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

// open takes the descriptor that batches are synced by.
func (y *syncer) open(root *os.Root) error {
	dir, err := root.Open(".")
	y.dir = dir
	return err
}

// close gives it back.
func (y *syncer) close() error {
	if y.dir == nil {
		return nil
	}
	return y.dir.Close()
}

// start runs the loop that syncs each batch SyncEvery after its first blob.
func (y *syncer) start(s *Store) {
	y.wake, y.stop, y.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(y.done)
		for {
			select {
			case <-y.wake:
			case <-y.stop:
				return
			}
			timer := time.NewTimer(s.opt.SyncEvery)
			select {
			case <-timer.C:
				_ = s.Sync() // counted and told to Options.Damaged, blob by blob
			case <-y.stop:
				timer.Stop()
				return
			}
		}
	}()
}

// halt ends the loop and waits for it.
func (y *syncer) halt() {
	close(y.stop)
	<-y.done
}

// add has blob k synced with the next batch.
func (y *syncer) add(k key) {
	y.mu.Lock()
	y.pending = append(y.pending, k)
	y.mu.Unlock()
	select {
	case y.wake <- struct{}{}:
	default: // awake already
	}
}

// take returns what is pending and empties it.
func (y *syncer) take() []key {
	y.mu.Lock()
	defer y.mu.Unlock()
	batch := y.pending
	y.pending = nil
	return batch
}

// waiting returns how many blobs are pending.
func (y *syncer) waiting() int64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return int64(len(y.pending))
}

// Sync makes all blobs durable whose Put has returned. If that fails, they are given up:
// the kernel may have dropped the bytes while it still shows them, and would say all is
// well if asked again. They are fetched again when they are asked for next.
func (s *Store) Sync() error {
	s.syncer.one.Lock()
	defer s.syncer.one.Unlock()
	batch := s.syncer.take()
	if len(batch) == 0 {
		return nil
	}
	before := time.Now().Add(-clockLag)
	s.syncs.Add(1)
	if err := syncAll(s.syncer.dir, batch, s); err != nil {
		return s.giveUp(batch, fmt.Errorf("sync: %w", err))
	}
	if err := s.writeSmall(syncedName, encodeMark(before)); err != nil {
		return fmt.Errorf("store %s: sync mark: %w", s.dir, err) // the old one is safe
	}
	return nil
}

// giveUp removes blobs that could not be synced.
func (s *Store) giveUp(batch []key, cause error) error {
	errs := []error{fmt.Errorf("store %s: %w", s.dir, cause)}
	for _, k := range batch {
		name := s.name(k)
		name.Lock()
		s.marks.drop(k)
		err := ignoreMissing(s.root.Remove(blobPath(k.Digest().Hex())))
		name.Unlock()
		errs = append(errs, err)
		s.lost.Add(1)
		if s.opt.Damaged != nil {
			s.opt.Damaged(k.Digest(), cause)
		}
	}
	return errors.Join(errs...)
}

// readSynced returns the time (Unix ns) up to which blobs are known to be synced: 0 if
// there is no mark, or none that can be believed.
func (s *Store) readSynced() int64 {
	b, err := s.readSmall(syncedName)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	t, markErr := decodeMark(b)
	if err != nil || markErr != nil || t.After(time.Now()) {
		return 0 // a mark from the future would vouch for everything
	}
	return t.UnixNano()
}

// markPrefix starts the sync mark; the time in Unix ns and a checksum follow.
const markPrefix = "sutler synced "

// encodeMark returns the content of the sync mark for time t.
func encodeMark(t time.Time) []byte {
	line := markPrefix + strconv.FormatInt(t.UnixNano(), 10)
	return fmt.Appendf(nil, "%s %08x\n", line, crc32.ChecksumIEEE([]byte(line)))
}

// decodeMark reads the content of the sync mark.
func decodeMark(b []byte) (time.Time, error) {
	rest, ok := strings.CutPrefix(string(b), markPrefix)
	number, _, _ := strings.Cut(rest, " ")
	ns, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return time.Time{}, errMark
	}
	if t := time.Unix(0, ns); string(encodeMark(t)) == string(b) {
		return t, nil
	}
	return time.Time{}, errMark
}
