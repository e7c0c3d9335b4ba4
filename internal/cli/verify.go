package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"sutler/internal/control"
)

// lineEvery is how often progress is told where there is no terminal.
const lineEvery = 10 * time.Second

// verify returns the command that hashes everything that is stored.
func (a *app) verify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "hash every stored file; damaged ones are set aside and fetched again when asked for",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			report, finish := a.progress()
			last, err := client.Verify(c.Context(), report)
			finish()
			if err != nil {
				return err
			}
			if err := a.print(last, func(w io.Writer) error { return writeVerified(w, last) }); err != nil {
				return err
			}
			if last.Damaged > 0 {
				return &exitError{code: exitUnverified, err: errors.New(plural(last.Damaged, "file") + " damaged"),
					hints: []string{"they were set aside and are fetched again when asked for; check the disk"}}
			}
			return nil
		},
	}
}

func writeVerified(w io.Writer, p control.Progress) error {
	_, err := fmt.Fprintf(w, "%s, %s: %d damaged\n", plural(p.Blobs, "file"), ibytes(p.Bytes), p.Damaged)
	return err
}

// progressLine says how far an operation has come. How much there is to do may not be known.
func progressLine(p control.Progress) string {
	if p.Total == 0 {
		return fmt.Sprintf("%s, %s", plural(p.Blobs, "file"), ibytes(p.Bytes))
	}
	return fmt.Sprintf("%d of %s, %s", p.Blobs, plural(p.Total, "file"), ibytes(p.Bytes))
}

// progress returns a function that shows how far a long operation has come, on a terminal
// as a bar and elsewhere as a line now and then, and one that ends the showing.
func (a *app) progress() (report func(control.Progress), finish func()) {
	if !terminal(a.Stderr) {
		last := time.Now()
		return func(p control.Progress) {
			if time.Since(last) >= lineEvery && !p.Done {
				last = time.Now()
				a.say("%s", progressLine(p))
			}
		}, func() {}
	}
	bars := mpb.New(mpb.WithOutput(a.Stderr), mpb.WithWidth(40))
	var bytes int64
	bar := bars.AddBar(0,
		mpb.PrependDecorators(decor.CountersNoUnit("%d of %d files")),
		mpb.AppendDecorators(decor.Percentage(), decor.Any(func(decor.Statistics) string {
			return "  " + humanize.IBytes(uint64(max(0, bytes)))
		})))
	return func(p control.Progress) {
		bytes = p.Bytes
		bar.SetTotal(max(p.Total, p.Blobs), false)
		bar.SetCurrent(p.Blobs)
	}, func() { bar.Abort(true); bars.Wait() }
}
