package attach

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sutler/internal/edit"
)

// A fake is a tool of which everything can be told.
type fake struct {
	name     string
	plan     Plan
	invalid  string // data that holds it is not taken
	facts    []string
	after    []string // facts once activated
	late     int      // how often Works is asked after that before they hold
	fail     error    // of Activate
	did      []Need
	activate func() // is called before Activate does anything
}

func (f *fake) Name() string                             { return f.name }
func (f *fake) Plan(context.Context, Wish) (Plan, error) { return f.plan, nil }
func (f *fake) Tidy(context.Context)                     {}
func (f *fake) Validate(_ context.Context, _ string, data []byte) error {
	if f.invalid != "" && strings.Contains(string(data), f.invalid) {
		return errors.New("unknown key")
	}
	return nil
}
func (f *fake) Activate(_ context.Context, n Need) ([]string, error) {
	if f.activate != nil {
		f.activate()
	}
	f.did = append(f.did, n)
	return nil, f.fail
}
func (f *fake) Works(context.Context, Wish) ([]string, error) {
	if len(f.did) > 0 && f.after != nil {
		if f.late--; f.late < 0 {
			return f.after, nil
		}
	}
	return f.facts, nil
}

// A bench is a machine with a file on it.
type bench struct {
	t    *testing.T
	at   *Attacher
	path string // where the file really is
}

const target = "/etc/tool/tool.json"

// setUp makes a machine whose file has that text; "" for none.
func setUp(t *testing.T, text string) *bench {
	t.Helper()
	root := t.TempDir()
	b := &bench{t: t, at: &Attacher{Machine: Machine{Root: root, Getenv: func(string) string { return "" }}, Dir: t.TempDir()}, path: root + target}
	if text == "" {
		b.check(os.Mkdir(root+"/etc", 0o755))
		return b
	}
	b.check(os.MkdirAll(filepath.Dir(b.path), 0o755))
	b.check(os.WriteFile(b.path, []byte(text), 0o640))
	return b
}

func (b *bench) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// text returns the file as it is; "" if there is none.
func (b *bench) text() string {
	b.t.Helper()
	data, err := os.ReadFile(b.path)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	b.check(err)
	return string(data)
}

func (b *bench) foreign(text string) {
	b.t.Helper()
	b.check(os.WriteFile(b.path, []byte(text), 0o640))
}

// wants fails unless the file has that text.
func (b *bench) wants(want string) {
	b.t.Helper()
	if got := b.text(); got != want {
		b.t.Errorf("the file is %q, want %q", got, want)
	}
}

func (b *bench) attach(f *fake) Outcome {
	b.t.Helper()
	o, err := b.at.Attach(b.t.Context(), f, Wish{})
	b.check(err)
	return o
}

func (b *bench) detach(f *fake) Outcome {
	b.t.Helper()
	o, err := b.at.Detach(b.t.Context(), f)
	b.check(err)
	return o
}

// gone fails if the manifest says anything.
func (b *bench) gone() {
	b.t.Helper()
	if data, err := os.ReadFile(filepath.Join(b.at.Dir, manifestName)); !errors.Is(err, os.ErrNotExist) {
		b.t.Errorf("the manifest says %s %v", data, err)
	}
}

// sets is a tool that puts an element into a list.
func sets(name, key, value string) *fake {
	return &fake{name: name, plan: Plan{Need: Reload,
		Files: []File{{Path: target, Edit: edit.JSON(edit.Key{Path: []string{key}, Value: value, How: edit.Prepend})}}}}
}

const before = "{\n    \"debug\" : true,\n\n\t\"list\": [ \"theirs\" ]  }\n\n"

func TestRoundTrip(t *testing.T) {
	for _, text := range []string{before, "", "{}", "\n"} {
		b, f := setUp(t, text), sets("one", "list", "ours")
		if o := b.attach(f); o.State != Attached || len(o.Files) != 1 || !strings.Contains(b.text(), "ours") {
			t.Errorf("%q: %+v %q", text, o, b.text())
		}
		was := b.text()
		if o := b.attach(f); o.State != Unchanged || len(f.did) != 1 {
			t.Errorf("%q again: %+v %v", text, o, f.did)
		}
		b.wants(was)
		if o := b.detach(f); o.State != Detached {
			t.Errorf("%q: %+v", text, o)
		}
		b.wants(text)
		b.gone()
		if _, err := os.Stat(filepath.Dir(b.path)); (err == nil) != (text != "") {
			t.Errorf("%q: the folder: %v", text, err)
		}
		if o := b.detach(f); o.State != Unchanged || len(f.did) != 2 {
			t.Errorf("%q again: %+v", text, o)
		}
	}
}

func TestKeepsModeAndOwner(t *testing.T) {
	b, f := setUp(t, before), sets("one", "list", "ours")
	if os.Getuid() == 0 {
		b.check(os.Chown(b.path, 12, 34))
	}
	b.check(os.Chmod(b.path, 0o604))
	want, err := b.at.Machine.read(target)
	b.check(err)
	b.attach(f)
	b.detach(f)
	got, err := b.at.Machine.read(target)
	b.check(err)
	if got.Mode != want.Mode || got.UID != want.UID || got.GID != want.GID || got.Digest != want.Digest {
		t.Errorf("got %+v, want %+v", got, want)
	}
	b.wants(before)
}

func TestDryRunAndPlan(t *testing.T) {
	b, f := setUp(t, before), sets("one", "list", "ours")
	b.at.DryRun = true
	o := b.attach(f)
	if d := string(o.Changes[0].Diff()); o.State != Planned || !strings.Contains(d, "+") || !strings.Contains(d, "ours") {
		t.Errorf("%+v\n%s", o, d)
	}
	b.wants(before)
	b.gone()
}

// TestFailure checks that whatever goes wrong, the file is as before.
func TestFailure(t *testing.T) {
	for name, spoil := range map[string]func(*fake){
		"not valid":   func(f *fake) { f.invalid = "ours" },
		"activation":  func(f *fake) { f.fail = errors.New("no"); f.activate = func() { f.after = nil } },
		"no reload":   func(f *fake) { f.fail = ErrRefused },
		"lost a fact": func(f *fake) { f.facts, f.after = []string{"containers resolve"}, []string{} },
		"no proof":    func(f *fake) { f.plan.Proof = []string{"uses us"} },
		"no consent":  func(f *fake) { f.plan.Need = Restart },
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{before, ""} {
				b, f := setUp(t, text), sets("one", "list", "ours")
				spoil(f)
				if name == "activation" { // works again with the old file
					n := 0
					f.activate = func() {
						if n++; n > 1 {
							f.fail = nil
						}
					}
				}
				if _, err := b.at.Attach(t.Context(), f, Wish{}); err == nil {
					t.Error("no error")
				}
				b.wants(text)
				b.gone()
			}
		})
	}
}

// TestLateSetting has a tool say that it has read its file before all of it is in force.
func TestLateSetting(t *testing.T) {
	b, f := setUp(t, before), sets("one", "list", "ours")
	f.plan.Proof = []string{Setting + "list ours"}
	f.facts, f.after, f.late = []string{Setting + "list theirs"}, []string{Setting + "list ours"}, 2
	if o := b.attach(f); o.State != Attached || len(o.Checked) != 1 || o.Checked[0] != f.plan.Proof[0] || f.late >= 0 {
		t.Errorf("%+v", o)
	}
}

func TestBrokenBefore(t *testing.T) {
	b, f := setUp(t, "{\"debug\": true,\n oops"), sets("one", "list", "ours")
	if _, err := b.at.Attach(t.Context(), f, Wish{}); err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v", err)
	}
	b.wants("{\"debug\": true,\n oops")
	b = setUp(t, `{"nonsense": true}`)
	f.invalid = "nonsense"
	if _, err := b.at.Attach(t.Context(), f, Wish{}); err == nil || !strings.Contains(err.Error(), "broken already") {
		t.Errorf("error %v", err)
	}
	if len(f.did) > 0 {
		t.Error("it was activated")
	}
	b.gone()
}

// TestForeignEdits checks that what others wrote after us stays, and only that.
func TestForeignEdits(t *testing.T) {
	b, f := setUp(t, before), sets("one", "list", "ours")
	b.attach(f)
	b.foreign(strings.Replace(b.text(), "true", "false, \"new\": 1", 1))
	l, err := b.at.List()
	b.check(err)
	if len(l) != 1 || len(l[0].Changed) != 1 || l[0].Half {
		t.Errorf("listing %+v", l)
	}
	b.detach(f)
	b.wants(strings.Replace(before, "true", "false, \"new\": 1", 1))
	b.gone()
}

func TestConflict(t *testing.T) {
	b, f := setUp(t, before), sets("one", "list", "ours")
	b.attach(f)
	b.foreign("{ broken")
	_, err := b.at.Detach(t.Context(), f)
	var conflict *ConflictError
	if !errors.As(err, &conflict) || conflict.Path != target || len(f.did) != 1 {
		t.Errorf("error %v, activated %v", err, f.did)
	}
	b.wants("{ broken")
	b.check(b.at.Forget(t.Context(), "one"))
	b.wants("{ broken")
	b.gone()
}

// TestTwoTools attaches two tools to one file and detaches them in both orders.
func TestTwoTools(t *testing.T) {
	for _, text := range []string{before, ""} {
		for _, reverse := range []bool{false, true} {
			b, one, two := setUp(t, text), sets("one", "list", "ours"), sets("two", "dns", "192.0.2.1")
			b.attach(one)
			b.attach(two)
			if reverse {
				one, two = two, one
			}
			b.detach(one)
			if b.text() == text {
				t.Error("both were detached")
			}
			b.detach(two)
			b.wants(text)
			b.gone()
		}
	}
}

// TestOtherWish attaches again with other settings: the old ones go.
func TestOtherWish(t *testing.T) {
	b := setUp(t, before)
	b.attach(sets("one", "list", "ours"))
	f := sets("one", "list", "other")
	b.attach(f)
	if text := b.text(); strings.Contains(text, "ours") || !strings.Contains(text, "other") {
		t.Errorf("%s", text)
	}
	f = sets("one", "list", "third")
	f.fail = ErrRefused
	if _, err := b.at.Attach(t.Context(), f, Wish{}); err == nil {
		t.Error("no error")
	}
	if text := b.text(); !strings.Contains(text, "other") {
		t.Errorf("rolled back to %s", text)
	}
	f.fail = nil
	b.detach(f)
	b.wants(before)
	b.gone()
}

// TestCrash ends a process at each step that it writes, as kill -9 does, and lets another
// one detach, or attach again and detach.
func TestCrash(t *testing.T) {
	type crash struct{}
	for _, text := range []string{before, ""} {
		for _, step := range []string{"announced", "written", "detach announced", "detach written"} {
			for _, again := range []bool{false, true} {
				b, f := setUp(t, text), sets("one", "list", "ours")
				if strings.HasPrefix(step, "detach") {
					b.attach(f)
				}
				f.activate = func() { panic(crash{}) } // after all files were written
				func() {
					defer func() {
						if r := recover(); r != any(crash{}) {
							t.Fatalf("%s: %v", step, r)
						}
					}()
					was := b.text()
					defer func() {
						if strings.HasSuffix(step, "announced") { // the write never came
							if was == "" {
								b.check(os.Remove(b.path))
							} else {
								b.check(os.MkdirAll(filepath.Dir(b.path), 0o755))
								b.check(os.WriteFile(b.path, []byte(was), 0o640))
							}
						}
					}()
					if strings.HasPrefix(step, "detach") {
						_, _ = b.at.Detach(t.Context(), f)
					} else {
						_, _ = b.at.Attach(t.Context(), f, Wish{})
					}
				}()
				f.activate = nil
				if l, err := b.at.List(); err != nil || len(l) != 1 || !l[0].Half {
					t.Errorf("%s: listing %+v %v", step, l, err)
				}
				if again {
					if o := b.attach(f); o.State != Attached {
						t.Errorf("%s: %+v", step, o)
					}
					if !strings.Contains(b.text(), "ours") {
						t.Errorf("%s: attached again: %q", step, b.text())
					}
				}
				n := len(f.did)
				b.detach(f)
				if len(f.did) == n {
					t.Errorf("%s: the tool was not told", step)
				}
				b.wants(text)
				b.gone()
			}
		}
	}
}

// TestDetachFails checks that a detach whose reload fails can be done again.
func TestDetachFails(t *testing.T) {
	b, f := setUp(t, before), sets("one", "list", "ours")
	b.attach(f)
	f.fail = errors.New("no")
	if _, err := b.at.Detach(t.Context(), f); err == nil {
		t.Error("no error")
	}
	b.wants(before)
	f.fail = nil
	b.detach(f)
	b.wants(before)
	b.gone()
}

// TestLink follows a link to the file and leaves it a link.
func TestLink(t *testing.T) {
	b, f := setUp(t, before), sets("one", "list", "ours")
	real := filepath.Join(b.at.Machine.Root, "real.json")
	b.check(os.Rename(b.path, real))
	b.check(os.Symlink("/real.json", b.path)) // in the machine's words
	b.attach(f)
	if data, err := os.ReadFile(real); err != nil || !strings.Contains(string(data), "ours") {
		t.Errorf("%s %v", data, err)
	}
	b.detach(f)
	if to, err := os.Readlink(b.path); err != nil || to != "/real.json" {
		t.Errorf("%s %v", to, err)
	}
}

func TestManifestOfTheFuture(t *testing.T) {
	b, f := setUp(t, before), sets("one", "list", "ours")
	data, err := json.Marshal(manifest{Version: 2})
	b.check(err)
	b.check(os.WriteFile(filepath.Join(b.at.Dir, manifestName), data, 0o600))
	if _, err := b.at.Attach(t.Context(), f, Wish{}); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("error %v", err)
	}
	b.wants(before)
}
