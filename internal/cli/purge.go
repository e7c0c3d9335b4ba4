package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sutler/internal/control"
)

// purge returns the command that forgets what is stored.
func (a *app) purge() *cobra.Command {
	var r control.PurgeRequest
	c := &cobra.Command{
		Use:   "purge PATTERN | --all",
		Short: "forget what has PATTERN in its URL or package name, and delete its files",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case r.All && len(args) == 0:
				return nil
			case r.All || len(args) != 1:
				return errors.New("purge needs one pattern, or --all")
			case strings.TrimSpace(args[0]) == "":
				return errors.New("the pattern is empty; --all purges everything")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				r.Match = args[0]
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			report, finish := a.progress()
			got, err := client.Purge(c.Context(), r, report)
			finish()
			if err != nil {
				return err
			}
			if got.Entries == 0 && !r.All {
				return hint(fmt.Errorf("nothing that is stored has %q in its URL or package", r.Match), "sutler ls shows what is stored")
			}
			return a.print(got, func(w io.Writer) error { return writeRemoved(w, got, r.DryRun) })
		},
	}
	c.Flags().BoolVar(&r.All, "all", false, "forget everything")
	c.Flags().BoolVar(&r.DryRun, "dry-run", false, "only say what would be deleted")
	return c
}
