// Package receipttest checks that a store of receipts keeps its contract: one sentence of
// it, one subtest.
package receipttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sutler/internal/digest"
	"sutler/internal/receipt"
)

// A Store is all that a store of receipts can do.
type Store interface {
	receipt.Store
	receipt.Archive
}

// Run checks receipt.Store and receipt.Archive. open returns an empty store and closes it
// when the test ends.
func Run(t *testing.T, open func(*testing.T) Store) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, Store)
	}{
		{"UnknownBuildIsNotFound", unknown},
		{"BuildReturnsWhatWasBegun", begun},
		{"EndNotesTimeAndExitCode", ended},
		{"EndOfUnknownIsNotFound", endUnknown},
		{"BeginAgainStartsAnew", beginAgain},
		{"LastIsTheNewest", last},
		{"PrefixNamesABuild", prefix},
		{"PrefixOfSeveralIsAmbiguous", ambiguous},
		{"BuildsAreNewestFirst", newest},
		{"BuildWithoutLinesSumsToNothing", noLines},
		{"LinesAreReturnedWhole", wholeLines},
		{"LinesAreInOrderOfTime", order},
		{"LinesOfOneBuildOnly", oneBuild},
		{"LinesWithoutBuildAreNotKept", noBuild},
		{"LinesMayComeBeforeBeginAndAfterEnd", anyTime},
		{"SummaryAddsUpLines", sums},
		{"UsedByNamesTheBuilds", usedBy},
		{"PruneForgetsOldBuilds", prune},
		{"AppendIsConcurrent", concurrent},
		{"DoneContextFails", done},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// epoch is when the tests happen; its nanoseconds must survive.
func epoch() time.Time { return time.Date(2026, 3, 1, 12, 30, 15, 123456789, time.UTC) }

// ID returns the identifier of the n-th build. They differ in their first digits.
func ID(n int) string { return fmt.Sprintf("%04x%028x", n, 7) }

// build returns the n-th build, which starts n minutes after the epoch.
func build(n int) receipt.Build {
	return receipt.Build{ID: ID(n), Command: fmt.Sprintf("sutler build %d", n), Started: epoch().Add(time.Duration(n) * time.Minute)}
}

// Line returns the n-th line of a build, in which nothing is zero.
func Line(id string, n int) receipt.Line {
	return receipt.Line{
		Build: id, At: epoch().Add(time.Duration(n) * time.Millisecond), Ecosystem: "npm", Method: "GET",
		URL: fmt.Sprintf("https://packages.example/%d.tgz?é=<&>", n), Package: "@scope/ünit", Version: "1.2.3",
		Digest: digest.OfBytes(fmt.Append(nil, n)), Size: 1000, Bytes: 1000, Outcome: "miss", Trust: "stated",
		Voucher: "npm https://packages.example/unit", Signer: "0123ABCD", Upstream: 1000,
		Stored: epoch().Add(-time.Hour), Error: "client hung up", Note: "two\nlines",
	}
}

func begin(t testing.TB, s Store, all ...receipt.Build) {
	t.Helper()
	for _, b := range all {
		if err := s.Begin(t.Context(), b); err != nil {
			t.Fatalf("Begin: %v", err)
		}
	}
}

// wantBuild checks what Build returns for a name.
func wantBuild(t *testing.T, s Store, name string, want receipt.Summary) {
	t.Helper()
	got, err := s.Build(t.Context(), name)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("Build(%q), %v, differs (-want +got):\n%s", name, err, d)
	}
}

func wantNone(t *testing.T, s Store, names ...string) {
	t.Helper()
	for _, name := range names {
		if b, err := s.Build(t.Context(), name); !errors.Is(err, receipt.ErrNotFound) {
			t.Errorf("Build(%q) = %+v, %v, want ErrNotFound", name, b, err)
		}
		if l, err := s.Lines(t.Context(), name); !errors.Is(err, receipt.ErrNotFound) {
			t.Errorf("Lines(%q) = %+v, %v, want ErrNotFound", name, l, err)
		}
	}
}

func wantLines(t *testing.T, s Store, id string, want ...receipt.Line) {
	t.Helper()
	got, err := s.Lines(t.Context(), id)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("Lines(%q), %v, differ (-want +got):\n%s", id, err, d)
	}
}

func unknown(t *testing.T, s Store) {
	wantNone(t, s, "", receipt.Last, ID(1))
	begin(t, s, build(1))
	wantNone(t, s, "", "0", "zzzz", ID(2), ID(1)+"0", "%%%%", "____")
}

func begun(t *testing.T, s Store) {
	begin(t, s, build(1), build(2))
	wantBuild(t, s, ID(1), receipt.Summary{Build: build(1)})
}

func ended(t *testing.T, s Store) {
	b := build(1)
	begin(t, s, b)
	b.Ended, b.ExitCode, b.Took = b.Started.Add(90*time.Second), 17, 90*time.Second
	if err := s.End(t.Context(), b.ID, b.Ended, b.ExitCode); err != nil {
		t.Fatal(err)
	}
	wantBuild(t, s, b.ID, receipt.Summary{Build: b})
}

func endUnknown(t *testing.T, s Store) {
	begin(t, s, build(1))
	for _, id := range []string{ID(2), ID(1)[:8], ""} { // no prefixes here
		if err := s.End(t.Context(), id, epoch(), 0); !errors.Is(err, receipt.ErrNotFound) {
			t.Errorf("End(%q) = %v, want ErrNotFound", id, err)
		}
	}
}

func beginAgain(t *testing.T, s Store) {
	b := build(1)
	begin(t, s, b)
	s.Append(Line(b.ID, 1))
	if err := s.End(t.Context(), b.ID, epoch().Add(time.Hour), 1); err != nil {
		t.Fatal(err)
	}
	b.Command, b.Started = "another", epoch().Add(2*time.Hour)
	begin(t, s, b)
	if got, err := s.Build(t.Context(), b.ID); err != nil || !cmp.Equal(got.Build, b) {
		t.Errorf("Build = %+v, %v, want %+v", got.Build, err, b)
	}
	wantLines(t, s, b.ID, Line(b.ID, 1))
}

func last(t *testing.T, s Store) {
	begin(t, s, build(2), build(3), build(1))
	wantBuild(t, s, receipt.Last, receipt.Summary{Build: build(3)})
}

func prefix(t *testing.T, s Store) {
	b := receipt.Build{ID: "abcd1234", Started: epoch()}
	long := receipt.Build{ID: "ffff0", Started: epoch()}
	longer := receipt.Build{ID: "ffff01", Started: epoch()}
	begin(t, s, b, long, longer)
	wantBuild(t, s, "abcd", receipt.Summary{Build: b})
	wantBuild(t, s, "ABCD12", receipt.Summary{Build: b})
	wantBuild(t, s, "ffff0", receipt.Summary{Build: long}) // itself, although another begins with it
	wantBuild(t, s, "ffff01", receipt.Summary{Build: longer})
	wantNone(t, s, "abc", "bcd1", "abcd12345", "abce")
	s.Append(Line("abcd1234", 1))
	wantLines(t, s, "abcd1", Line("abcd1234", 1))
}

func ambiguous(t *testing.T, s Store) {
	a := receipt.Build{ID: "abcd1234", Command: "first", Started: epoch()}
	b := receipt.Build{ID: "abcdffff", Command: "second", Started: epoch().Add(time.Second)}
	begin(t, s, a, b, receipt.Build{ID: "abce0000", Started: epoch()})
	_, err := s.Build(t.Context(), "abcd")
	var amb *receipt.AmbiguousError
	if !errors.As(err, &amb) {
		t.Fatalf("Build = %v, want an AmbiguousError", err)
	}
	if d := cmp.Diff([]receipt.Build{b, a}, amb.Builds); d != "" {
		t.Errorf("Builds differ (-want +got):\n%s", d)
	}
	for _, part := range []string{"abcd1234", "first", "abcdffff", "second"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not name %s", err, part)
		}
	}
	if _, err := s.Lines(t.Context(), "abcd"); !errors.As(err, &amb) {
		t.Errorf("Lines = %v, want an AmbiguousError", err)
	}
}

func newest(t *testing.T, s Store) {
	begin(t, s, build(2), build(4), build(1), build(3))
	s.Append(Line(ID(3), 1))
	three := receipt.Summary{Build: build(3)}
	three.Add(Line(ID(3), 1))
	all := []receipt.Summary{{Build: build(4)}, three, {Build: build(2)}, {Build: build(1)}}
	for _, tt := range []struct{ limit, want int }{{0, 0}, {-1, 0}, {1, 1}, {2, 2}, {4, 4}, {9, 4}} {
		got, err := s.Builds(t.Context(), tt.limit)
		if d := cmp.Diff(append([]receipt.Summary(nil), all[:tt.want]...), got); d != "" || err != nil {
			t.Errorf("Builds(%d), %v, differ (-want +got):\n%s", tt.limit, err, d)
		}
	}
}

func noLines(t *testing.T, s Store) {
	begin(t, s, build(1))
	s.Append(Line(ID(2), 1))
	wantBuild(t, s, ID(1), receipt.Summary{Build: build(1)})
	wantLines(t, s, ID(1))
}

func wholeLines(t *testing.T, s Store) {
	begin(t, s, build(1))
	bare := receipt.Line{Build: ID(1), Size: -1}
	s.Append(bare)
	s.Append(Line(ID(1), 1))
	wantLines(t, s, ID(1), bare, Line(ID(1), 1))
}

func order(t *testing.T, s Store) {
	begin(t, s, build(1))
	same := Line(ID(1), 2)
	same.URL += "later"
	for _, l := range []receipt.Line{Line(ID(1), 3), Line(ID(1), 2), same, Line(ID(1), 1)} {
		s.Append(l)
	}
	wantLines(t, s, ID(1), Line(ID(1), 1), Line(ID(1), 2), same, Line(ID(1), 3))
}

func oneBuild(t *testing.T, s Store) {
	begin(t, s, build(1), build(2))
	s.Append(Line(ID(1), 1))
	s.Append(Line(ID(2), 2))
	s.Append(Line(ID(1), 3))
	wantLines(t, s, ID(1), Line(ID(1), 1), Line(ID(1), 3))
	wantLines(t, s, ID(2), Line(ID(2), 2))
}

func noBuild(t *testing.T, s Store) {
	s.Append(Line("", 1))
	used, err := s.UsedBy(t.Context(), Line("", 1).Digest)
	if len(used) != 0 || err != nil {
		t.Errorf("UsedBy = %v, %v, want nothing", used, err)
	}
}

func anyTime(t *testing.T, s Store) {
	s.Append(Line(ID(1), 1))
	begin(t, s, build(1))
	if err := s.End(t.Context(), ID(1), epoch().Add(time.Hour), 0); err != nil {
		t.Fatal(err)
	}
	s.Append(Line(ID(1), 2))
	wantLines(t, s, ID(1), Line(ID(1), 1), Line(ID(1), 2))
}

// sums checks every combination of what a summary depends on against Summary.Add.
func sums(t *testing.T, s Store) {
	begin(t, s, build(1), build(2))
	want := receipt.Summary{Build: build(1)}
	n := 0
	for _, outcome := range []string{"hit", "revalidated", "miss", "joined", "stale", "bypass", "refused", "bad", "error", ""} {
		for _, trust := range []string{"signed", "stated", "transport", "unvouched", ""} {
			for _, rest := range []receipt.Line{{}, {Bytes: 3, Size: 7}, {Size: 7}, {Bytes: 5, Size: -1}, {Bytes: 11, Size: 11, Error: "cut"}} {
				for _, eco := range []string{"npm", "tunnel"} {
					n++
					l := rest
					l.Build, l.At, l.Ecosystem, l.Outcome, l.Trust, l.Upstream = ID(1), epoch(), eco, outcome, trust, int64(n)
					s.Append(l)
					want.Add(l)
				}
			}
		}
	}
	s.Append(Line(ID(2), 1)) // another build's
	wantBuild(t, s, ID(1), want)
	all, err := s.Builds(t.Context(), 2)
	if err != nil || len(all) != 2 || !cmp.Equal(all[1], want) {
		t.Errorf("Builds = %+v, %v, want %+v second", all, err, want)
	}
}

func usedBy(t *testing.T, s Store) {
	begin(t, s, build(1), build(2), build(3), build(4))
	x, y := Line(ID(1), 1), Line(ID(2), 1)
	s.Append(x)
	s.Append(x)                   // twice in one build
	y.Outcome, y.Bytes = "hit", 0 // its copy still was that
	s.Append(y)
	refused := Line(ID(3), 1)
	refused.Outcome = "refused"
	s.Append(refused)
	s.Append(Line(ID(4), 2)) // something else
	stranger := Line("feed", 1)
	s.Append(stranger)
	none := Line(ID(4), 3)
	none.Digest = ""
	s.Append(none)
	for _, tt := range []struct {
		d    digest.Digest
		want []receipt.Build
	}{
		{x.Digest, []receipt.Build{build(2), build(1), {ID: "feed"}}},
		{digest.OfBytes([]byte("never served")), nil},
		{"", nil},
	} {
		got, err := s.UsedBy(t.Context(), tt.d)
		if d := cmp.Diff(tt.want, got); d != "" || err != nil {
			t.Errorf("UsedBy(%q), %v, differs (-want +got):\n%s", tt.d, err, d)
		}
	}
}

func prune(t *testing.T, s Store) {
	begin(t, s, build(1), build(2), build(3))
	if err := s.End(t.Context(), ID(1), epoch().Add(time.Hour), 0); err != nil {
		t.Fatal(err)
	}
	late := Line(ID(1), 1) // of an old build, so it goes
	late.At = epoch().Add(48 * time.Hour)
	early := Line(ID(3), 2) // of a new build, so it stays
	early.At = epoch().Add(-48 * time.Hour)
	orphan, newOrphan := Line("feed", 3), Line("feed", 4)
	newOrphan.At = epoch().Add(48 * time.Hour)
	for _, l := range []receipt.Line{late, early, orphan, newOrphan, Line(ID(2), 5)} {
		s.Append(l)
	}
	n, err := s.Prune(t.Context(), build(3).Started)
	if n != 2 || err != nil {
		t.Errorf("Prune = %d, %v, want 2", n, err)
	}
	wantNone(t, s, ID(1), ID(2))
	wantLines(t, s, ID(3), early)
	for _, tt := range []struct {
		line receipt.Line
		want int
	}{{late, 0}, {early, 1}, {orphan, 0}, {newOrphan, 1}, {Line(ID(2), 5), 0}} {
		if got, err := s.UsedBy(t.Context(), tt.line.Digest); len(got) != tt.want || err != nil {
			t.Errorf("UsedBy(%s) = %v, %v, want %d builds", tt.line.URL, got, err, tt.want)
		}
	}
	if n, err := s.Prune(t.Context(), build(3).Started); n != 0 || err != nil {
		t.Errorf("Prune again = %d, %v, want 0", n, err)
	}
}

func concurrent(t *testing.T, s Store) {
	const builds, each = 4, 800 // more lines than a store is likely to write at once
	var wg sync.WaitGroup
	for b := range builds {
		begin(t, s, build(b))
		wg.Go(func() {
			for i := range each {
				s.Append(Line(ID(b), i))
			}
			if err := s.End(t.Context(), ID(b), epoch().Add(time.Hour), 0); err != nil {
				t.Errorf("End: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := s.Builds(t.Context(), 10); err != nil {
				t.Errorf("Builds: %v", err)
			}
		})
	}
	wg.Wait()
	for b := range builds {
		lines, err := s.Lines(t.Context(), ID(b))
		if len(lines) != each || err != nil {
			t.Errorf("build %d has %d lines, %v, want %d", b, len(lines), err, each)
		}
	}
}

func done(t *testing.T, s Store) {
	begin(t, s, build(1))
	s.Append(Line(ID(1), 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, buildErr := s.Build(ctx, ID(1))
	_, linesErr := s.Lines(ctx, ID(1))
	_, pruneErr := s.Prune(ctx, epoch().Add(time.Hour))
	for name, err := range map[string]error{
		"Begin": s.Begin(ctx, build(2)), "End": s.End(ctx, ID(1), epoch(), 1),
		"Build": buildErr, "Lines": linesErr, "Prune": pruneErr,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", name, err)
		}
	}
	wantNone(t, s, ID(2))
	wantLines(t, s, ID(1), Line(ID(1), 1)) // no line is lost by it
}
