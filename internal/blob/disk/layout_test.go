package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sutler/internal/blob"
	"sutler/internal/blob/blobtest"
	"sutler/internal/digest"
)

// A second store on a directory is refused, with a message that says who has it.
func TestOneStoreForADirectory(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, Options{})
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("second Open = %v, want ErrLocked", err)
	}
	for _, want := range []string{dir, "process " + strconv.Itoa(os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message %q does not name %q", err, want)
		}
	}
	blobtest.Want(t, s, put(t, s, 1)) // the first is not disturbed
	ok(t, s.Close())
	ok(t, openAt(t, dir, Options{}).Close())
}

// tree returns the names and contents under dir.
func tree(t *testing.T, dir string) string {
	var out strings.Builder
	ok(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		out.WriteString(name)
		if e.Type().IsRegular() {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			out.Write(b)
		}
		return nil
	}))
	return out.String()
}

// What is not a store of this version is refused and left as it is.
func TestForeignDirectories(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		says  string
	}{
		{"newer format", map[string]string{"format": "sutler blob store 2\n", "blobs/x": "y"}, "use the version that wrote it"},
		{"not a format", map[string]string{"format": "hello\n"}, "not one of a store"},
		{"empty format", map[string]string{"format": ""}, `write the line "sutler blob store 1" into it`},
		{"format zero", map[string]string{"format": "sutler blob store 0\n"}, "not one of a store"},
		{"somebody's home", map[string]string{"tmp/x": "y", ".profile": ""}, "it holds other things (tmp …)"},
		{"blobs without format", map[string]string{"blobs/sha256/x": "y"}, "no file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range tt.files {
				ok(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
				ok(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
			}
			before := tree(t, dir)
			if _, err := Open(dir, Options{}); !errors.Is(err, ErrFormat) && !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Open = %v, want ErrFormat or ErrForeign, and %q", err, tt.says)
			}
			if after := tree(t, dir); after != before {
				t.Errorf("changed from %q to %q", before, after)
			}
		})
	}
}

// What a fresh file system has, or a start that was cut short left, is in nobody's way.
func TestAlmostEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"lost+found/x", ".keep", lockName, formatName + ".new"} {
		ok(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		ok(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	ok(t, openAt(t, dir, Options{}).Close())
}

// Open removes what a killed process left in tmp/, and nothing else.
func TestOpenClearsTmp(t *testing.T) {
	dir := t.TempDir()
	ok(t, openAt(t, dir, Options{}).Close())
	ours, theirs := filepath.Join(dir, tmpDir, tempName()), filepath.Join(dir, tmpDir, "theirs")
	for _, name := range []string{ours, theirs} {
		ok(t, os.WriteFile(name, []byte("x"), 0o600))
	}
	openAt(t, dir, Options{})
	if _, err := os.Stat(ours); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left-over file: %v, want it gone", err)
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Errorf("foreign file: %v, want it kept", err)
	}
}

// Nothing is left in tmp/ after blobs were put or refused.
func TestTmpIsEmptyAfterPut(t *testing.T) {
	for _, named := range []bool{false, true} {
		s := openAt(t, t.TempDir(), Options{})
		if named {
			withNames(s)
		}
		b := put(t, s, 1)
		if err := s.Put(t.Context(), digest.OfBytes(nil), strings.NewReader("x"), 1); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("Put = %v, want ErrMismatch", err)
		}
		blobtest.Want(t, s, b)
		if got := must(s.readDir(tmpDir))(t); len(got) != 0 {
			t.Errorf("named %v: %d files in tmp", named, len(got))
		}
	}
}

// The name of a spool file goes when the file is garbage.
func TestNamedSpoolDisappears(t *testing.T) {
	s := withNames(openAt(t, t.TempDir(), Options{}))
	func() {
		f := must(s.Spool(t.Context()))(t)
		if got := must(s.readDir(tmpDir))(t); len(got) != 1 {
			t.Fatalf("%d files in tmp, want 1", len(got))
		}
		ok(t, f.Close())
	}()
	for deadline := time.Now().Add(10 * time.Second); len(must(s.readDir(tmpDir))(t)) > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the file is still there")
		}
		runtime.GC()
	}
}

// Spool files are moved: the blob is the same file.
func TestSpoolFilesAreMoved(t *testing.T) {
	for _, named := range []bool{false, true} {
		dir := t.TempDir()
		s := openAt(t, dir, Options{})
		if named {
			withNames(s)
		} else if !s.anonymous {
			t.Log("no O_TMPFILE here: only named spool files checked")
			continue
		}
		b := blobtest.Bytes(100, 1)
		f := must(s.Spool(t.Context()))(t)
		must(f.Write(b))(t)
		ok(t, s.Put(t.Context(), digest.OfBytes(b), f, 100))
		if !os.SameFile(must(f.Stat())(t), must(os.Stat(fileOf(dir, digest.OfBytes(b))))(t)) {
			t.Errorf("named %v: the blob is a copy", named)
		}
		// A writer that goes on is noticed.
		must(f.WriteAt([]byte("X"), 50))(t)
		blobtest.WantErr(t, s, digest.OfBytes(b), blob.ErrCorrupt)
		ok(t, f.Close())
	}
}

// Admit replaces a damaged blob that nobody has noticed yet.
func TestAdmitHeals(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dir, Options{})
	b := put(t, s, 1)
	flip(3)(t, fileOf(dir, digest.OfBytes(b)))
	f := must(s.Spool(t.Context()))(t)
	defer f.Close() // moved
	h := digest.NewHasher()
	must(f.Write(b))(t)
	must(h.Write(b))(t)
	must(s.Admit(t.Context(), f, h))(t)
	blobtest.Want(t, s, b)
	if n := s.Stats().Damaged; n != 0 {
		t.Errorf("%d damaged, want the damage unseen", n)
	}
}

// Disks that cannot take a blob are told apart from other errors.
func TestStoreErr(t *testing.T) {
	for _, tt := range []struct {
		err  error
		full bool
	}{
		{syscall.ENOSPC, true},
		{syscall.EDQUOT, true},
		{&fs.PathError{Op: "write", Err: syscall.EROFS}, true},
		{&os.LinkError{Op: "linkat", Err: syscall.EIO}, true},
		{syscall.EMFILE, false},
		{fs.ErrPermission, false},
	} {
		err := storeErr("d", tt.err)
		if errors.Is(err, blob.ErrFull) != tt.full || !errors.Is(err, tt.err) {
			t.Errorf("storeErr(%v) = %v, want ErrFull: %v", tt.err, err, tt.full)
		}
	}
}

// A write to a full device is ErrFull.
func TestFullDevice(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full:", err)
	}
	defer f.Close() // nothing was written
	k, _ := digest.KeyOf(digest.OfBytes([]byte("x")))
	if err := copyTo(t.Context(), f, strings.NewReader("x"), 1, k); !errors.Is(err, blob.ErrFull) {
		t.Errorf("copyTo(full device) = %v, want ErrFull", err)
	}
}

// New blobs are synced in batches, SyncEvery after the first, and the mark says so.
func TestSyncInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := must(Open(t.TempDir(), Options{SyncEvery: time.Minute}))(t)
		for round := range int64(3) {
			for i := range 10 {
				put(t, s, uint64(round)*10+uint64(i))
			}
			if st := s.Stats(); st.Unsynced != 10 || st.Syncs != round {
				t.Errorf("before: %+v", st)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if st := s.Stats(); st.Unsynced != 0 || st.Syncs != round+1 {
				t.Errorf("after: %+v", st)
			}
		}
		if s.readSynced() == 0 {
			t.Error("no sync mark")
		}
		ok(t, s.Close())
	})
}

// Blobs that cannot be synced are given up.
func TestSyncFails(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("fails another way elsewhere")
	}
	var told []digest.Digest
	s := openAt(t, t.TempDir(), Options{SyncEvery: time.Hour, Damaged: func(d digest.Digest, _ error) { told = append(told, d) }})
	before := put(t, s, 1)
	ok(t, s.Sync())
	lost := put(t, s, 2)
	good := s.syncer.dir
	s.syncer.dir = must(s.root.Open("."))(t)
	ok(t, s.syncer.dir.Close())
	if err := s.Sync(); err == nil {
		t.Error("Sync on a closed descriptor = nil")
	}
	s.syncer.dir = good
	blobtest.WantErr(t, s, digest.OfBytes(lost), blob.ErrNotFound)
	blobtest.Want(t, s, before)
	if n := s.Stats().Lost; n != 1 || len(told) != 1 || told[0] != digest.OfBytes(lost) {
		t.Errorf("lost %d, told of %v, want 1", n, told)
	}
	ok(t, s.Sync()) // nothing left to do
}

// A closed store takes nothing more, and can be closed again.
func TestClosed(t *testing.T) {
	s := openAt(t, t.TempDir(), Options{})
	d := digest.OfBytes(put(t, s, 1))
	r := must(s.Open(t.Context(), d))(t)
	ok(t, s.Close())
	ok(t, s.Close())
	if err := s.Put(t.Context(), d, strings.NewReader(""), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("Put = %v, want ErrClosed", err)
	}
	if _, err := s.Spool(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Spool = %v, want ErrClosed", err)
	}
	if n, err := r.ReadAt(make([]byte, 100), 0); n != 100 {
		t.Errorf("open reader: %d, %v", n, err)
	}
	ok(t, r.Close())
}

// A mark from the future vouches for nothing.
func TestMarkFromTheFuture(t *testing.T) {
	s := openAt(t, t.TempDir(), Options{})
	ok(t, s.writeSmall(syncedName, encodeMark(time.Now().Add(time.Hour))))
	if got := s.readSynced(); got != 0 {
		t.Errorf("readSynced = %d, want 0", got)
	}
}

// What is accepted encodes back to the same bytes: a damaged mark is never taken for one.
func FuzzDecodeMark(f *testing.F) {
	f.Add(encodeMark(time.Unix(1700000000, 123)))
	f.Add([]byte("sutler synced 1 00000000\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, b []byte) {
		at, err := decodeMark(b)
		if err != nil && !errors.Is(err, errMark) {
			t.Errorf("decodeMark(%q) = %v, want errMark", b, err)
		}
		if err == nil && string(encodeMark(at)) != string(b) {
			t.Errorf("decodeMark(%q) = %v, which encodes to %q", b, at, encodeMark(at))
		}
	})
}

// What is accepted encodes back to the same bytes.
func FuzzDecodeFormat(f *testing.F) {
	f.Add(encodeFormat(formatVersion))
	f.Add([]byte("sutler blob store +1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeFormat(b)
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("decodeFormat(%q) = %v, want ErrFormat", b, err)
		}
		if err == nil && string(encodeFormat(v)) != string(b) {
			t.Errorf("decodeFormat(%q) = %d", b, v)
		}
	})
}

// A key is a digest: what is accepted is exactly its lower-case form.
func FuzzKeyOf(f *testing.F) {
	f.Add(string(digest.OfBytes(nil)))
	f.Add("sha256:../../../../../../../../../../../../../../../../../../../../etc/x")
	f.Fuzz(func(t *testing.T, in string) {
		if k, ok := digest.KeyOf(digest.Digest(in)); ok && string(k.Digest()) != in {
			t.Errorf("digest.KeyOf(%q) is the key of %q", in, k.Digest())
		}
	})
}
