package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"sutler/internal/receipt"
)

// shortID is how many digits of a build's name are shown; more name it too.
const shortID = 8

// summaryLine says in one line what a build was served. before is the build of the same
// command before it, nil if there is none.
func summaryLine(s receipt.Summary, before *receipt.Summary) string {
	var b strings.Builder
	if s.Files == 0 && s.Bytes == 0 {
		b.WriteString("sutler  no files were fetched")
		writeRest(&b, s, before)
		return b.String()
	}
	fmt.Fprintf(&b, "sutler  %s, %s: %s from store", plural(s.Files, "file"), humanize.Bytes(uint64(max(0, s.Bytes))), shareOf(s.FromStore, s.Bytes))
	if s.Downloaded > 0 && s.FromStore > 0 {
		fmt.Fprintf(&b, ", %d downloaded (%s)", s.Downloaded, humanize.Bytes(uint64(max(0, s.Upstream))))
	}
	fmt.Fprintf(&b, "   verified %d/%d", s.Verified, s.Files)
	if n := s.Files - s.Verified - s.Unvouched; n > 0 {
		fmt.Fprintf(&b, " (%d by TLS alone)", n)
	}
	writeRest(&b, s, before)
	return b.String()
}

// writeRest writes what is said of every build: what is not among its files, how long it took, its name.
func writeRest(b *strings.Builder, s receipt.Summary, before *receipt.Summary) {
	for _, part := range []struct {
		n    int64
		text string
	}{{s.Unvouched, "unvouched"}, {s.Tunnelled, "tunnelled"}, {s.Failed, "failed"}} {
		if part.n > 0 {
			fmt.Fprintf(b, "   %d %s", part.n, part.text)
		}
	}
	if before != nil && before.Took > 0 && s.Took > 0 {
		fmt.Fprintf(b, "   %s → %s", seconds(before.Took), seconds(s.Took))
	}
	fmt.Fprintf(b, "   receipt %s", short(s.ID))
}

// short returns the first digits of a build's name.
func short(id string) string { return id[:min(len(id), shortID)] }

// seconds writes a duration as people say it: "9 s", "2 min 5 s".
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	n := int64(d.Round(time.Second) / time.Second)
	if n < 60 {
		return fmt.Sprintf("%d s", n)
	}
	return fmt.Sprintf("%d min %d s", n/60, n%60)
}

// previous returns the newest build of the same command that went well, nil if there is none.
func previous(all []receipt.Summary, s receipt.Summary) *receipt.Summary {
	for i := range all {
		b := &all[i]
		if b.ID != s.ID && b.Command == s.Command && b.ExitCode == 0 && !b.Ended.IsZero() && b.Started.Before(s.Started) {
			return b
		}
	}
	return nil
}
