package daemon

import (
	"testing"
	"time"

	"sutler/internal/receipt"
	"sutler/internal/receipt/memory"
)

// TestTally counts answers, and remembers the last that failed.
func TestTally(t *testing.T) {
	var counted tally
	s := sink{&counted, func(string) {}, memory.New()}
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.Local)
	for _, l := range []receipt.Line{
		{Outcome: "hit", Bytes: 3}, {Outcome: "bad", URL: "https://a.example/x", Error: "digest", Bytes: 1},
		{Outcome: "error", URL: "https://b.example/y", Error: "no such host"}, {Outcome: "miss", Bytes: 2}, {Outcome: "refused", Error: "rule"},
	} {
		l.At = at
		s.Append(l)
	}
	c := counted.counters()
	if c.Bytes != 6 || c.FromStore != 3 || len(c.Answers) != 5 || c.LastError != "2020-01-02 03:04:05 https://b.example/y: no such host" {
		t.Errorf("counted %+v", c)
	}
	warm := receipt.Line{Outcome: "hit"}
	if n := testing.AllocsPerRun(100, func() { (sink{&counted, func(string) {}, nowhere{}}).Append(warm) }); n > 0 {
		t.Errorf("%v allocations for a hit", n)
	}
}

// nowhere takes lines and forgets them.
type nowhere struct{}

func (nowhere) Append(receipt.Line) {}
