package cli

import (
	"cmp"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sutler/internal/config"
	"sutler/internal/control"
)

// prune returns the command that makes room.
func (a *app) prune() *cobra.Command {
	var r control.PruneRequest
	var size string
	c := &cobra.Command{
		Use:   "prune",
		Short: "delete the least useful files until the store keeps to its limit",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if size != "" {
				n, err := config.ParseSize(size)
				if err != nil {
					return usage(fmt.Errorf("--max-size %q: %w", size, err))
				}
				r.MaxSize = max(n, 1) // 0 in a request is the configured limit; "0" here is: empty it
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			before, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			got, err := client.Prune(c.Context(), r)
			if err != nil {
				return err
			}
			if limit := cmp.Or(r.MaxSize, before.Store.MaxSize); limit > 0 && before.Store.Bytes-got.Bytes > limit {
				a.say("files of the last seconds are kept, and the store is still larger than that; try again soon")
			}
			return a.print(got, func(w io.Writer) error { return writeRemoved(w, got, r.DryRun) })
		},
	}
	c.Flags().StringVar(&size, "max-size", "", `keep to this size instead of the configured one, for example "5GiB"`)
	c.Flags().BoolVar(&r.DryRun, "dry-run", false, "only say what would be deleted")
	return c
}

func writeRemoved(w io.Writer, got control.Removed, dryRun bool) error {
	verb := "deleted"
	if dryRun {
		verb = "would delete"
	}
	_, err := fmt.Fprintf(w, "%s %s, %s", verb, plural(got.Blobs, "file"), ibytes(got.Bytes))
	if err == nil && got.Entries > 0 {
		_, err = fmt.Fprintf(w, "; %s forgotten", entries(got.Entries))
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
