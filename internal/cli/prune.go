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
	var size, older string
	c := &cobra.Command{
		Use:   "prune",
		Short: "delete the least useful files until the store keeps to its limit",
		Long: `Deletes the least useful files until the store keeps to its limit. With --older it deletes
what no build was served and no origin confirmed for so long, and forgets it; only the digest
of what nobody vouches for is kept, so that other bytes are refused under its name.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if size != "" {
				n, err := config.ParseSize(size)
				if err != nil {
					return usage(fmt.Errorf("--max-size %q: %w", size, err))
				}
				r.MaxSize = max(n, 1) // 0 in a request is the configured limit; "0" here is: empty it
			}
			if older != "" {
				d, err := config.ParseDuration(older)
				if err != nil || d <= 0 {
					return usage(fmt.Errorf(`--older %q: write a duration, for example "90d" or "12h"`, older))
				}
				r.Older = d
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			before, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			report, finish := a.progress()
			got, err := client.Prune(c.Context(), r, report)
			finish()
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
	c.Flags().StringVar(&older, "older", "", `delete what was not used or confirmed for so long, for example "90d"`)
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
