package cli

import (
	"fmt"
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

func writeCA(w io.Writer, ca control.CA) error {
	return table(w, func(row func(...any)) {
		row("fingerprint", "SHA-256 "+ca.Fingerprint)
		row("until", ca.NotAfter.Local().Format(time.DateTime))
		for _, name := range ca.Names {
			row("may answer for", name)
		}
		if len(ca.Names) == 0 {
			row("may answer for", fmt.Sprint("nobody"))
		}
	})
}
