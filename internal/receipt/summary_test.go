package receipt_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sutler/internal/receipt"
)

func TestSummaryAdd(t *testing.T) {
	for _, tt := range []struct {
		name string
		line receipt.Line
		want receipt.Summary
	}{
		{"hit", receipt.Line{Outcome: "hit", Bytes: 10, Size: 10, Trust: "signed"}, receipt.Summary{Files: 1, Bytes: 10, FromStore: 10, Verified: 1}},
		{"revalidated", receipt.Line{Outcome: "revalidated", Bytes: 10, Size: 10, Trust: "stated"}, receipt.Summary{Files: 1, Bytes: 10, FromStore: 10, Verified: 1}},
		{"stale", receipt.Line{Outcome: "stale", Bytes: 10, Size: 10, Trust: "transport"}, receipt.Summary{Files: 1, Bytes: 10, FromStore: 10}},
		{"miss", receipt.Line{Outcome: "miss", Bytes: 10, Size: 10, Upstream: 12, Trust: "unvouched"}, receipt.Summary{Files: 1, Bytes: 10, Downloaded: 1, Upstream: 12, Unvouched: 1}},
		{"joined another's download", receipt.Line{Outcome: "joined", Bytes: 10, Size: 10}, receipt.Summary{Files: 1, Bytes: 10}},
		{"empty file", receipt.Line{Outcome: "miss", Trust: "signed"}, receipt.Summary{Files: 1, Downloaded: 1, Verified: 1}},
		{"head only", receipt.Line{Outcome: "miss", Size: 10, Trust: "signed"}, receipt.Summary{}},
		{"client hung up", receipt.Line{Outcome: "hit", Bytes: 4, Size: 10, Trust: "signed", Error: "broken pipe"}, receipt.Summary{Bytes: 4, FromStore: 4}},
		{"passed through", receipt.Line{Outcome: "bypass", Bytes: 10, Size: -1, Upstream: 10}, receipt.Summary{Bytes: 10, Upstream: 10}},
		{"tunnel", receipt.Line{Ecosystem: "tunnel", Outcome: "bypass", Bytes: 10, Size: -1, Upstream: 10}, receipt.Summary{Bytes: 10, Upstream: 10, Tunnelled: 1}},
		{"tunnel refused", receipt.Line{Ecosystem: "tunnel", Outcome: "refused", Size: -1}, receipt.Summary{Failed: 1}},
		{"refused without size", receipt.Line{Outcome: "refused"}, receipt.Summary{Failed: 1}},
		{"bad", receipt.Line{Outcome: "bad", Bytes: 4, Size: 10, Upstream: 4, Error: "mismatch"}, receipt.Summary{Bytes: 4, Upstream: 4, Failed: 1}},
		{"absent", receipt.Line{Outcome: "error", Note: receipt.Absent, Size: -1, Error: "404 Not Found"}, receipt.Summary{}},
		{"error", receipt.Line{Outcome: "error", Size: -1, Error: "origin unavailable"}, receipt.Summary{Failed: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got receipt.Summary
			got.Add(tt.line)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("Add(%+v) differs (-want +got):\n%s", tt.line, d)
			}
		})
	}
}

func TestFinishTookIsNeverNegative(t *testing.T) {
	b := receipt.Build{Started: time.Unix(100, 0)}
	b.Finish(time.Unix(40, 0), 3)
	if b.Took != 0 || b.ExitCode != 3 {
		t.Errorf("Finish before the start: took %v, exit code %d; want 0, 3", b.Took, b.ExitCode)
	}
	if b.Finish(time.Unix(160, 0), 0); b.Took != time.Minute {
		t.Errorf("Took = %v, want one minute", b.Took)
	}
}
