package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"sutler/internal/blob"
	"sutler/internal/digest"
)

// Put stores size bytes of src as blob d. A file made with Spool is hashed and moved,
// anything else is hashed and copied. It is not synced when Put returns; see Sync.
//
// A blob that is present is checked if its last check does not hold, and replaced if it
// is damaged.
func (s *Store) Put(ctx context.Context, d digest.Digest, src io.ReaderAt, size int64) error {
	k, ok := digest.KeyOf(d)
	if !ok {
		return fmt.Errorf("put blob: %w: %q names no SHA-256", digest.ErrInvalid, d)
	}
	if s.closed.Load() {
		return ErrClosed
	}
	if good, err := s.hasGood(ctx, k, d); good || err != nil {
		return err
	}
	if f, ok := src.(*os.File); ok {
		if t, ok := s.movable(f, size); ok {
			if err := copyTo(ctx, io.Discard, f, size, k); err != nil {
				return err
			}
			return s.link(k, t)
		}
	}
	t, err := s.newTemp()
	if err != nil {
		return storeErr(d, err)
	}
	if err = copyTo(ctx, t.f, src, size, k); err == nil {
		err = s.link(k, t)
	}
	if t.name != "" {
		err = errors.Join(err, ignoreMissing(s.root.Remove(tmpDir+"/"+t.name)))
	}
	return errors.Join(err, t.f.Close())
}

// Admit stores the spool file f as the blob that h hashed while f was written, without
// reading it again; see blob.Admitter. A blob that is present but was not checked lately is
// replaced: that costs less than to check it.
func (s *Store) Admit(ctx context.Context, f *os.File, h *digest.Hasher) (digest.Digest, error) {
	d := h.SHA256()
	k, _ := digest.KeyOf(d) // always one
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("put blob %s: %w", d, err)
	}
	if info.Size() != h.Size() {
		return "", fmt.Errorf("put blob %s: %w: the file has %d bytes, %d were hashed", d, digest.ErrMismatch, info.Size(), h.Size())
	}
	if s.closed.Load() {
		return "", ErrClosed
	}
	t, ok := s.movable(f, h.Size())
	if !ok {
		return d, s.Put(ctx, d, f, h.Size())
	}
	return d, s.link(k, t)
}

// hasGood reports whether blob k is stored, and has it checked if need be. A damaged one
// is set aside, and so not there.
func (s *Store) hasGood(ctx context.Context, k key, d digest.Digest) (bool, error) {
	if s.present(k) {
		return true, nil
	}
	o, err := s.find(k, d)
	if err == nil {
		err = errors.Join(s.check(ctx.Done(), o), o.f.Close())
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errGivenUp):
		return false, ctx.Err()
	}
	return false, nil // not there, damaged or unreadable: storing it anew tells or heals
}

// present reports whether blob k is stored and its check holds.
func (s *Store) present(k key) bool {
	info, err := s.stat(k)
	return err == nil && s.marks.holds(k, identOf(info), s.now())
}

// copyTo writes size bytes of src to w, and returns an error unless they are blob k.
func copyTo(ctx context.Context, w io.Writer, src io.ReaderAt, size int64, k key) error {
	h := digest.NewHasher()
	buf := make([]byte, min(max(size, 1), 256<<10))
	for h.Size() < size {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("put blob %s: %w", k.Digest(), err)
		}
		n, err := src.ReadAt(buf[:min(int64(len(buf)), size-h.Size())], h.Size())
		_, _ = h.Write(buf[:n]) // never fails
		if _, err := w.Write(buf[:n]); err != nil {
			return storeErr(k.Digest(), err)
		}
		if errors.Is(err, io.EOF) {
			break // complete, or too short, which the digest tells
		}
		if err != nil {
			return fmt.Errorf("put blob %s: %w", k.Digest(), err)
		}
	}
	if got := h.SHA256(); got != k.Digest() {
		return fmt.Errorf("put blob %s: %w: %d bytes have %s", k.Digest(), digest.ErrMismatch, h.Size(), got)
	}
	return nil
}

// link gives the hashed file t the name of blob k, marks it and has it synced later.
func (s *Store) link(k key, t temp) error {
	name := s.name(k)
	name.Lock()
	defer name.Unlock()
	if s.present(k) {
		return nil
	}
	if err := s.place(k, t); err != nil {
		return storeErr(k.Digest(), err)
	}
	info, err := t.f.Stat() // after the link, which changes ctime
	if err != nil {
		return fmt.Errorf("put blob %s: %w", k.Digest(), err)
	}
	s.marks.set(k, identOf(info), s.now())
	s.syncer.add(k)
	return nil
}

// place moves t to the name of blob k, over whatever has that name.
func (s *Store) place(k key, t temp) error {
	hex := k.Digest().Hex()
	bin, err := s.newBin(k[0])
	if err != nil {
		return err
	}
	if t.name == "" {
		err := linkAnonymous(t.f, bin, hex)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		// Only a rename replaces: give the file a name in tmp/ first.
		t.name = tempName()
		if err := s.linkTemp(t); err != nil {
			return err
		}
	}
	if err := s.root.Rename(tmpDir+"/"+t.name, blobPath(hex)); err != nil {
		return err
	}
	s.spools.forget(t.f)
	return nil
}

// storeErr returns the error for bytes that could not be written. blob.ErrFull tells the
// caller that it is the disk, not the bytes.
func storeErr(d digest.Digest, err error) error {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO} {
		if errors.Is(err, e) {
			return fmt.Errorf("put blob %s: %w: %w", d, blob.ErrFull, err)
		}
	}
	return fmt.Errorf("put blob %s: %w", d, err)
}

// ignoreMissing returns err unless it says that a file is not there.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
