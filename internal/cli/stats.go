package cli

import (
	"io"
	"maps"
	"slices"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"sutler/internal/control"
)

// stats returns the command that counts what was served.
func (a *app) stats() *cobra.Command {
	return &cobra.Command{
		Use:   "stats",
		Short: "count what was served since sutler started",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			s, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			return a.print(s.Counters, func(w io.Writer) error { return writeCounters(w, s.Counters) })
		},
	}
}

func writeCounters(w io.Writer, c control.Counters) error {
	return table(w, func(row func(...any)) {
		for _, outcome := range slices.Sorted(maps.Keys(c.Answers)) {
			row(outcome, humanize.Comma(c.Answers[outcome]))
		}
		row("bytes", humanize.Bytes(uint64(max(0, c.Bytes))))
		row("from store", humanize.Bytes(uint64(max(0, c.FromStore)))+" ("+shareOf(c.FromStore, c.Bytes)+")")
	})
}
