package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sutler/internal/attach"
	"sutler/internal/attach/tools"
	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/all"
	"sutler/internal/ecosystem/oci"
	"sutler/internal/netfilter"
	"sutler/internal/ociruntime"
	"sutler/internal/ociruntime/program"
	"sutler/internal/settings"
)

// attachFlags are what attach and detach, up and down have in common.
type attachFlags struct {
	yes, dryRun, show, all bool
	registries             []string
	via                    string
}

// attach returns the command that makes programs of this machine use sutler.
func (a *app) attach() *cobra.Command {
	var f attachFlags
	c := &cobra.Command{
		Use:   "attach [TOOL…]",
		Short: "make docker and other programs of this machine use sutler; without a TOOL: what is attached",
		Long: `attach changes the settings of programs so that they use sutler, keeping everything else
in their files, and proves that it works; if not, everything is put back. It is undone by
"sutler detach", byte for byte.

  sutler attach                           what is attached, what is found here
  sutler attach docker                    the engine asks sutler for base images
  sutler attach runtime                   the steps of plain builds are served, on every engine
  sutler attach podman buildkit           these engines ask sutler for base images
  sutler attach apt pip npm shell         these clients go through the proxy, on this machine
  sutler attach docker --dry-run          what would change, as a diff
  sutler attach docker --show             what to paste, if you prefer to do it yourself
  sutler attach dns                       containers on all bridges are led to sutler by names
  sutler attach dns --via daemon.json     docker's containers ask sutler's resolver (needs a restart of docker)

A reload is done without asking. Docker is restarted only if you agree, or with -y.`,
	}
	c.Flags().BoolVar(&f.all, "all", false, "everything for builds that is found here: docker, runtime, podman (with buildah and skopeo), buildkit")
	c.Flags().BoolVar(&f.show, "show", false, "print what to do by hand, and do nothing")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "print what would change as a unified diff, and do nothing")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "agree to a restart where it gives more than a reload")
	c.Flags().StringSliceVar(&f.registries, "registry", nil, "registry host whose connections end at sutler: have docker trust its CA there; may be repeated")
	c.Flags().StringVar(&f.via, "via", "", `for dns: "daemon.json" sets docker's own settings instead`)
	c.RunE = func(c *cobra.Command, names []string) error {
		l, err := a.load(nil)
		if err != nil {
			return err
		}
		if len(names) == 0 && !f.all {
			return a.listAttached(c.Context(), l.Config)
		}
		return a.attachNamed(c.Context(), l.Config, names, f)
	}
	return c
}

// detach returns the command that undoes attach.
func (a *app) detach() *cobra.Command {
	var f attachFlags
	var forget bool
	c := &cobra.Command{
		Use:   "detach TOOL…",
		Short: "take sutler's settings out of programs again; what others changed since stays",
	}
	c.Flags().BoolVar(&f.all, "all", false, "everything that is attached")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "print what would change as a unified diff, and do nothing")
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "agree to a restart where a reload is not enough")
	c.Flags().BoolVar(&forget, "forget", false, "leave the files as they are and forget what was changed")
	c.RunE = func(c *cobra.Command, names []string) error {
		if len(names) == 0 && !f.all {
			return usage(errors.New("detach what? name a tool, or --all"))
		}
		l, err := a.load(nil)
		if err != nil {
			return err
		}
		if forget {
			return a.forget(c.Context(), l.Config, names)
		}
		found, err := a.detachNamed(c.Context(), l.Config, names, f)
		if err == nil && !found {
			err = &exitError{code: exitNotRunning, err: errors.New(strings.TrimSpace(strings.Join(names, ", ") + " not attached")), hints: []string{`"sutler attach" says what is`}}
		}
		return err
	}
	return c
}

// attacher returns what attaches, with the user's consent to restarts.
func (a *app) attacher(c config.Config, f attachFlags) *attach.Attacher {
	at := &attach.Attacher{Machine: a.machine(c), Dir: filepath.Join(c.Store.State, "attach"), DryRun: f.dryRun}
	switch {
	case f.yes:
		at.Consent = func(string) bool { return true }
	case terminal(a.Stdin) && terminal(a.Stderr):
		at.Consent = a.confirm
	}
	if terminal(a.Stderr) {
		at.Progress = func(text string) { a.say("  … %s", text) }
	}
	return at
}

// machine says where tools live.
func (a *app) machine(c config.Config) attach.Machine {
	return attach.Machine{Root: c.Attach.Root, Home: a.getenv("HOME"), System: a.place().System, Getenv: a.getenv, Bridge: attach.Bridge()}
}

// confirm asks a question on the terminal; anything but yes is no.
func (a *app) confirm(question string) bool {
	_, _ = fmt.Fprintf(a.Stderr, "%s [y/N] ", question) // the answer will be no
	answer, _ := bufio.NewReader(a.Stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// tools returns all tools that can be attached.
func (a *app) tools(c config.Config) []attach.Tool {
	return attach.Tools(a.machine(c), attach.Settings{DockerRestart: c.Attach.DockerRestart, BuildKitRestart: c.Attach.BuildKitRestart})
}

// selected returns the tools that names mean: "docker" is all kinds of it. No names are
// all tools.
func (a *app) selected(c config.Config, names []string) ([]attach.Tool, error) {
	all := a.tools(c)
	if len(names) == 0 {
		return all, nil
	}
	named := a.named(c)
	var out []attach.Tool
	for _, n := range names {
		n, count := attach.Canonical(n), len(out)
		for _, t := range all {
			if t.Name() == n || strings.HasPrefix(t.Name(), n+"-") {
				out = append(out, t)
			}
		}
		for _, t := range named {
			if t.Name() == n {
				out = append(out, t)
			}
		}
		if len(out) == count {
			return nil, usage(fmt.Errorf("no tool %q; there are %s", n, strings.Join(toolNames(append(all, named...)), ", ")))
		}
	}
	return out, nil
}

func toolNames(tools []attach.Tool) []string {
	out := make([]string, len(tools))
	for i, t := range tools {
		out[i] = t.Name()
	}
	return out
}

// wish says what tools are to be told, from what runs, or would.
func (a *app) wish(ctx context.Context, c config.Config, f attachFlags) (attach.Wish, error) {
	w := attach.Wish{Mirror: true, DNS: f.via == "daemon.json", Runtime: c.Attach.DockerRuntime, Registries: f.registries}
	client, err := a.client()
	if err != nil {
		return w, err
	}
	s, err := client.Status(ctx)
	if errors.Is(err, control.ErrNotRunning) && (f.dryRun || f.show) {
		s.Listen, s.DropIns, err = c.Listen, a.dropIns(), nil
	}
	if err != nil {
		return w, err
	}
	if len(s.Listen) == 0 {
		return w, errors.New("sutler serves no clients")
	}
	if _, w.Port, err = net.SplitHostPort(s.Listen[0]); err != nil {
		return w, err
	}
	w.Root = []byte(s.CA.PEM)
	w.DropIns, w.Hosts, w.StandIn = s.DropIns, triedHosts(s.CA.Names), netfilter.StandIn.String()
	w.Images = oci.New(oci.Options{}).Profile().Hosts
	files := filepath.Join(c.Steps, ociruntime.FilesName)
	if bundle := filepath.Join(files, settings.BundleName); c.Steps != "" {
		if _, err := os.Stat(bundle); err == nil {
			w.Bundle = bundle // the daemon keeps it up to date
		}
		w.Env = a.shell(w.Port, files)
		if w.Wrapper, err = program.Program(); err != nil && !errors.Is(err, program.ErrNone) {
			return w, err
		}
		if steps := strings.TrimPrefix(c.Steps, strings.TrimSuffix(c.Attach.Root, "/")); steps != ociruntime.DefaultSteps {
			w.Steps = steps
		}
	}
	if len(w.Registries) > 0 && len(w.Root) == 0 {
		return w, errors.New("--registry: sutler has no CA: it is not running, or intercept.enabled is off")
	}
	return w, nil
}

// shell returns the variables of a login shell, whose files are in that folder.
func (a *app) shell(port, files string) []tools.Variable {
	var profiles []ecosystem.Profile
	for _, e := range all.New(all.Options{}) {
		profiles = append(profiles, e.Profile())
	}
	at := "http://" + net.JoinHostPort("127.0.0.1", port)
	var out []tools.Variable
	for _, s := range settings.Env(profiles, settings.Values{Proxy: at, Native: at, Dir: files, NoProxy: settings.NoProxy}, false) {
		out = append(out, tools.Variable(s))
	}
	return out
}

// attachNamed attaches tools; those that are not here are an error only if they were named.
func (a *app) attachNamed(ctx context.Context, c config.Config, names []string, f attachFlags) error {
	if f.via != "" && f.via != "daemon.json" {
		return usage(fmt.Errorf(`--via %s: write "daemon.json", or leave it out`, f.via))
	}
	tools, err := a.selected(c, names)
	if err != nil {
		return err
	}
	w, err := a.wish(ctx, c, f)
	if err != nil {
		return err
	}
	at := a.attacher(c, f)
	var done []attach.Outcome
	var errs []error
	for _, t := range tools {
		if f.show {
			errs = append(errs, a.showPlan(ctx, t, w, len(tools) == 1))
			continue
		}
		out, err := at.Attach(ctx, t, w)
		if errors.Is(err, attach.ErrAbsent) && len(tools) > 1 {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, out)
		errs = append(errs, a.told(out))
	}
	err = errors.Join(errs...)
	if err == nil && len(done) == 0 && !f.show {
		return fmt.Errorf("nothing to attach: %s: %w", strings.Join(toolNames(tools), ", "), attach.ErrAbsent)
	}
	if a.json && !f.show {
		err = errors.Join(a.print(done, nil), err)
	}
	return a.attachHints(err)
}

// attachHints adds what the user can do.
func (a *app) attachHints(err error) error {
	var conflict *attach.ConflictError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &conflict):
		return hint(fmt.Errorf("%w\nsutler had written: %s", err, conflict.Ours), "take its settings out by hand, then: sutler detach --forget "+conflict.Tool)
	case errors.Is(err, attach.ErrNoConsent):
		return hint(err, "agree to the restart with -y")
	}
	return err
}

// showPlan prints what a person would do.
func (a *app) showPlan(ctx context.Context, t attach.Tool, w attach.Wish, only bool) error {
	p, err := t.Plan(ctx, w)
	if errors.Is(err, attach.ErrAbsent) && !only {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(attach.Show(p))
	return err
}

// told says what was done, or prints what would be.
func (a *app) told(o attach.Outcome) error {
	var errs []error
	if o.State == attach.Planned && !a.json {
		for _, c := range o.Changes {
			_, err := a.Stdout.Write(c.Diff())
			errs = append(errs, err)
		}
		if o.Did != attach.Nothing {
			a.say("would %s %s", o.Did, o.Tool)
		}
	}
	a.say("%s", outcomeLine(o))
	for _, text := range o.Checked {
		a.say("  checked: %s", text)
	}
	for _, n := range o.Notes {
		a.say("  note: %s", n)
	}
	return errors.Join(errs...)
}

// outcomeLine says in a line what was done to a tool.
func outcomeLine(o attach.Outcome) string {
	text := o.Tool + ": " + o.State
	if o.State == attach.Unchanged {
		return o.Tool + ": nothing to change"
	}
	if len(o.Files) > 0 {
		text += ": " + someFiles(o.Files)
	}
	if o.Did != attach.Nothing && o.State != attach.Planned {
		text += " (" + string(o.Did) + ")"
	}
	return text
}

// detachNamed detaches what was attached of these tools, all if there are no names. It
// works without a daemon and reports whether there was anything.
func (a *app) detachNamed(ctx context.Context, c config.Config, names []string, f attachFlags) (bool, error) {
	at := a.attacher(c, f)
	list, err := at.List()
	if err != nil {
		return false, err
	}
	tools, err := a.selected(c, names)
	if err != nil {
		return false, err
	}
	if len(names) == 0 {
		tools = append(tools, a.named(c)...)
	}
	found := false
	var done []attach.Outcome
	var errs []error
	for _, l := range list {
		i := slices.IndexFunc(tools, func(t attach.Tool) bool { return t.Name() == l.Tool })
		if i < 0 && len(names) == 0 {
			errs = append(errs, fmt.Errorf("%s: attached by another version of sutler, which can detach it", l.Tool))
		}
		if i < 0 {
			continue
		}
		found = true
		out, err := at.Detach(ctx, tools[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, out)
		errs = append(errs, a.told(out))
	}
	if a.json && len(done) > 0 {
		errs = append(errs, a.print(done, nil))
	}
	return found, a.attachHints(errors.Join(errs...))
}

// forget drops the record of tools.
func (a *app) forget(ctx context.Context, c config.Config, names []string) error {
	at := a.attacher(c, attachFlags{})
	for _, n := range names {
		if err := at.Forget(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// A toolLine is what "sutler attach" says of one tool.
type toolLine struct {
	Tool  string          `json:"tool"`
	State string          `json:"state"` // attached, half, found, absent or the reason why not
	Found *attach.Listing `json:"attached,omitempty"`
}

// listAttached shows every tool that is here, and whether it is attached.
func (a *app) listAttached(ctx context.Context, c config.Config) error {
	list, err := a.attacher(c, attachFlags{}).List()
	if err != nil {
		return err
	}
	w, err := a.wish(ctx, c, attachFlags{dryRun: true})
	if err != nil {
		return err
	}
	lines := []toolLine{}
	for _, t := range append(a.tools(c), a.named(c)...) {
		i := slices.IndexFunc(list, func(l attach.Listing) bool { return l.Tool == t.Name() })
		if i >= 0 {
			lines = append(lines, toolLine{t.Name(), attachedState(list[i]), &list[i]})
			continue
		}
		_, err := t.Plan(ctx, w)
		switch {
		case err == nil:
			lines = append(lines, toolLine{t.Name(), "found, not attached", nil})
		case !errors.Is(err, attach.ErrAbsent):
			lines = append(lines, toolLine{t.Name(), "found: " + err.Error(), nil})
		}
	}
	return a.print(lines, func(w io.Writer) error {
		if len(lines) == 0 {
			a.say("nothing to attach was found here; there are %s", strings.Join(toolNames(a.tools(c)), ", "))
		}
		return table(w, func(row func(...any)) {
			for _, l := range lines {
				row(l.Tool, l.State)
			}
		})
	})
}

// attachedState says in words what the manifest has.
func attachedState(l attach.Listing) string {
	return "attached: " + someFiles(l.Files) + attachedNote(l)
}

// attachedNote says what is not as it should be, "" if all is.
func attachedNote(l attach.Listing) string {
	text := ""
	if l.Half {
		text = "; half-way: sutler detach " + l.Tool + " puts everything back"
	}
	if len(l.Changed) > 0 {
		text += "; changed by others since: " + strings.Join(l.Changed, ", ")
	}
	return text
}

// wanted returns the tools that up attaches, none if it is to attach none.
func (a *app) wanted(c config.Config) ([]attach.Tool, error) {
	if slices.Equal(c.Attach.Tools, []string{"none"}) {
		return nil, nil
	}
	return a.selected(c, c.Attach.Tools)
}

// attachFound is the second half of up: it attaches what is found, and never because of
// it lets up fail where sutler itself runs and this user may not do more.
func (a *app) attachFound(ctx context.Context, c config.Config, f attachFlags) ([]attach.Outcome, error) {
	tools, err := a.wanted(c)
	if err != nil || len(tools) == 0 {
		return nil, err
	}
	w, err := a.wish(ctx, c, f)
	if err != nil {
		return nil, err
	}
	at := a.attacher(c, f)
	var done []attach.Outcome
	var errs []error
	for _, t := range tools {
		out, err := at.Attach(ctx, t, w)
		switch {
		case errors.Is(err, attach.ErrAbsent):
		case errors.Is(err, fs.ErrPermission) || errors.Is(err, attach.ErrNoConsent) || errors.Is(err, attach.ErrUnable):
			a.say("  ! %-12s not attached: %s", t.Name(), err)
		case err != nil:
			a.say("  ! %-12s not attached", t.Name())
			errs = append(errs, err)
		default:
			done = append(done, out)
			a.say("  %s✔%s %-12s attached                      (undo: sutler down)", a.paint("32"), a.paint("0"), t.Name())
			for _, n := range out.Notes {
				a.say("    note         %s", n)
			}
		}
	}
	return done, a.attachHints(errors.Join(errs...))
}
