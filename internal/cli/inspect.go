package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sutler/internal/control"
)

// inspect returns the command that shows all that is known of one stored thing.
func (a *app) inspect() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect URL|KEY",
		Short: "show what is known of one stored file: digest, origin, who vouches for it, which builds got it",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			i, err := client.Item(c.Context(), args[0])
			if errors.Is(err, control.ErrNotFound) {
				return hint(fmt.Errorf("nothing is stored under %q: it wants the whole URL, or a key", args[0]), "sutler ls PATTERN lists what is stored")
			}
			if err != nil {
				return err
			}
			return a.print(i, func(w io.Writer) error { return writeItem(w, i) })
		},
	}
}

func writeItem(w io.Writer, i control.Item) error {
	return table(w, func(row func(...any)) {
		optional := func(name, value string) {
			if value != "" {
				row(name, value)
			}
		}
		row("url", i.URL)
		row("ecosystem", i.Ecosystem+", "+i.Kind)
		optional("package", strings.TrimSpace(i.Package+" "+i.Version))
		row("digest", i.Digest)
		row("size", fmt.Sprintf("%d bytes", i.Size))
		if !i.Present {
			row("bytes", "evicted; fetched again when asked for, and only accepted if they have this digest")
		}
		row("stored", i.Stored.Local().Format(time.DateTime))
		row("checked", i.Checked.Local().Format(time.DateTime))
		if !i.Fresh.IsZero() {
			row("fresh until", i.Fresh.Local().Format(time.DateTime))
		}
		optional("origin", i.Origin)
		row("trust", dash(i.Trust))
		optional("voucher", i.Voucher)
		optional("signer", i.Signer)
		optional("note", i.Note)
		optional("builds", strings.Join(i.Builds, " "))
		row("key", i.Key)
	})
}
