package cli

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sutler/internal/ca"
	"sutler/internal/control"
	"sutler/internal/trust"
)

// ca returns the commands about the local certificate authority.
func (a *app) ca() *cobra.Command {
	return group("ca", "the local certificate authority", a.caShow(), a.caTrust(), a.caUntrust(), a.caRotate())
}

func (a *app) caShow() *cobra.Command {
	var asPEM bool
	show := &cobra.Command{
		Use:   "show",
		Short: "show the local certificate authority, the hosts it is constrained to, and who trusts it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			status, err := a.caStatus(c.Context())
			if err != nil {
				return err
			}
			return a.print(status, func(w io.Writer) error {
				if asPEM {
					_, err := io.WriteString(w, status.PEM)
					return err
				}
				h, err := a.host(status, false)
				if err != nil {
					return err
				}
				entries, err := h.Entries()
				if err != nil {
					return err
				}
				return writeCA(w, status, entries)
			})
		},
	}
	show.Flags().BoolVar(&asPEM, "pem", false, "print what clients must trust in PEM form")
	return show
}

// caStatus asks the daemon for the authority.
func (a *app) caStatus(ctx context.Context) (control.CA, error) {
	client, err := a.client()
	if err != nil {
		return control.CA{}, err
	}
	s, err := client.Status(ctx)
	return s.CA, err
}

// host returns this machine's trust stores.
func (a *app) host(status control.CA, dryRun bool) (*trust.Host, error) {
	l, err := a.load(nil)
	if err != nil {
		return nil, err
	}
	return &trust.Host{State: l.Store.State, Registries: status.Registries, Getenv: a.getenv, Say: a.say, DryRun: dryRun, LookPath: a.lookPath}, nil
}

const trustHelp = `Make programs of this host trust the local authority, outside of build steps, which trust
it without this. Images and containers are never changed.

  system      what most programs use (Debian, Ubuntu, Alpine, Fedora, RHEL, Arch, openSUSE;
              on macOS the command to run is printed)
  docker      /etc/docker/certs.d/REGISTRY/ca.crt, for pulls by the engine
  containerd  /etc/containerd/certs.d/REGISTRY/ca.crt
  java        the key store of JAVA_HOME, or of the keytool that is found
  nss         the database of this user's browsers

Without a name: system. The authority is constrained to the names of "sutler ca show".
"sutler ca untrust" undoes exactly what was done.`

func (a *app) caTrust() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:       "trust [" + strings.Join(trust.Stores(), "|") + "]...",
		Short:     "make programs of this host trust the local authority",
		Long:      trustHelp,
		ValidArgs: trust.Stores(),
		Args:      cobra.OnlyValidArgs,
		RunE: func(c *cobra.Command, stores []string) error {
			status, err := a.caStatus(c.Context())
			if err != nil {
				return err
			}
			h, err := a.host(status, dryRun)
			if err != nil {
				return err
			}
			if len(stores) == 0 {
				stores = []string{trust.System}
			}
			roots := roots(status)
			if len(roots) == 0 {
				return errors.New("there is no local authority: intercept.enabled is false")
			}
			return h.Trust(c.Context(), roots, stores...)
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	return c
}

// roots returns what clients must trust.
func roots(status control.CA) []trust.Root {
	names := []string{status.Subject}
	if status.Next != nil {
		names = append(names, status.Next.Subject)
	}
	var out []trust.Root
	text := []byte(status.PEM)
	for _, n := range names {
		b, rest := pem.Decode(text)
		if b == nil {
			break
		}
		out, text = append(out, trust.Root{Name: n, PEM: pem.EncodeToMemory(b)}), rest
	}
	return out
}

func (a *app) caUntrust() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:       "untrust [" + strings.Join(trust.Stores(), "|") + "]...",
		Short:     `undo "sutler ca trust", for all stores or for these`,
		ValidArgs: trust.Stores(),
		Args:      cobra.OnlyValidArgs,
		RunE: func(c *cobra.Command, stores []string) error {
			h, err := a.host(control.CA{}, dryRun) // the manifest says all: no daemon is needed
			if err != nil {
				return err
			}
			return h.Untrust(c.Context(), stores...)
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	return c
}

const rotateHelp = `Make the next local authority. Builds that begin from now on trust both; when the overlap
is over, the next one signs and the key of the old one is destroyed. So builds that run now
go on undisturbed. This happens by itself 45 days before the authority ends.

--now is for a key that may have been stolen: the old authority signs nothing more, and
builds that run now fail where they open further connections.`

func (a *app) caRotate() *cobra.Command {
	var at bool
	var dryRun bool
	overlap := ca.Overlap
	c := &cobra.Command{
		Use:   "rotate",
		Short: "replace the local authority without breaking running builds",
		Long:  rotateHelp,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if overlap <= 0 {
				return usage(errors.New("--overlap: write a time such as 24h, or use --now"))
			}
			if at {
				overlap = 0
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			if dryRun {
				a.say("would make another local authority, which signs from %s on", time.Now().Add(overlap).Format(time.DateTime))
				return nil
			}
			status, err := client.RotateCA(c.Context(), control.RotateRequest{Overlap: overlap})
			if err != nil {
				return err
			}
			return a.print(status, func(w io.Writer) error { return a.rotated(w, status) })
		},
	}
	c.Flags().DurationVar(&overlap, "overlap", overlap, "how long the old one goes on to sign")
	c.Flags().BoolVar(&at, "now", false, "not at all: its key may have been stolen")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	c.MarkFlagsMutuallyExclusive("overlap", "now")
	return c
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

// rotated says what a rotation means for trust stores.
func (a *app) rotated(w io.Writer, status control.CA) error {
	h, err := a.host(status, false)
	if err != nil {
		return err
	}
	entries, err := h.Entries()
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		a.say("trust stores of this host hold the old one only; run: sutler ca trust %s", strings.Join(storesOf(entries), " "))
	}
	return writeCA(w, status, entries)
}

// storesOf returns the stores of entries, each once.
func storesOf(entries []trust.Entry) []string {
	var out []string
	for _, s := range trust.Stores() {
		for _, e := range entries {
			if e.Store == s {
				out = append(out, s)
				break
			}
		}
	}
	return out
}

func writeCA(w io.Writer, ca control.CA, entries []trust.Entry) error {
	return table(w, func(row func(...any)) {
		row("fingerprint", "SHA-256 "+ca.Fingerprint)
		row("until", ca.NotAfter.Local().Format(time.DateTime))
		if n := ca.Next; n != nil {
			row("next", fmt.Sprintf("SHA-256 %s, signs from %s on", n.Fingerprint, n.Starts.Local().Format(time.DateTime)))
		}
		for _, e := range entries {
			row("trusted in", e.Store+"  "+e.Path)
		}
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
