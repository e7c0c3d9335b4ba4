package memory_test

import (
	"bytes"
	"errors"
	"testing"

	"sutler/internal/blob"
	"sutler/internal/blob/blobtest"
	"sutler/internal/blob/memory"
	"sutler/internal/digest"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return &memory.Store{} })
}

func BenchmarkStore(b *testing.B) {
	blobtest.Benchmark(b, func(*testing.B) blob.Store { return &memory.Store{} })
}

func TestDamagedBlobIsRemoved(t *testing.T) {
	s := &memory.Store{}
	d := blobtest.Put(t, s, []byte("hello"))
	if !s.Damage(d) {
		t.Fatal("Damage found no blob")
	}
	blobtest.WantErr(t, s, d, blob.ErrCorrupt)
	blobtest.WantErr(t, s, d, blob.ErrNotFound)
	if s.Damage(d) {
		t.Error("Damage found a blob that is gone")
	}
}

func TestFullStoreTakesNothing(t *testing.T) {
	s := &memory.Store{}
	s.SetFull(true)
	b := []byte("hello")
	d := digest.OfBytes(b)
	if err := s.Put(t.Context(), d, bytes.NewReader(b), 5); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Put = %v, want ErrFull", err)
	}
	s.SetFull(false)
	blobtest.Put(t, s, b)
	blobtest.Want(t, s, b)
}
