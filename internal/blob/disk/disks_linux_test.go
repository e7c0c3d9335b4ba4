package disk

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"sutler/internal/blob"
	"sutler/internal/blob/blobtest"
	"sutler/internal/digest"
)

// mounted returns a file system of its own, of 4 MiB, or skips the test.
func mounted(t *testing.T) string {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("may not mount a file system:", err)
	}
	t.Cleanup(func() { ok(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// wantFull puts b by each way and wants ErrFull, with nothing left behind.
func wantFull(t *testing.T, s *Store, b []byte) {
	t.Helper()
	err := s.Put(t.Context(), digest.OfBytes(b), bytes.NewReader(b), int64(len(b)))
	if !errors.Is(err, blob.ErrFull) {
		t.Errorf("Put = %v, want ErrFull", err)
	}
	if _, ok := s.Has(t.Context(), digest.OfBytes(b)); ok {
		t.Error("the blob is there")
	}
}

// A full disk takes nothing more, serves what it has, and heals.
func TestFullDisk(t *testing.T) {
	for _, named := range []bool{false, true} {
		s := openAt(t, mounted(t), Options{})
		if named {
			withNames(s)
		}
		kept := blobtest.Bytes(3<<20, 1)
		d := blobtest.Put(t, s, kept)
		more := blobtest.Bytes(2<<20, 2)
		wantFull(t, s, more)
		blobtest.Want(t, s, kept)
		ok(t, s.Delete(t.Context(), d))
		blobtest.Put(t, s, more)
		blobtest.Want(t, s, more)
		ok(t, s.Close())
	}
}

// A disk that has become read-only serves what it has; a damaged blob is never served.
func TestReadOnlyDisk(t *testing.T) {
	dir := mounted(t)
	s := openAt(t, dir, Options{})
	good, bad := put(t, s, 1), digest.OfBytes(put(t, s, 2))
	flip(0)(t, fileOf(dir, bad))
	ok(t, s.Sync())
	ok(t, unix.Mount("none", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	wantFull(t, s, blobtest.Bytes(100, 3))
	if _, err := s.Spool(t.Context()); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Spool = %v, want ErrFull", err)
	}
	blobtest.Want(t, s, good)
	for range 2 {
		blobtest.WantErr(t, s, bad, blob.ErrCorrupt)
	}
	ok(t, unix.Mount("none", dir, "", unix.MS_REMOUNT, ""))
	blobtest.WantErr(t, s, bad, blob.ErrCorrupt)
	blobtest.WantErr(t, s, bad, blob.ErrNotFound)
}
