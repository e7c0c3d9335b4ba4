package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	if s.Failed > 0 && (terms.Strict || terms.Offline || s.ExitCode != 0) {
		r, err := client.Receipt(ctx, s.ID)
		if err != nil {
			return err
		}
		lines = r.Lines
	}
	refused := a.name(lines, outcomeRefused, "refused")
	var missing int
	switch {
	case terms.Offline:
		missing = a.name(lines, outcomeError, "offline")
	case s.ExitCode != 0: // the client may have kept the reason to itself
		a.name(slices.DeleteFunc(slices.Clone(lines), missed), outcomeError, "failed")
		a.name(lines, outcomeBad, "failed")
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
		{exitNotStored, int64(missing), "strict: not stored: %d of what the build asked for"},
	} {
		if verdict.n > 0 {
			return &exitError{code: verdict.code, err: fmt.Errorf(verdict.text, verdict.n), hints: []string{"sutler receipt show " + short(s.ID)}}
		}
	}
	return nil
}

// missed reports whether an origin does not have what was asked for. Clients say so
// themselves, and many ask for what need not be there.
func missed(l receipt.Line) bool {
	return strings.HasSuffix(l.Error, "404 Not Found") || strings.HasSuffix(l.Error, "410 Gone")
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
			a.say("sutler: %s: %s", word, strings.TrimPrefix(l.URL+": "+reason(l), ": "))
		}
	}
	if n > maxNamed {
		a.say("sutler: %s: %d more", word, n-maxNamed)
	}
	return n
}
