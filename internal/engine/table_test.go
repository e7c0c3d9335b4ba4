package engine

import (
	"errors"
	"testing"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// TestTooManyClaims keeps a document from filling the memory with what it claims.
func TestTooManyClaims(t *testing.T) {
	c := ecosystem.Claim{Digest: digest.OfBytes(nil), Size: -1}
	for name, w := range map[string]tableWriter{
		"claims": {records: make([]tableRecord, maxClaims)},
		"bytes":  {heap: make([]byte, maxHeap+1)},
	} {
		if err := w.add("toy x", c); !errors.Is(err, ecosystem.ErrInvalid) {
			t.Errorf("one of too many %s: %v", name, err)
		}
	}
	w := tableWriter{records: make([]tableRecord, maxClaims-1)}
	if err := w.add("toy x", c); err != nil {
		t.Error(err)
	}
}
