// Package blobtest checks that a blob.Store keeps its contract: one sentence of the
// contract is one subtest. Implementations only say how they are opened.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"sutler/internal/blob"
	"sutler/internal/digest"
)

// Run checks the store that open returns. open is called once for each subtest, and closes
// the store in a cleanup if it must be closed.
func Run(t *testing.T, open func(*testing.T) blob.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, blob.Store)
	}{
		{"OpenOfAbsentIsErrNotFound", openAbsent},
		{"OpenOfWhatIsNoSHA256IsErrNotFound", openInvalid},
		{"OpenHonoursItsContext", openCancelled},
		{"ReaderReadsWhatWasPut", readBack},
		{"ReaderReadsPartsInAnyOrder", readParts},
		{"ReadersAreIndependent", readersIndependent},
		{"FileIsTheBlobOrNil", fileIsBlob},
		{"EmptyBlobIsABlob", emptyBlob},
		{"PutChecksTheDigest", putMismatch},
		{"PutRefusesWhatIsNoSHA256", putInvalid},
		{"PutStoresSizeBytesOnly", putPrefix},
		{"PutOfPresentDoesNothing", putTwice},
		{"PutPassesOnReadErrors", putReadError},
		{"PutHonoursItsContext", putCancelled},
		{"PutIsAtomic", putAtomic},
		{"PutMovesASpoolFile", putSpool},
		{"PutDoesNotTrustASpoolFile", putSpoolMismatch},
		{"PutCopiesOtherFiles", putOtherFile},
		{"AdmitTakesOverAHashedSpoolFile", admit},
		{"AdmitRefusesAFileOfAnotherLength", admitLength},
		{"SpoolFilesAreEmptyAndApart", spoolApart},
		{"HasTellsTheSize", has},
		{"DeleteRemoves", deleteRemoves},
		{"DeleteOfAbsentIsNoError", deleteAbsent},
		{"DeleteLeavesOpenReaders", deleteOpen},
		{"DeletedBlobsCanBePutAgain", deletePut},
		{"AllYieldsEachDigestOnce", all},
		{"AllStopsWhenAsked", allStops},
		{"AllHonoursItsContext", allCancelled},
		{"MethodsAreSafeForConcurrentUse", concurrent},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// Bytes returns n bytes that look random and depend on n and seed only.
func Bytes(n int, seed uint64) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(n), byte(n >> 8)})
	_, _ = src.Read(b) // never fails
	return b
}

// Put stores b and returns its digest.
func Put(t testing.TB, s blob.Store, b []byte) digest.Digest {
	t.Helper()
	d := digest.OfBytes(b)
	if err := s.Put(t.Context(), d, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatalf("Put(%s) = %v", d, err)
	}
	return d
}

// Want reports an error unless s holds b.
func Want(t testing.TB, s blob.Store, b []byte) {
	t.Helper()
	r, err := s.Open(t.Context(), digest.OfBytes(b))
	if err != nil {
		t.Errorf("Open = %v, want %d bytes", err, len(b))
		return
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, b) || r.Size() != int64(len(b)) {
		t.Errorf("read %d bytes of size %d, %v; want the %d bytes put", len(got), r.Size(), err, len(b))
	}
}

// WantErr reports an error unless Open of d returns an error that is want.
func WantErr(t testing.TB, s blob.Store, d digest.Digest, want error) {
	t.Helper()
	r, err := s.Open(t.Context(), d)
	if err == nil {
		err = errors.Join(errors.New("a reader"), r.Close())
	}
	if !errors.Is(err, want) {
		t.Errorf("Open(%s) = %v, want %v", d.Short(), err, want)
	}
}

// open opens blob d, and closes it when the test ends.
func open(t *testing.T, s blob.Store, d digest.Digest) blob.Reader {
	t.Helper()
	r, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatalf("Open(%s) = %v", d, err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return r
}

func openAbsent(t *testing.T, s blob.Store) {
	WantErr(t, s, digest.OfBytes([]byte("absent")), blob.ErrNotFound)
}

// hostile are digests that must never become a file name.
func hostile() []digest.Digest {
	good := digest.OfBytes([]byte("x"))
	return []digest.Digest{
		"", "sha256:", "sha256:00", "sha256", good + "0", good[:len(good)-1],
		digest.Digest("sha256:" + strings.ToUpper(good.Hex())),
		digest.Digest("sha256:" + strings.Repeat("../", 21) + "x"),
		digest.Digest("sha256:" + strings.Repeat("\x00", 64)),
		digest.Digest("sha512:" + strings.Repeat("0", 128)),
		digest.Digest(good.Hex()),
	}
}

func openInvalid(t *testing.T, s blob.Store) {
	for _, d := range hostile() {
		WantErr(t, s, d, blob.ErrNotFound)
		if _, ok := s.Has(t.Context(), d); ok {
			t.Errorf("Has(%q) is true", d)
		}
		if err := s.Delete(t.Context(), d); err != nil {
			t.Errorf("Delete(%q) = %v, want nil", d, err)
		}
	}
}

func openCancelled(t *testing.T, s blob.Store) {
	d := Put(t, s, []byte("hello"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := s.Open(ctx, d)
	if err == nil { // a store that has it at hand need not look at the context
		err = r.Close()
	} else if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err != nil {
		t.Errorf("Open(cancelled) = %v, want a reader or context.Canceled", err)
	}
	Want(t, s, []byte("hello"))
}

func readBack(t *testing.T, s blob.Store) {
	for _, n := range []int{1, 4 << 10, 64<<10 - 1, 64 << 10, 64<<10 + 1, 9 << 20} {
		b := Bytes(n, 1)
		r := open(t, s, Put(t, s, b))
		if n > 1<<20 {
			Want(t, s, b) // iotest reads byte by byte
			continue
		}
		if err := iotest.TestReader(r, b); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func readParts(t *testing.T, s blob.Store) {
	b := Bytes(200<<10, 2)
	r := open(t, s, Put(t, s, b))
	buf := make([]byte, 1000)
	for _, off := range []int64{100 << 10, 0, 199 << 10, 5} {
		if n, err := r.ReadAt(buf, off); n != len(buf) || err != nil || !bytes.Equal(buf, b[off:off+1000]) {
			t.Errorf("ReadAt(%d) = %d, %v, or other bytes", off, n, err)
		}
	}
	if n, err := r.ReadAt(buf, int64(len(b)-10)); n != 10 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt(near the end) = %d, %v, want 10, EOF", n, err)
	}
	if at, err := r.Seek(-7, io.SeekEnd); at != int64(len(b)-7) || err != nil {
		t.Errorf("Seek = %d, %v", at, err)
	}
	if got, err := io.ReadAll(r); !bytes.Equal(got, b[len(b)-7:]) || err != nil {
		t.Errorf("read after Seek: %d bytes, %v", len(got), err)
	}
}

func readersIndependent(t *testing.T, s blob.Store) {
	b := Bytes(100, 3)
	d := Put(t, s, b)
	one, two := open(t, s, d), open(t, s, d)
	for _, r := range []io.Reader{one, two} {
		if got, err := io.ReadAll(r); !bytes.Equal(got, b) || err != nil {
			t.Errorf("read %d bytes, %v; want %d", len(got), err, len(b))
		}
	}
}

func fileIsBlob(t *testing.T, s blob.Store) {
	b := Bytes(100<<10, 4)
	r := open(t, s, Put(t, s, b))
	f := r.File()
	if f == nil {
		return
	}
	if got, err := io.ReadAll(f); !bytes.Equal(got, b) || err != nil {
		t.Errorf("file: read %d bytes, %v; want %d", len(got), err, len(b))
	}
}

func emptyBlob(t *testing.T, s blob.Store) {
	d := Put(t, s, nil)
	if size, ok := s.Has(t.Context(), d); size != 0 || !ok {
		t.Errorf("Has = %d, %v; want 0, true", size, ok)
	}
	Want(t, s, nil)
}

func has(t *testing.T, s blob.Store) {
	d := Put(t, s, Bytes(1234, 5))
	if size, ok := s.Has(t.Context(), d); size != 1234 || !ok {
		t.Errorf("Has = %d, %v; want 1234, true", size, ok)
	}
	if _, ok := s.Has(t.Context(), digest.OfBytes([]byte("absent"))); ok {
		t.Error("Has(absent) is true")
	}
}

func deleteRemoves(t *testing.T, s blob.Store) {
	d := Put(t, s, []byte("x"))
	if err := s.Delete(t.Context(), d); err != nil {
		t.Errorf("Delete = %v", err)
	}
	WantErr(t, s, d, blob.ErrNotFound)
	if _, ok := s.Has(t.Context(), d); ok {
		t.Error("Has after Delete is true")
	}
}

func deleteAbsent(t *testing.T, s blob.Store) {
	if err := s.Delete(t.Context(), digest.OfBytes([]byte("absent"))); err != nil {
		t.Errorf("Delete(absent) = %v, want nil", err)
	}
}

func deleteOpen(t *testing.T, s blob.Store) {
	b := Bytes(300<<10, 6)
	d := Put(t, s, b)
	r := open(t, s, d)
	if err := s.Delete(t.Context(), d); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if got, err := io.ReadAll(r); !bytes.Equal(got, b) || err != nil {
		t.Errorf("read %d bytes after Delete, %v; want %d", len(got), err, len(b))
	}
}

func deletePut(t *testing.T, s blob.Store) {
	b := []byte("again")
	for range 3 {
		d := Put(t, s, b)
		Want(t, s, b)
		if err := s.Delete(t.Context(), d); err != nil {
			t.Errorf("Delete = %v", err)
		}
	}
}

// digests returns all that s yields, sorted.
func digests(t *testing.T, s blob.Store) (ds []digest.Digest) {
	t.Helper()
	for d, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatalf("All: %v", err)
		}
		ds = append(ds, d)
	}
	slices.Sort(ds)
	return ds
}

func all(t *testing.T, s blob.Store) {
	if got := digests(t, s); len(got) != 0 {
		t.Errorf("All of an empty store yields %v", got)
	}
	var want []digest.Digest
	for i := range 300 {
		want = append(want, Put(t, s, Bytes(10, uint64(i))))
	}
	slices.Sort(want)
	if got := digests(t, s); !slices.Equal(got, want) {
		t.Errorf("All yields %d digests, want the %d put", len(got), len(want))
	}
}

func allStops(t *testing.T, s blob.Store) {
	for i := range 10 {
		Put(t, s, Bytes(10, uint64(i)))
	}
	n := 0
	for range s.All(t.Context()) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d digests, want 3", n)
	}
}

func allCancelled(t *testing.T, s blob.Store) {
	Put(t, s, []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range s.All(ctx) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("All(cancelled) ends with %v, want context.Canceled", last)
	}
}

func concurrent(t *testing.T, s blob.Store) {
	blobs := make([][]byte, 8)
	for i := range blobs {
		blobs[i] = Bytes(1+i*20<<10, uint64(i))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				use(t, s, blobs[(g+i)%len(blobs)], i%5 == 4)
			}
		})
	}
	wg.Wait()
	for _, b := range blobs {
		Put(t, s, b)
		Want(t, s, b)
	}
}

// use puts, reads and perhaps deletes b, which others use too.
func use(t *testing.T, s blob.Store, b []byte, remove bool) {
	d := digest.OfBytes(b)
	if err := s.Put(t.Context(), d, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Errorf("Put = %v", err)
	}
	r, err := s.Open(t.Context(), d)
	switch {
	case errors.Is(err, blob.ErrNotFound): // deleted by another
	case err != nil:
		t.Errorf("Open = %v", err)
	default:
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, b) {
			t.Errorf("read %d bytes, %v; want %d", len(got), err, len(b))
		}
	}
	if remove {
		if err := s.Delete(t.Context(), d); err != nil {
			t.Errorf("Delete = %v", err)
		}
	}
}

// spool returns a spool file of s that holds b.
func spool(t *testing.T, s blob.Store, b []byte) *os.File {
	t.Helper()
	f, err := s.Spool(t.Context())
	if err != nil {
		t.Fatalf("Spool = %v", err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("close spool file: %v", err)
		}
	})
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}
