package attach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sutler/internal/edit"
)

// An Attacher attaches and detaches tools. All fields but Consent and Progress are required.
type Attacher struct {
	Machine Machine
	Dir     string // of the manifest
	// Consent asks whether something may be interrupted; question says what by. If nil,
	// nothing may.
	Consent func(question string) bool
	// Progress is told what is being done. If nil, nobody is.
	Progress func(text string)
	// DryRun has everything said and nothing done.
	DryRun bool
}

func (a *Attacher) say(format string, args ...any) {
	if a.Progress != nil {
		a.Progress(fmt.Sprintf(format, args...))
	}
}

// consent asks for a restart of a tool.
func (a *Attacher) consent(tool, why, cost string) bool {
	if a.Consent == nil {
		return false
	}
	question := "restart " + tool + " now? " + why
	if cost != "" {
		question += "; " + cost
	}
	return a.Consent(question)
}

// Attach makes a tool use sutler. Again changes nothing; with another wish, the old
// settings are replaced. If it fails, everything is as before.
func (a *Attacher) Attach(ctx context.Context, t Tool, w Wish) (Outcome, error) {
	out := Outcome{Tool: t.Name(), State: Unchanged}
	p, err := t.Plan(ctx, w)
	if err != nil {
		return out, err
	}
	s, err := openStore(ctx, a.Dir)
	if err != nil {
		return out, err
	}
	defer func() { _ = s.close() }() // the lock ends with the process
	m, err := s.read()
	if err != nil {
		return out, err
	}
	out.Changes, err = a.changes(m, t.Name(), p)
	if err != nil {
		return out, err
	}
	out.Notes = p.Notes
	half := m.Tools[t.Name()] != nil && m.Tools[t.Name()].Phase != attached
	if len(out.Changes) == 0 && !half {
		return out, nil
	}
	if err := validate(ctx, t, out.Changes); err != nil {
		return out, err
	}
	if a.DryRun {
		out.State, out.Did = Planned, p.Need
		return out, nil
	}
	out.Did = p.Need
	switch {
	case p.Need == Restart && !a.consent(t.Name(), "it reads this at its start only", p.Cost):
		return out, fmt.Errorf("%s: %w: it reads these settings at its start only; nothing was changed", t.Name(), ErrNoConsent)
	case p.More != "" && a.consent(t.Name(), p.More, p.Cost):
		out.Did = Restart
	case p.More != "":
		out.Notes = append(out.Notes, "without a restart: "+p.More)
	}
	run := &attempt{Attacher: a, tool: t, wish: w, plan: p, store: s, manifest: m}
	if err := run.do(ctx, &out); err != nil {
		return out, err
	}
	out.State = Attached
	return out, nil
}

// validate asks the tool about all files before any is written.
func validate(ctx context.Context, t Tool, changes []Change) error {
	for _, c := range changes {
		err := t.Validate(ctx, c.Path, c.After)
		if err == nil {
			continue
		}
		if c.Before != nil && t.Validate(ctx, c.Path, c.Before) != nil {
			return fmt.Errorf("%s is broken already: %w; repair it first; nothing was changed", c.Path, err)
		}
		return fmt.Errorf("%s would not take %s: %w; nothing was changed", t.Name(), c.Path, err)
	}
	return nil
}

// changes returns what has to be written for a plan, computed from the files without what
// the tool's settings are there now.
func (a *Attacher) changes(m *manifest, tool string, p Plan) ([]Change, error) {
	var out []Change
	planned := map[string]bool{}
	for _, f := range p.Files {
		planned[f.Path] = true
		now, err := a.Machine.read(f.Path)
		if err != nil {
			return nil, err
		}
		base := now.data()
		if st := m.file(f.Path); st != nil {
			st.settle(now.data())
			if base, err = st.without(tool, now.data()); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Path, err)
			}
		}
		after, record, err := f.Edit.Apply(base)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be edited: nothing was changed: %w", f.Path, err)
		}
		c := Change{Path: f.Path, Before: now.data(), After: after, Mode: f.Mode, edit: &editState{Tool: tool, Format: edit.FormatOf(f.Edit), Record: record}}
		if !c.same() {
			out = append(out, c)
		}
	}
	for _, st := range m.filesOf(tool) { // of an earlier wish
		if planned[st.Path] {
			continue
		}
		c, err := a.removal(st, tool)
		if err != nil {
			return nil, err
		}
		if st.edit(tool) != nil {
			out = append(out, c)
		}
	}
	m.tidy() // of writes that were announced and never done
	return out, nil
}

// without returns the file as it is without the settings of a tool; nil for no file. What
// nobody else has touched since becomes what it was, byte for byte.
func (f *fileState) without(tool string, now []byte) ([]byte, error) {
	if p := f.Pending; p != nil && p.Via == digestOf(now) {
		return p.Target, nil
	}
	e := f.edit(tool)
	if e == nil || now == nil {
		return now, nil
	}
	if len(f.Edits) == 1 && !f.Foreign && digestOf(now) == f.Written {
		return f.Base.data(), nil
	}
	left, err := edit.Undo(e.Format, now, e.Record)
	if err != nil {
		return nil, err
	}
	if len(f.Edits) == 1 && f.Base == nil && strings.Trim(string(left), " \t\r\n{}") == "" {
		return nil, nil // made for the first of us, emptied by the last
	}
	return left, nil
}

// An attempt is one attach on its way.
type attempt struct {
	*Attacher
	tool     Tool
	wish     Wish
	plan     Plan
	store    *store
	manifest *manifest
	active   bool // the tool has read the files by a reload
}

// do announces, writes, activates and checks. What fails is rolled back.
func (r *attempt) do(ctx context.Context, out *Outcome) error {
	name := r.tool.Name()
	r.say("%s: looking what works now", name)
	before, err := r.tool.Works(ctx, r.wish)
	defer r.tool.Tidy(context.WithoutCancel(ctx))
	if err != nil {
		return fmt.Errorf("%s: what works now could not be seen, nothing was changed: %w", name, err)
	}
	old := r.manifest.Tools[name]
	if err := r.announce(out); err != nil {
		return err
	}
	notes, err := r.bring(ctx, out, before)
	out.Notes = append(out.Notes, notes...)
	if err == nil {
		r.manifest.Tools[name].Phase = attached
		r.manifest.settleAll(name)
		return r.store.write(r.manifest)
	}
	r.say("%s: putting everything back", name)
	// An interrupted attach is taken back like a failed one.
	if back := r.rollback(context.WithoutCancel(ctx), *out, old, errors.Is(err, ErrRefused)); back != nil {
		return fmt.Errorf("%s: %w\nand what was changed could not be put back: %w\ntry again: sutler detach %s", name, err, back, name)
	}
	return fmt.Errorf("%s: %w; everything is as before", name, err)
}

// announce writes what is about to be done into the manifest.
func (r *attempt) announce(out *Outcome) error {
	m, name := r.manifest, r.tool.Name()
	m.Tools[name] = &toolState{Phase: attaching, Since: time.Now().UTC(), Need: r.plan.Need, Did: out.Did}
	for _, c := range out.Changes {
		st := m.file(c.Path)
		if st == nil {
			base, err := r.Machine.read(c.Path)
			if err != nil {
				return err
			}
			st = &fileState{Path: c.Path, Base: base, Dirs: r.Machine.missing(c.Path), Written: digestOf(base.data())}
			m.Files = append(m.Files, st)
		}
		st.announce(name, c)
	}
	return r.store.write(m)
}

// announce notes a write that is to follow.
func (f *fileState) announce(tool string, c Change) {
	before := digestOf(c.Before)
	f.Foreign = f.Foreign || before != f.Written && (f.Pending == nil || before != f.Pending.Via)
	previous := f.edit(tool)
	f.Pending = &pending{Tool: tool, Before: before, After: digestOf(c.After), Remove: c.edit == nil, Previous: previous}
	f.Written = digestOf(c.After)
	if c.edit == nil {
		return
	}
	if i := slices.Index(f.Edits, previous); i >= 0 {
		f.Edits[i] = c.edit
	} else {
		f.Edits = append(f.Edits, c.edit)
	}
}

// bring writes the files, makes the tool read them, and checks.
func (r *attempt) bring(ctx context.Context, out *Outcome, before []string) ([]string, error) {
	name := r.tool.Name()
	for _, c := range out.Changes {
		if err := r.Machine.put(r.manifest, c); err != nil {
			return nil, err
		}
		out.Files = append(out.Files, c.Path)
	}
	if out.Did != Nothing {
		r.say("%s: %s", name, out.Did)
	}
	notes, err := r.tool.Activate(ctx, out.Did)
	if err != nil {
		return notes, err
	}
	r.active = out.Did == Reload && len(notes) == 0
	if len(notes) > 0 || out.Did == Nothing {
		return notes, nil // it does not run, or reads its files each time
	}
	r.say("%s: checking", name)
	after, missing, err := r.settled(ctx)
	if err != nil {
		return notes, err
	}
	out.Checked = after
	for _, fact := range before {
		if !slices.Contains(after, fact) && !strings.HasPrefix(fact, Setting) {
			return notes, fmt.Errorf("after the %s this no longer holds: %s", out.Did, fact)
		}
	}
	if missing != "" {
		return notes, fmt.Errorf("it read its files, but this does not hold: %s", missing)
	}
	return notes, nil
}

// settleWithin bounds how long a setting may take to be in force once it was read: docker
// 28 announces a reload before the registries' part of it is done, and answers with what it
// was about to say to somebody who asked before.
const settleWithin = 5 * time.Second

// settled returns what holds now, and what of the proof does not. It waits for settings;
// whatever else does not hold will not.
func (r *attempt) settled(ctx context.Context) (facts []string, missing string, err error) {
	for end := time.Now().Add(settleWithin); ; {
		if facts, err = r.tool.Works(ctx, r.wish); err != nil {
			return nil, "", err
		}
		i := slices.IndexFunc(r.plan.Proof, func(fact string) bool { return !slices.Contains(facts, fact) })
		if i < 0 {
			return facts, "", nil
		}
		missing = r.plan.Proof[i]
		if !strings.HasPrefix(missing, Setting) || time.Now().After(end) {
			return facts, missing, nil
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
}

// Setting begins those facts that say what is configured: they change, others must not.
const Setting = "setting: "

// put writes one change, unless the file is no longer what the change was computed from.
func (m Machine) put(all *manifest, c Change) error {
	now, err := m.read(c.Path)
	if err != nil {
		return err
	}
	if digestOf(now.data()) != digestOf(c.Before) {
		return fmt.Errorf("%s was changed by somebody else just now: try again", c.Path)
	}
	if err := m.write(c.Path, c.After, c.Mode); err != nil {
		return err
	}
	if st := all.file(c.Path); st != nil && c.After == nil {
		m.removeDirs(st.Dirs)
	}
	return nil
}

// rollback puts the files back that an attempt has written, and has the tool read them,
// unless it refused ours and has what it had.
func (r *attempt) rollback(ctx context.Context, out Outcome, old *toolState, refused bool) error {
	name := r.tool.Name()
	var errs []error
	for _, c := range slices.Backward(out.Changes) {
		errs = append(errs, r.putBack(ctx, c))
	}
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, r.store.write(r.manifest))
	}
	if len(out.Files) > 0 && !refused {
		if _, err := r.tool.Activate(ctx, out.Did); err != nil {
			return err // still in the manifest: detach does it again
		}
	}
	delete(r.manifest.Tools, name)
	if old != nil {
		r.manifest.Tools[name] = old
	}
	r.manifest.tidy()
	return r.store.write(r.manifest)
}

// putBack undoes one change.
func (r *attempt) putBack(ctx context.Context, c Change) error {
	now, err := r.Machine.read(c.Path)
	if err != nil {
		return err
	}
	st := r.manifest.file(c.Path)
	switch digestOf(now.data()) {
	case digestOf(c.Before): // never written
	case digestOf(c.After):
		if r.active {
			back := Change{Path: c.Path, Before: c.After, After: c.Before}
			if _, err := r.between(ctx, r.tool, r.store, r.manifest, back); err != nil {
				return err
			}
		}
		if err := r.Machine.write(c.Path, c.Before, c.Mode); err != nil {
			return err
		}
		if c.Before == nil {
			r.Machine.removeDirs(st.Dirs)
		}
	default:
		left, err := st.without(r.tool.Name(), now.data())
		if err != nil {
			return fmt.Errorf("%s: %w", c.Path, err)
		}
		st.Foreign = true
		if err := r.Machine.write(c.Path, left, c.Mode); err != nil {
			return err
		}
	}
	st.Written = digestOf(c.Before)
	previous := st.Pending
	st.Pending = nil
	if c.edit != nil {
		st.drop(r.tool.Name())
	}
	if c.edit != nil && previous != nil && previous.Previous != nil {
		st.Edits = append(st.Edits, previous.Previous)
	}
	return nil
}

// between has a tool read the file that it has to on the way to another, which is left
// there: what it is to hold then is in the manifest before. It returns the rest of the way.
func (a *Attacher) between(ctx context.Context, t Tool, s *store, m *manifest, c Change) (Change, error) {
	forgetful, ok := t.(Forgetful)
	st := m.file(c.Path)
	if !ok || st == nil || st.Pending == nil {
		return c, nil
	}
	via := forgetful.Between(c.Path, c.Before, c.After)
	if via == nil {
		return c, nil
	}
	st.Pending.Via, st.Pending.Target = digestOf(via), c.After
	if err := s.write(m); err != nil {
		return c, err
	}
	step := c
	step.After = via
	if err := a.Machine.put(m, step); err != nil {
		return c, err
	}
	c.Before = via
	_, err := t.Activate(ctx, Reload)
	return c, err
}

// settleAll forgets the pending writes of a tool, which are done.
func (m *manifest) settleAll(tool string) {
	for _, f := range m.Files {
		if f.Pending == nil || f.Pending.Tool != tool {
			continue
		}
		if f.Pending.Remove {
			f.drop(tool)
		}
		f.Pending = nil
	}
	m.tidy()
}
