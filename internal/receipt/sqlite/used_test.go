package sqlite

import (
	"testing"
	"time"

	"sutler/internal/digest"
	"sutler/internal/receipt"
)

func TestUsedSince(t *testing.T) {
	s := open(t, file(t))
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	old, young, failed := digest.OfBytes([]byte("old")), digest.OfBytes([]byte("young")), digest.OfBytes([]byte("failed"))
	s.Append(receipt.Line{Build: "beef", At: at, Digest: old, Outcome: "hit", Bytes: 1})
	s.Append(receipt.Line{Build: "beef", At: at.Add(time.Hour), Digest: young, Outcome: "hit", Bytes: 1})
	s.Append(receipt.Line{Build: "beef", At: at.Add(time.Hour), Digest: failed, Outcome: "bad"})
	s.Append(receipt.Line{Build: "beef", At: at.Add(time.Hour), Outcome: "hit"})
	used, err := s.UsedSince(t.Context(), at.Add(time.Minute))
	if err != nil || len(used) != 1 || !used[young] {
		t.Errorf("UsedSince = %v, %v; want only %s", used, err, young)
	}
}
