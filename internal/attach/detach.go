package attach

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"sutler/internal/edit"
)

// A ConflictError says that settings of ours cannot be taken out of a file by themselves.
type ConflictError struct {
	Tool, Path string
	// Ours is what was written when the tool was attached.
	Ours  []byte
	Cause error
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: %s: %v; nothing was changed", e.Tool, e.Path, e.Cause)
}

// Unwrap returns the cause.
func (e *ConflictError) Unwrap() error { return e.Cause }

// Detach takes a tool's settings out again, after an attach that was finished or not. What
// others wrote meanwhile stays. Nothing attached is fine.
func (a *Attacher) Detach(ctx context.Context, t Tool) (Outcome, error) {
	out := Outcome{Tool: t.Name(), State: Unchanged}
	s, err := openStore(ctx, a.Dir)
	if err != nil {
		return out, err
	}
	defer func() { _ = s.close() }() // the lock ends with the process
	m, err := s.read()
	if err != nil {
		return out, err
	}
	state := m.Tools[t.Name()]
	if state == nil {
		return out, nil
	}
	if out.Changes, err = a.removals(m, t.Name()); err != nil {
		return out, err
	}
	for _, c := range out.Changes {
		if c.After != nil || c.same() {
			continue
		}
		if err := t.Validate(ctx, c.Path, nil); err != nil {
			return out, fmt.Errorf("%s stays: %w", c.Path, err)
		}
	}
	if a.DryRun {
		out.State, out.Did = Planned, state.Need
		return out, nil
	}
	out.Did = state.Need
	switch {
	case state.Need == Restart && !a.consent(t.Name(), "it reads this at its start only", ""):
		return out, fmt.Errorf("%s: %w: it keeps these settings until it is restarted; nothing was changed", t.Name(), ErrNoConsent)
	case state.Did == Restart && state.Need != Restart && a.consent(t.Name(), "parts of it keep the old settings until then", ""):
		out.Did = Restart
	case state.Did == Restart && state.Need != Restart:
		out.Notes = append(out.Notes, "parts of "+t.Name()+" keep asking sutler first until it is restarted; they go on without it")
	}
	if err := a.take(ctx, t, s, m, &out); err != nil {
		return out, err
	}
	out.State = Detached
	return out, nil
}

// removals returns what has to be written to take a tool out of all files.
func (a *Attacher) removals(m *manifest, tool string) ([]Change, error) {
	var out []Change
	for _, st := range m.filesOf(tool) {
		c, err := a.removal(st, tool)
		if err != nil {
			return nil, err
		}
		switch {
		case st.edit(tool) != nil:
			out = append(out, c)
		case c.Before == nil && !a.DryRun:
			a.Machine.removeDirs(st.Dirs) // made for a file that never came
		}
	}
	m.tidy() // of writes that were announced and never done
	return out, nil
}

// removal returns what has to be written to take a tool out of a file.
func (a *Attacher) removal(st *fileState, tool string) (Change, error) {
	now, err := a.Machine.read(st.Path)
	if err != nil {
		return Change{}, err
	}
	st.settle(now.data())
	left, err := st.without(tool, now.data())
	if errors.Is(err, edit.ErrConflict) {
		return Change{}, &ConflictError{Tool: tool, Path: st.Path, Ours: st.edit(tool).Record, Cause: err}
	}
	if err != nil {
		return Change{}, fmt.Errorf("%s: %w", st.Path, err)
	}
	return Change{Path: st.Path, Before: now.data(), After: left}, nil
}

// take announces, writes and activates. What fails can be done again.
func (a *Attacher) take(ctx context.Context, t Tool, s *store, m *manifest, out *Outcome) error {
	m.Tools[t.Name()].Phase = detaching
	for _, c := range out.Changes {
		m.file(c.Path).announce(t.Name(), c)
	}
	err := s.write(m)
	if err != nil {
		return err
	}
	for _, c := range out.Changes {
		if c.same() {
			continue
		}
		if out.Did == Reload {
			if c, err = a.between(ctx, t, s, m, c); err != nil {
				return fmt.Errorf("%s: %w; try again: sutler detach %s", t.Name(), err, t.Name())
			}
		}
		if err := a.Machine.put(m, c); err != nil {
			return fmt.Errorf("%s: %w", t.Name(), err)
		}
		out.Files = append(out.Files, c.Path)
	}
	if out.Did != Nothing {
		a.say("%s: %s", t.Name(), out.Did)
	}
	notes, err := t.Activate(ctx, out.Did)
	if err != nil {
		return fmt.Errorf("%s: its files are as before, but it did not read them: %w; try again: sutler detach %s", t.Name(), err, t.Name())
	}
	t.Tidy(ctx) // of an attach that was killed
	out.Notes = append(out.Notes, notes...)
	delete(m.Tools, t.Name())
	m.settleAll(t.Name())
	return s.write(m)
}

// Forget drops the record of a tool and leaves its files as they are.
func (a *Attacher) Forget(ctx context.Context, tool string) error {
	s, err := openStore(ctx, a.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }() // the lock ends with the process
	m, err := s.read()
	if err != nil || m.Tools[tool] == nil {
		return err
	}
	delete(m.Tools, tool)
	for _, f := range m.Files {
		f.drop(tool)
	}
	m.tidy()
	return s.write(m)
}

// A Listing is one tool in the manifest.
type Listing struct {
	Tool  string    `json:"tool"`
	Since time.Time `json:"since"`
	Files []string  `json:"files"`
	// Did is what made it read its files.
	Did Need `json:"did,omitempty"`
	// Half says that an attach or detach did not end.
	Half bool `json:"half,omitempty"`
	// Changed lists files that others have written to since.
	Changed []string `json:"changed,omitempty"`
}

// List returns what is attached, by name.
func (a *Attacher) List() ([]Listing, error) {
	m, err := readManifest(a.Dir)
	if err != nil {
		return nil, err
	}
	out := make([]Listing, 0, len(m.Tools))
	for _, name := range m.names() {
		l := Listing{Tool: name, Since: m.Tools[name].Since, Did: m.Tools[name].Did, Half: m.Tools[name].Phase != attached}
		for _, f := range m.filesOf(name) {
			l.Files = append(l.Files, f.Path)
			if now, err := a.Machine.read(f.Path); err != nil || digestOf(now.data()) != f.Written {
				l.Changed = append(l.Changed, f.Path)
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// Show returns what a person would do by hand to attach a tool.
func Show(p Plan) []byte {
	var b bytes.Buffer
	for _, f := range p.Files {
		fmt.Fprintf(&b, "# add to %s\n%s\n", f.Path, bytes.TrimRight([]byte(f.Snippet), "\n"))
	}
	for _, c := range p.Commands {
		fmt.Fprintf(&b, "# then run\n%s\n", c)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "# note: %s\n", n)
	}
	return b.Bytes()
}
