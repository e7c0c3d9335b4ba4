package cli

import (
	"context"
	"fmt"

	"sutler/internal/control"
	"sutler/internal/receipt"
)

// maxNamed is how many of the files that a build did not get are named.
const maxNamed = 3

// The outcomes in receipts that a build may have gone on after.
const (
	outcomeBad     = "bad"
	outcomeRefused = "refused"
	outcomeError   = "error"
)

// judge says what a build did not get, and returns what a strict one fails for although it
// went well: a step may have gone on without what it was refused.
func (a *app) judge(ctx context.Context, client *control.Client, s receipt.Summary, terms control.BuildRequest) error {
	var lines []receipt.Line
	if s.Failed > 0 && (terms.Strict || terms.Offline) {
		r, err := client.Receipt(ctx, s.ID)
		if err != nil {
			return err
		}
		lines = r.Lines
	}
	refused := a.name(lines, outcomeRefused, "refused")
	var missing int
	if terms.Offline {
		missing = a.name(lines, outcomeError, "offline")
	}
	if !terms.Strict {
		return nil
	}
	bad := count(lines, outcomeBad)
	for _, verdict := range []struct {
		code int
		n    int64
		text string
	}{
		{exitUnverified, s.Unvouched + s.Tunnelled, "strict: nobody vouches for %d of what the build was served"},
		{exitUnverified, int64(bad), "strict: %d of the answers to the build were not what was promised"},
		{exitRefused, int64(refused), "strict: policy refused %d of what the build asked for"},
		{exitNotStored, int64(missing), "strict: %d of what the build asked for are not stored"},
	} {
		if verdict.n > 0 {
			return &exitError{code: verdict.code, err: fmt.Errorf(verdict.text, verdict.n), hints: []string{"sutler receipt show " + short(s.ID)}}
		}
	}
	return nil
}

// count returns how many lines have an outcome.
func count(lines []receipt.Line, outcome string) (n int) {
	for _, l := range lines {
		if l.Outcome == outcome {
			n++
		}
	}
	return n
}

// name says which files have an outcome, the first few of them, and returns how many do.
func (a *app) name(lines []receipt.Line, outcome, word string) (n int) {
	for _, l := range lines {
		if l.Outcome != outcome {
			continue
		}
		if n++; n <= maxNamed {
			a.say("sutler: %s: %s", word, oneLine(l.Error))
		}
	}
	if n > maxNamed {
		a.say("sutler: %s: %d more", word, n-maxNamed)
	}
	return n
}
