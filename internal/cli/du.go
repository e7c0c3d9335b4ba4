package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"sutler/internal/control"
)

// du returns the command that says what takes up how much.
func (a *app) du() *cobra.Command {
	return &cobra.Command{
		Use:   "du",
		Short: "say how much is stored, by ecosystem and kind",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.reading(c.Context(), func(client *control.Client) error { return a.usage(c.Context(), client) })
		},
	}
}

func (a *app) usage(ctx context.Context, client *control.Client) error {
	usage, err := client.Usage(ctx)
	if err != nil {
		return err
	}
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if usage == nil {
		usage = []control.Usage{}
	}
	v := struct {
		Usage []control.Usage `json:"usage"`
		Store control.Store   `json:"store"`
	}{usage, s.Store}
	return a.print(v, func(w io.Writer) error { return writeUsage(w, usage, s.Store) })
}

func writeUsage(w io.Writer, usage []control.Usage, s control.Store) error {
	return table(w, func(row func(...any)) {
		row("ECOSYSTEM", "KIND", "ENTRIES", "SIZE")
		for _, u := range usage {
			row(u.Ecosystem, u.Kind, u.Entries, ibytes(u.Bytes))
		}
		// Equal bytes under several names are stored once, so this may be less than the sum.
		row("on disk", "", s.Blobs, ibytes(s.Bytes))
	})
}
