package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sutler/internal/control"
)

// dns returns the command that shows how names are answered.
func (a *app) dns() *cobra.Command {
	var rules bool
	c := &cobra.Command{
		Use:   "dns",
		Short: "show how names are answered, as configured",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := a.load(nil)
			if err != nil {
				return err
			}
			n, err := a.Names(l.Config)
			if err != nil {
				return err
			}
			if rules {
				_, err := io.WriteString(a.Stdout, n.Rules)
				return err
			}
			return a.print(n, func(w io.Writer) error { return writeNames(w, n) })
		},
	}
	c.Flags().BoolVar(&rules, "show", false, "print the rules by which bridges are redirected, as nft reads them")
	return c
}

func writeNames(w io.Writer, n control.Names) error {
	return table(w, func(row func(...any)) {
		row("listening", orNone(strings.Join(n.Listen, ", "), "nowhere: dns.listen is empty"))
		row("redirected", orNone(strings.Join(n.Redirect, ", "), "no bridge"))
		row("upstreams", orNone(strings.Join(n.Upstreams, ", "), "none"))
		for _, z := range n.Zones {
			row(z.Kind, orNone(z.Name, ".")+"  "+strings.Join(z.By, ", "))
		}
		if n.Intercepted > 0 {
			row("intercepted", plural(int64(n.Intercepted), "host"))
		}
	})
}

// orNone returns s, or what stands for an empty one.
func orNone(s, none string) string {
	if s == "" {
		return none
	}
	return s
}
