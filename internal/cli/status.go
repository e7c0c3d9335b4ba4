package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"sutler/internal/attach"
	"sutler/internal/control"
)

// watchEvery is how often --watch looks again.
const watchEvery = 2 * time.Second

// status returns the command that shows a running daemon on one screen.
func (a *app) status() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "one screen: running? what was served, what is stored, trouble",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			if !watch {
				return a.showStatus(c.Context(), client)
			}
			return a.watch(c.Context(), func() error { return a.showStatus(c.Context(), client) })
		},
	}
	c.Flags().BoolVar(&watch, "watch", false, "look again every two seconds, until Ctrl-C")
	return c
}

// watch calls show again and again until ctx is done, on a terminal each time on a clear
// screen.
func (a *app) watch(ctx context.Context, show func() error) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if terminal(a.Stdout) {
			if _, err := io.WriteString(a.Stdout, "\x1b[H\x1b[2J"); err != nil {
				return err
			}
		}
		if err := show(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how it ends
		case <-tick.C:
		}
	}
}

func (a *app) showStatus(ctx context.Context, client *control.Client) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	var list []attach.Listing
	if l, err := a.load(nil); err == nil { // a broken configuration is in nobody's way
		if list, err = a.attacher(l.Config, attachFlags{}).List(); err != nil {
			return err
		}
	}
	return a.print(struct {
		control.Status
		Attached []attach.Listing `json:"attached,omitempty"`
	}{s, list}, func(w io.Writer) error { return writeStatus(w, s, list) })
}

func writeStatus(w io.Writer, s control.Status, attached []attach.Listing) error {
	return table(w, func(row func(...any)) {
		mode := ""
		if s.Offline {
			mode = ", offline"
		}
		row("sutler", fmt.Sprintf("%s running since %s (process %d%s)", s.Version, s.Started.Local().Format(time.DateTime), s.PID, mode))
		row("listening", strings.Join(s.Listen, ", "))
		if len(s.Led) > 0 {
			row("intercepting", strings.Join(s.Led, ", "))
		}
		if len(s.Named) > 0 {
			row("names", strings.Join(s.Named, ", "))
		}
		row("store", storeLine(s.Store))
		row("answers", answersLine(s.Counters))
		row("from store", shareOf(s.Counters.FromStore, s.Counters.Bytes)+" of "+humanize.Bytes(uint64(max(0, s.Counters.Bytes))))
		row("CA", caLine(s.CA))
		for _, t := range s.Tunnelled {
			row("tunnelled", t)
		}
		for _, l := range attached {
			row("attached", l.Tool+" since "+l.Since.Local().Format(time.DateTime)+attachedNote(l))
		}
		if s.Counters.LastError != "" {
			row("last error", s.Counters.LastError)
		}
		if len(s.Trouble) == 0 {
			row("trouble", "none")
		}
		for _, t := range s.Trouble {
			row("trouble", t)
		}
	})
}

// storeLine says where the store is and how full.
func storeLine(s control.Store) string {
	limit := "no limit"
	if s.MaxSize > 0 {
		limit = "limit " + ibytes(s.MaxSize)
	}
	return fmt.Sprintf("%s  %s in %s (%s, %s free)", s.Dir, ibytes(s.Bytes), plural(s.Blobs, "file"), limit, ibytes(s.Free))
}

// answersLine counts answers by outcome, the most frequent first.
func answersLine(c control.Counters) string {
	names := slices.SortedFunc(maps.Keys(c.Answers), func(x, y string) int {
		if d := c.Answers[y] - c.Answers[x]; d != 0 {
			return int(max(-1, min(1, d)))
		}
		return strings.Compare(x, y)
	})
	var total int64
	parts := make([]string, 0, len(names))
	for _, n := range names {
		total += c.Answers[n]
		parts = append(parts, n+" "+humanize.Comma(c.Answers[n]))
	}
	if total == 0 {
		return "none yet"
	}
	return humanize.Comma(total) + ": " + strings.Join(parts, ", ")
}

// caLine says what the local CA may do and until when.
func caLine(ca control.CA) string {
	if len(ca.Names) == 0 {
		return "none"
	}
	return fmt.Sprintf("name-constrained to %s, until %s", plural(int64(len(ca.Names)), "package host"), ca.NotAfter.Local().Format(time.DateOnly))
}

// shareOf returns part of whole in per cent, rounded so that only all is 100 %.
func shareOf(part, whole int64) string {
	if whole <= 0 || part <= 0 {
		return "0 %"
	}
	if part >= whole {
		return "100 %"
	}
	tenths := part * 1000 / whole // 9 PB fit
	if tenths%10 == 0 {
		return fmt.Sprintf("%d %%", tenths/10)
	}
	return fmt.Sprintf("%d.%d %%", tenths/10, tenths%10)
}

// ibytes writes a size in binary units.
func ibytes(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
