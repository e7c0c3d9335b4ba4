package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"sutler/internal/control"
	"sutler/internal/receipt"
)

// receipt returns the commands about what builds were served.
func (a *app) receipt() *cobra.Command {
	return group("receipt", "what builds were served", a.receiptList(), a.receiptShow())
}

func (a *app) receiptList() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "ls",
		Short: "list builds, newest first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.reading(c.Context(), func(client *control.Client) error {
				all, err := client.Builds(c.Context(), limit)
				if err != nil {
					return err
				}
				if all == nil {
					all = []receipt.Summary{} // JSON: a list, not null
				}
				return a.print(all, func(w io.Writer) error { return writeBuilds(w, all) })
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "at most that many; 0 for all")
	return c
}

func writeBuilds(w io.Writer, all []receipt.Summary) error {
	return table(w, func(row func(...any)) {
		row("RECEIPT", "STARTED", "TOOK", "EXIT", "FILES", "BYTES", "FROM STORE", "VERIFIED", "COMMAND")
		for _, s := range all {
			took, exit := "running", "-"
			if !s.Ended.IsZero() {
				took = seconds(s.Took)
			}
			if !s.Ended.IsZero() && s.ExitCode != receipt.ExitUnknown {
				exit = fmt.Sprint(s.ExitCode)
			}
			row(short(s.ID), s.Started.Local().Format(time.DateTime), took, exit, s.Files,
				humanize.Bytes(uint64(max(0, s.Bytes))), shareOf(s.FromStore, s.Bytes), fmt.Sprintf("%d/%d", s.Verified, s.Files), oneLine(s.Command))
		}
	})
}

func (a *app) receiptShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show [ID|last]",
		Short: "show each file that a build was served; last is the newest build",
		Long: `Shows each file that a build was served; last is the newest build.

OUTCOME  hit         from the store
         revalidated from the store, after the origin said that it has not changed
         stale       from the store, because the origin could not be asked
         miss        downloaded
         joined      downloaded together with somebody else's request
         bypass      passed through, not stored
         refused     refused by policy
         bad         not what was promised
         error       the origin could not be asked, or said no

TRUST    signed      a signature covers it
         stated      its digest is stated by a document that TLS vouches for
         transport   TLS alone vouches for it
         unvouched   nobody does`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return a.completeBuilds(c, len(args))
		},
		RunE: func(c *cobra.Command, args []string) error {
			id := receipt.Last
			if len(args) > 0 {
				id = args[0]
			}
			return a.reading(c.Context(), func(client *control.Client) error { return a.showReceipt(c.Context(), client, id) })
		},
	}
}

func (a *app) showReceipt(ctx context.Context, client *control.Client, id string) error {
	r, err := client.Receipt(ctx, id)
	switch {
	case errors.Is(err, control.ErrNotFound) && id == receipt.Last:
		return hint(errors.New("there is no receipt yet"), "sutler build and sutler exec leave one each")
	case errors.Is(err, control.ErrNotFound):
		return hint(fmt.Errorf("there is no receipt %q", id), "sutler receipt ls lists them")
	case err != nil:
		return err
	}
	if r.Lines == nil {
		r.Lines = []receipt.Line{}
	}
	return a.print(r, func(w io.Writer) error { return writeReceipt(w, r) })
}

func writeReceipt(w io.Writer, r control.Receipt) error {
	if err := table(w, func(row func(...any)) {
		row("OUTCOME", "TRUST", "SIZE", "DIGEST", "URL", "NOTE")
		for _, l := range r.Lines {
			note := printable(l.Note) // the last cell may be long: it says what to do
			if l.Error != "" {
				note = reason(l)
			}
			row(l.Outcome, dash(l.Trust), humanize.Bytes(uint64(max(0, l.Size))), shortDigest(string(l.Digest)), l.URL, note)
		}
	}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", summaryLine(r.Summary, nil))
	return err
}

// completeBuilds offers the names of builds.
func (a *app) completeBuilds(c *cobra.Command, args int) ([]cobra.Completion, cobra.ShellCompDirective) {
	client, err := a.client()
	if err != nil || args > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := client.Builds(c.Context(), 50)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	out := []cobra.Completion{cobra.CompletionWithDesc(receipt.Last, "the newest build")}
	for _, s := range all {
		out = append(out, cobra.CompletionWithDesc(short(s.ID), oneLine(s.Command)))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
