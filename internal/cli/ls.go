package cli

import (
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"sutler/internal/control"
)

// ls returns the command that lists what is stored.
func (a *app) ls() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "ls [PATTERN]",
		Short: "list what is stored, or what of it has PATTERN in its URL or package name",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			match := ""
			if len(args) > 0 {
				match = args[0]
			}
			return a.reading(c.Context(), func(client *control.Client) error {
				items, err := client.Items(c.Context(), match, limit)
				if err != nil {
					return err
				}
				if items == nil {
					items = []control.Item{}
				}
				return a.print(items, func(w io.Writer) error { return writeItems(w, items) })
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 0, "at most that many; 0 for all")
	return c
}

func writeItems(w io.Writer, items []control.Item) error {
	return table(w, func(row func(...any)) {
		row("ECOSYSTEM", "KIND", "SIZE", "TRUST", "STORED", "URL")
		for _, i := range items {
			stored := humanize.Time(i.Stored)
			if !i.Present {
				stored = "evicted"
			}
			row(i.Ecosystem, i.Kind, humanize.Bytes(uint64(max(0, i.Size))), dash(i.Trust), stored, i.URL)
		}
	})
}
