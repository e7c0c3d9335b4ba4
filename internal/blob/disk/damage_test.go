package disk

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sutler/internal/blob"
	"sutler/internal/blob/blobtest"
	"sutler/internal/digest"
)

const (
	whole = 256 << 10 // instead of wholeMax, to be quick
	small = 4 << 10   // checked before Open returns
	large = whole + 9 // hashed while it is read
)

// fileOf returns where blob d lies.
func fileOf(dir string, d digest.Digest) string { return filepath.Join(dir, blobPath(d.Hex())) }

// flip returns a damage that changes the byte at off, from the end if negative.
func flip(off int) func(*testing.T, string) {
	return func(t *testing.T, name string) {
		b := must(os.ReadFile(name))(t)
		b[(off+len(b))%len(b)] ^= 0x10
		ok(t, os.WriteFile(name, b, 0o600))
	}
}

// ok stops the test on an error.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must returns a function that returns v, or stops the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

// damages are ways in which a blob file becomes another.
var damages = []struct {
	name string
	do   func(*testing.T, string)
}{
	{"first byte", flip(0)},
	{"middle byte", flip(2000)},
	{"last byte", flip(-1)},
	{"cut by one", func(t *testing.T, name string) { ok(t, os.Truncate(name, must(os.Stat(name))(t).Size()-1)) }},
	{"cut in half", func(t *testing.T, name string) { ok(t, os.Truncate(name, must(os.Stat(name))(t).Size()/2)) }},
	{"emptied", func(t *testing.T, name string) { ok(t, os.Truncate(name, 0)) }},
	{"zeroed", func(t *testing.T, name string) {
		ok(t, os.WriteFile(name, make([]byte, must(os.Stat(name))(t).Size()), 0o600))
	}},
	{"longer", func(t *testing.T, name string) { ok(t, os.Truncate(name, must(os.Stat(name))(t).Size()+1)) }},
	{"swapped", func(t *testing.T, name string) {
		b := blobtest.Bytes(int(must(os.Stat(name))(t).Size()), 99)
		ok(t, os.WriteFile(name+".other", b, 0o600))
		ok(t, os.Rename(name+".other", name))
	}},
	{"old time", func(t *testing.T, name string) {
		was := must(os.Stat(name))(t).ModTime()
		flip(7)(t, name)
		ok(t, os.Chtimes(name, was, was))
	}},
	{"directory", func(t *testing.T, name string) { ok(t, os.Remove(name)); ok(t, os.Mkdir(name, 0o700)) }},
	{"pipe", func(t *testing.T, name string) { ok(t, os.Remove(name)); ok(t, syscall.Mkfifo(name, 0o600)) }},
	{"link inside", func(t *testing.T, name string) {
		ok(t, os.Rename(name, name+".moved"))
		flip(1)(t, name+".moved")
		ok(t, os.Symlink(filepath.Base(name)+".moved", name))
	}},
	{"link outside", func(t *testing.T, name string) {
		ok(t, os.Remove(name))
		ok(t, os.Symlink("/etc/passwd", name))
	}},
}

// reads are ways to read a blob whole. Each returns what it got and the first error.
var reads = []struct {
	name string
	do   func(blob.Reader) ([]byte, error)
}{
	{"in order", func(r blob.Reader) ([]byte, error) { return io.ReadAll(r) }},
	{"at once", func(r blob.Reader) ([]byte, error) {
		b := make([]byte, r.Size())
		n, err := r.ReadAt(b, 0)
		return b[:n], err
	}},
	{"the end first", func(r blob.Reader) ([]byte, error) {
		if _, err := r.Seek(-10, io.SeekEnd); err != nil {
			return nil, err
		}
		end, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		b := make([]byte, r.Size()-10)
		n, err := r.ReadAt(b, 0)
		return append(b[:n], end...), err
	}},
	{"some twice", func(r blob.Reader) ([]byte, error) {
		if _, err := io.CopyN(io.Discard, r, 512); err != nil {
			return nil, err
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}},
	{"as HTTP does", func(r blob.Reader) ([]byte, error) {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, httptest.NewRequest(http.MethodGet, "/", nil), "", time.Time{}, r)
		if int64(w.Body.Len()) != r.Size() {
			return w.Body.Bytes(), blob.ErrCorrupt // the server breaks the connection off
		}
		return w.Body.Bytes(), nil
	}},
}

// afterShutdown makes s take all its blobs for synced: it hashes large ones while they
// are read.
func afterShutdown(s *Store) { s.suspect = time.Now().Add(time.Hour).UnixNano() }

// A damaged blob is never delivered whole, is set aside and counted, and can be stored anew.
func TestDamagedBlobs(t *testing.T) {
	for _, size := range []int{small, large} {
		for _, damage := range damages {
			for _, read := range reads {
				for _, reopen := range []bool{false, true} {
					name := damage.name + " " + read.name + map[bool]string{true: " reopened"}[reopen]
					t.Run(name, func(t *testing.T) { damaged(t, size, damage.do, read.do, reopen) })
				}
			}
		}
	}
}

func damaged(t *testing.T, size int, damage func(*testing.T, string), read func(blob.Reader) ([]byte, error), reopen bool) {
	dir, told := t.TempDir(), 0
	o := Options{Damaged: func(digest.Digest, error) { told++ }}
	s := openAt(t, dir, o)
	b := blobtest.Bytes(size, 1)
	d := blobtest.Put(t, s, b)
	if reopen {
		ok(t, s.Close())
		s = openAt(t, dir, o)
		afterShutdown(s)
	}
	damage(t, fileOf(dir, d))

	r, err := s.Open(t.Context(), d)
	if err == nil {
		var got []byte
		got, err = read(r)
		if bytes.Equal(got, b) {
			t.Error("delivered whole")
		}
		ok(t, r.Close())
	}
	if !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("error %v, want ErrCorrupt", err)
	}
	blobtest.WantErr(t, s, d, blob.ErrNotFound)
	if n := s.Stats().Damaged; n != 1 || told != 1 {
		t.Errorf("counted %d damaged, told of %d, want 1", n, told)
	}
	if _, err := os.Lstat(filepath.Join(dir, quarantineDir, d.Hex())); err != nil {
		t.Errorf("not in quarantine: %v", err)
	}
	blobtest.Put(t, s, b)
	blobtest.Want(t, s, b)
}

// A good blob of any size is delivered whole by each way of reading, with and without a mark.
func TestGoodBlobs(t *testing.T) {
	for _, size := range []int{0, 1, small, tail, whole, whole + 1, large, whole + tail, wholeMax + 1} {
		dir := t.TempDir()
		s := openAt(t, dir, Options{})
		b := blobtest.Bytes(size, 2)
		d := blobtest.Put(t, s, b)
		for _, read := range reads {
			if size < 512 {
				continue // some ways want that much
			}
			ok(t, s.Close())
			s = openAt(t, dir, Options{})
			afterShutdown(s)
			for range 2 {
				r := must(s.Open(t.Context(), d))(t)
				got, err := read.do(r)
				if err != nil || !bytes.Equal(got, b) {
					t.Errorf("%d bytes %s: got %d, %v", size, read.name, len(got), err)
				}
				if r.File() == nil {
					t.Errorf("%d bytes %s: no file after a whole read", size, read.name)
				}
				ok(t, r.Close())
			}
			// Who leaves the order has paid for a part of the reading in vain.
			if n := s.Stats().Checked; n != 1 && (n != 2 || read.name != "some twice") {
				t.Errorf("%d bytes %s: checked %d times, want once", size, read.name, n)
			}
		}
	}
}

// Parallel first readers of a blob share one check.
func TestOneCheckForAll(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, Options{})
	b := blobtest.Bytes(wholeMax, 3)
	d := blobtest.Put(t, s, b)
	ok(t, s.Close())
	s = openAt(t, dir, Options{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			r, err := s.Open(t.Context(), d)
			if err != nil {
				t.Error(err)
				return
			}
			if r.File() == nil {
				t.Error("no file after a check")
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.Stats().Checked; n != 1 {
		t.Errorf("checked %d times, want once", n)
	}
}

// A reader that is half through profits from the check of another.
func TestReaderStopsHashingOnceChecked(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, Options{})
	b := blobtest.Bytes(large, 4)
	d := blobtest.Put(t, s, b)
	ok(t, s.Close())
	s = openAt(t, dir, Options{})
	afterShutdown(s)
	r := must(s.Open(t.Context(), d))(t)
	defer r.Close() // read only
	head := make([]byte, 100)
	must(io.ReadFull(r, head))(t)
	if r.File() != nil {
		t.Error("File of an unchecked blob is not nil")
	}
	blobtest.Want(t, s, b)
	must(io.ReadFull(r, head))(t)
	if r.File() == nil || !bytes.Equal(head, b[100:200]) {
		t.Error("File is nil, or other bytes, after another reader finished")
	}
}

// A check holds for VerifyEvery.
func TestCheckRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := must(Open(t.TempDir(), Options{VerifyEvery: time.Hour}))(t)
		b := blobtest.Bytes(small, 5)
		blobtest.Put(t, s, b)
		for _, step := range []struct {
			after time.Duration
			want  int64 // checks so far
		}{{0, 0}, {59 * time.Minute, 0}, {time.Minute, 1}, {59 * time.Minute, 1}, {2 * time.Minute, 2}} {
			time.Sleep(step.after)
			blobtest.Want(t, s, b)
			if got := s.Stats().Checked; got != step.want {
				t.Errorf("%v later: checked %d times, want %d", step.after, got, step.want)
			}
		}
		ok(t, s.Close())
	})
}

// Check hashes a blob that was checked just now, and sets a damaged one aside.
func TestCheck(t *testing.T) {
	for _, size := range []int{small, large} {
		dir := t.TempDir()
		s := openAt(t, dir, Options{})
		b := blobtest.Bytes(size, 6)
		d := blobtest.Put(t, s, b)
		for want := range int64(3) {
			if n, err := s.Check(t.Context(), d); n != int64(size) || err != nil || s.Stats().Checked != want+1 {
				t.Errorf("Check = %d, %v, checked %d times; want %d, %d times", n, err, s.Stats().Checked, size, want+1)
			}
		}
		flip(9)(t, fileOf(dir, d))
		if _, err := s.Check(t.Context(), d); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("Check of a damaged blob = %v, want ErrCorrupt", err)
		}
		for _, d := range []digest.Digest{d, "sha256:00"} {
			if _, err := s.Check(t.Context(), d); !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("Check of %q = %v, want ErrNotFound", d, err)
			}
		}
	}
}

// The table of marks stays within its bound.
func TestMarksAreBounded(t *testing.T) {
	s := openAt(t, t.TempDir(), Options{Marks: markShards})
	for i := range 300 {
		blobtest.Want(t, s, put(t, s, uint64(i)))
	}
	if n := s.Stats().Marks; n > markShards || n == 0 {
		t.Errorf("%d marks, want 1 to %d", n, markShards)
	}
}

// put stores a small blob and returns it.
func put(t *testing.T, s *Store, seed uint64) []byte {
	b := blobtest.Bytes(100, seed)
	blobtest.Put(t, s, b)
	return b
}

// Quarantine keeps the newest damaged blobs only.
func TestQuarantineIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, Options{})
	for i := range quarantineMax + 5 {
		d := digest.OfBytes(put(t, s, uint64(i)))
		flip(0)(t, fileOf(dir, d))
		blobtest.WantErr(t, s, d, blob.ErrCorrupt)
	}
	if got := must(s.readDir(quarantineDir))(t); len(got) != quarantineMax {
		t.Errorf("%d files in quarantine, want %d", len(got), quarantineMax)
	}
}
