package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"sutler/internal/blob"
	"sutler/internal/digest"
)

func putMismatch(t *testing.T, s blob.Store) {
	d := digest.OfBytes([]byte("promised"))
	for _, src := range []string{"delivers", "short", "promised but longer"} {
		err := s.Put(t.Context(), d, bytes.NewReader([]byte(src)), int64(len(src)))
		if !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("Put(%q) = %v, want digest.ErrMismatch", src, err)
		}
	}
	// The size is a promise too.
	if err := s.Put(t.Context(), d, bytes.NewReader([]byte("prom")), 8); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("Put(cut) = %v, want digest.ErrMismatch", err)
	}
	WantErr(t, s, d, blob.ErrNotFound)
}

func putInvalid(t *testing.T, s blob.Store) {
	for _, d := range hostile() {
		if err := s.Put(t.Context(), d, bytes.NewReader([]byte("x")), 1); !errors.Is(err, digest.ErrInvalid) {
			t.Errorf("Put(%q) = %v, want digest.ErrInvalid", d, err)
		}
	}
	if got := digests(t, s); len(got) != 0 {
		t.Errorf("stored %v", got)
	}
}

func putPrefix(t *testing.T, s blob.Store) {
	b := Bytes(100, 7)
	d := digest.OfBytes(b[:40])
	if err := s.Put(t.Context(), d, bytes.NewReader(b), 40); err != nil {
		t.Errorf("Put = %v", err)
	}
	Want(t, s, b[:40])
}

func putTwice(t *testing.T, s blob.Store) {
	b := Bytes(100, 8)
	d := Put(t, s, b)
	// Nothing is read: the blob is there.
	if err := s.Put(t.Context(), d, failing{}, int64(len(b))); err != nil {
		t.Errorf("Put(present) = %v, want nil", err)
	}
	Want(t, s, b)
}

// errRead is the error of failing.
var errRead = errors.New("source broke")

// failing is a source that cannot be read.
type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errRead }

func putReadError(t *testing.T, s blob.Store) {
	d := digest.OfBytes([]byte("hello"))
	err := s.Put(t.Context(), d, failing{}, 5)
	if !errors.Is(err, errRead) || errors.Is(err, blob.ErrFull) {
		t.Errorf("Put = %v, want the error of the source", err)
	}
	WantErr(t, s, d, blob.ErrNotFound)
}

func putCancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := digest.OfBytes([]byte("hello"))
	if err := s.Put(ctx, d, bytes.NewReader([]byte("hello")), 5); !errors.Is(err, context.Canceled) {
		t.Errorf("Put(cancelled) = %v, want context.Canceled", err)
	}
	WantErr(t, s, d, blob.ErrNotFound)
}

// A watched source looks at the store while it is read.
type watched struct {
	io.ReaderAt
	look func()
}

func (w watched) ReadAt(p []byte, off int64) (int, error) {
	w.look()
	return w.ReaderAt.ReadAt(p, off)
}

func putAtomic(t *testing.T, s blob.Store) {
	b := Bytes(1<<20, 9)
	d := digest.OfBytes(b)
	looks := 0
	err := s.Put(t.Context(), d, watched{bytes.NewReader(b), func() {
		looks++
		WantErr(t, s, d, blob.ErrNotFound)
		if _, ok := s.Has(t.Context(), d); ok {
			t.Error("Has is true while Put runs")
		}
	}}, int64(len(b)))
	if err != nil || looks == 0 {
		t.Errorf("Put = %v after %d looks", err, looks)
	}
	Want(t, s, b)
}

func putSpool(t *testing.T, s blob.Store) {
	b := Bytes(300<<10, 10)
	f := spool(t, s, b)
	if err := s.Put(t.Context(), digest.OfBytes(b), f, int64(len(b))); err != nil {
		t.Errorf("Put = %v", err)
	}
	Want(t, s, b)
	// Those who read the spool file go on.
	got := make([]byte, len(b))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, b) {
		t.Errorf("spool file after Put: %v, or other bytes", err)
	}
	// A second Put of the same file is no error.
	if err := s.Put(t.Context(), digest.OfBytes(b), f, int64(len(b))); err != nil {
		t.Errorf("second Put = %v", err)
	}
}

func putSpoolMismatch(t *testing.T, s blob.Store) {
	f := spool(t, s, []byte("delivers"))
	d := digest.OfBytes([]byte("promised"))
	if err := s.Put(t.Context(), d, f, 8); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("Put = %v, want digest.ErrMismatch", err)
	}
	WantErr(t, s, d, blob.ErrNotFound)
}

func putOtherFile(t *testing.T, s blob.Store) {
	name := filepath.Join(t.TempDir(), "theirs")
	b := Bytes(1000, 11)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // read only
	if err := s.Put(t.Context(), digest.OfBytes(b), f, 1000); err != nil {
		t.Errorf("Put = %v", err)
	}
	// Theirs stays theirs: what they do to it does not reach the store.
	if err := os.WriteFile(name, []byte("changed"), 0o600); err != nil {
		t.Errorf("their file: %v", err)
	}
	Want(t, s, b)
}

func admit(t *testing.T, s blob.Store) {
	a, ok := s.(blob.Admitter)
	if !ok {
		t.Skip("not a blob.Admitter")
	}
	b := Bytes(300<<10, 12)
	f := spool(t, s, nil)
	h := digest.NewHasher()
	src := iotest.HalfReader(bytes.NewReader(b))
	if _, err := io.Copy(io.MultiWriter(f, h), src); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is present
		d, err := a.Admit(t.Context(), f, h)
		if err != nil || d != digest.OfBytes(b) {
			t.Errorf("Admit = %s, %v; want %s", d, err, digest.OfBytes(b))
		}
	}
	Want(t, s, b)
}

func admitLength(t *testing.T, s blob.Store) {
	a, ok := s.(blob.Admitter)
	if !ok {
		t.Skip("not a blob.Admitter")
	}
	h := digest.NewHasher()
	if _, err := h.Write([]byte("whole")); err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{"", "whol", "whole and more"} {
		if _, err := a.Admit(t.Context(), spool(t, s, []byte(b)), h); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("Admit(%q) = %v, want digest.ErrMismatch", b, err)
		}
	}
	WantErr(t, s, digest.OfBytes([]byte("whole")), blob.ErrNotFound)
}

func spoolApart(t *testing.T, s blob.Store) {
	one, two := spool(t, s, []byte("one")), spool(t, s, nil)
	for f, want := range map[*os.File]int64{one: 3, two: 0} {
		if info, err := f.Stat(); err != nil || info.Size() != want {
			t.Errorf("spool file has %v, %v; want %d bytes", info, err, want)
		}
	}
}
