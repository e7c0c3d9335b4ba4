package cli

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"sutler/internal/control"
)

// ca returns the commands about the local certificate authority.
func (a *app) ca() *cobra.Command {
	var pem bool
	show := &cobra.Command{
		Use:   "show",
		Short: "show the local certificate authority and the hosts it is constrained to",
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
			return a.print(s.CA, func(w io.Writer) error {
				if pem {
					_, err := io.WriteString(w, s.CA.PEM)
					return err
				}
				return writeCA(w, s.CA)
			})
		},
	}
	show.Flags().BoolVar(&pem, "pem", false, "print the root certificate in PEM form")
	return group("ca", "the local certificate authority", show)
}

// wrap joins words into lines of at most that many bytes, if the words are not longer.
func wrap(words []string, length int) []string {
	var lines []string
	for _, w := range words {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(w) <= length {
			lines[last] += " " + w
			continue
		}
		lines = append(lines, w)
	}
	return lines
}

func writeCA(w io.Writer, ca control.CA) error {
	return table(w, func(row func(...any)) {
		row("fingerprint", "SHA-256 "+ca.Fingerprint)
		row("until", ca.NotAfter.Local().Format(time.DateTime))
		if len(ca.Names) == 0 {
			row("may answer for", "nobody")
			return
		}
		row("may answer for", plural(int64(len(ca.Names)), "host"))
		for _, line := range wrap(ca.Names, maxCell) {
			row("", line)
		}
	})
}
