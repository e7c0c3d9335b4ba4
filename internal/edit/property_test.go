package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// names are few, so that generated files often hold what is edited.
func names() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"a", "b", "dns", "x.y", "é \"q\"", "runtimes"})
}

// pad draws white space.
func pad(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", " ", "\n", "\r\n\t", "\n  ", "\n\n    "}).Draw(t, "space")
}

// object draws the source text of a JSON object in any layout.
func object(t *rapid.T, depth int) string {
	var parts []string
	seen := map[string]bool{}
	for range rapid.IntRange(0, 4).Draw(t, "members") {
		name := names().Draw(t, "name")
		if seen[name] {
			continue
		}
		seen[name] = true
		parts = append(parts, pad(t)+string(marshal(name))+pad(t)+":"+pad(t)+value(t, depth)+pad(t))
	}
	if len(parts) == 0 {
		return "{" + pad(t) + "}"
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// value draws the source text of a JSON value.
func value(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	switch {
	case kind == 0 && depth < 3:
		return object(t, depth+1)
	case kind == 1 && depth < 3:
		var parts []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			parts = append(parts, pad(t)+value(t, depth+1)+pad(t))
		}
		return "[" + strings.Join(parts, ",") + pad(t) + "]"
	}
	return rapid.SampledFrom([]string{`"one"`, `"two"`, "1", "1e3", "true", "null", `"é"`}).Draw(t, "scalar")
}

// jsonKeys draws what is set.
func jsonKeys(t *rapid.T) []Key {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Key {
		k := Key{Path: rapid.SliceOfN(names(), 1, 3).Draw(t, "path"), How: rapid.SampledFrom([]How{Set, Append, Prepend}).Draw(t, "how")}
		k.Value = rapid.SampledFrom([]any{"one", "ours", 7, true, []string{"ours"}, map[string]any{"k": "v", "l": []int{}}}).Draw(t, "value")
		return k
	}), 1, 4).Draw(t, "keys")
}

// TestJSONProperties checks on files of any layout: undone it is the old file byte for
// byte, applied twice it is as applied once, and it means the old file and ours.
func TestJSONProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := []byte(pad(t) + object(t, 0) + pad(t))
		keys := jsonKeys(t)
		updated, record, err := JSON(keys...).Apply(old)
		if err != nil {
			t.Skip(err)
		}
		back, err := Undo(FormatJSON, updated, record)
		if err != nil || !bytes.Equal(back, old) {
			t.Fatalf("%v\nold   %q\nnew   %q\nundone %q", err, old, updated, back)
		}
		if again, _, err := JSON(keys...).Apply(updated); distinct(keys) && (err != nil || !bytes.Equal(again, updated)) {
			t.Fatalf("twice: %v\n%q\n%q", err, updated, again)
		}
		if want, got := meant(t, old, keys), tree(t, updated); string(marshal(want)) != string(marshal(got)) {
			t.Fatalf("%q means\n%s, want\n%s", updated, marshal(got), marshal(want))
		}
	})
}

// distinct reports whether no key undoes what another one does.
func distinct(keys []Key) bool {
	for i, a := range keys {
		for _, b := range keys[:i] {
			n := min(len(a.Path), len(b.Path))
			if fmt.Sprint(a.Path[:n]) == fmt.Sprint(b.Path[:n]) {
				return false
			}
		}
	}
	return true
}

func tree(t *rapid.T, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// meant sets keys in the decoded file: the model that the splicing is held against.
func meant(t *rapid.T, old []byte, keys []Key) any {
	root, _ := tree(t, old).(map[string]any)
	for _, k := range keys {
		at := root
		for _, name := range k.Path[:len(k.Path)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		last := k.Path[len(k.Path)-1]
		v := tree(t, marshal(k.Value))
		list, _ := at[last].([]any)
		in := false
		for _, e := range list {
			in = in || string(marshal(e)) == string(marshal(v))
		}
		switch {
		case k.How == Set:
			at[last] = v
		case in:
		case k.How == Append:
			at[last] = append(list, v)
		default:
			at[last] = append([]any{v}, list...)
		}
	}
	return root
}

// TestJSONForeign checks that an edit of others, at keys that are not ours, is kept, and
// that nothing of ours is: the result means what the old file and theirs mean.
func TestJSONForeign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := []byte(object(t, 0))
		ours := JSON(Key{Path: []string{"ours", "list"}, Value: "x", How: Append}, Key{Path: []string{"runtimes2", "s", "path"}, Value: "p"}, Key{Path: []string{"default"}, Value: "s"})
		updated, record, err := ours.Apply(old)
		if err != nil {
			t.Skip(err)
		}
		keys := jsonKeys(t)
		theirs, _, err := JSON(keys...).Apply(updated)
		if err != nil {
			t.Skip(err)
		}
		if rapid.Bool().Draw(t, "laid out anew") {
			var b bytes.Buffer
			if err := json.Indent(&b, theirs, "", " "); err != nil {
				t.Fatal(err)
			}
			theirs = b.Bytes()
		}
		got, err := Undo(FormatJSON, theirs, record)
		if err != nil {
			t.Fatalf("%v\n%s", err, theirs)
		}
		if want := meant(t, old, keys); string(marshal(tree(t, got))) != string(marshal(want)) {
			t.Fatalf("old %s\ntheirs %s\nundone %s\nwant %s", old, theirs, got, marshal(want))
		}
	})
}

// tomlFile draws a TOML file of tables, remarks and lists in several layouts.
func tomlFile(t *rapid.T) string {
	nl := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "newline")
	values := []string{`"one"`, "'x'", "1", "nan", "1979-05-27", "[]", `["one"]`, "[ # r" + nl + "]", `["a", 'b',]`, "[" + nl + "  \"a\", # r" + nl + "  \"one\"" + nl + "]", "{ k = 1 }", "[1, 2]", "[[1],[]]", "\"\"\"" + nl + "[a]" + nl + "\"\"\""}
	var b strings.Builder
	line := func() {
		b.WriteString(rapid.SampledFrom([]string{"", "  ", "\t"}).Draw(t, "indent"))
		switch rapid.IntRange(0, 5).Draw(t, "line") {
		case 0:
		case 1:
			b.WriteString("# remark = [x]")
		default:
			b.WriteString(rapid.SampledFrom([]string{"a", "b", "dns", `"x.y"`, "runtimes.a", "c"}).Draw(t, "key") + rapid.SampledFrom([]string{" = ", "="}).Draw(t, "equals"))
			b.WriteString(rapid.SampledFrom(values).Draw(t, "value") + rapid.SampledFrom([]string{"", " # remark", " "}).Draw(t, "behind"))
		}
		b.WriteString(nl)
	}
	for range rapid.IntRange(0, 3).Draw(t, "root") {
		line()
	}
	for range rapid.IntRange(0, 3).Draw(t, "tables") {
		b.WriteString(rapid.SampledFrom([]string{"[a]", "[b] # remark", "[a.b]", "[runtimes]", "[ \"x.y\" . dns ]", "[[list]]", "[[a.list]]"}).Draw(t, "header") + nl)
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			line()
		}
	}
	text := b.String()
	if rapid.Bool().Draw(t, "no line break at the end") {
		text = strings.TrimSuffix(text, nl)
	}
	return text
}

func tomlKeys(t *rapid.T) []Key {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Key {
		k := Key{Path: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "dns", "x.y", "runtimes", "new"}), 1, 3).Draw(t, "path"),
			How: rapid.SampledFrom([]How{Set, Append, Prepend}).Draw(t, "how"), First: rapid.Bool().Draw(t, "first")}
		k.Value = rapid.SampledFrom([]any{"one", "ours \"\\\x7f"}).Draw(t, "value")
		if k.How == Set {
			k.Value = rapid.SampledFrom([]any{"one", "ours", true, 7, []string{"ours", "b"}, []string{}}).Draw(t, "value")
		}
		return k
	}), 1, 4).Draw(t, "keys")
}

// TestTOMLProperties is TestJSONProperties for TOML. The meaning is checked by Apply itself.
func TestTOMLProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := []byte(tomlFile(t))
		keys := tomlKeys(t)
		if rapid.Bool().Draw(t, "block") {
			keys = append(keys, Key{Path: []string{"list"}, Value: Tables("[[list]]\nid = 1\n[[list.sub]]\nx = 2\n")})
		}
		updated, record, err := TOML(keys...).Apply(old)
		if err != nil {
			t.Skip(err)
		}
		back, err := Undo(FormatTOML, updated, record)
		if err != nil || !bytes.Equal(back, old) {
			t.Fatalf("%v\nold   %q\nnew   %q\nundone %q", err, old, updated, back)
		}
		if again, _, err := TOML(keys...).Apply(updated); distinct(keys) && (err != nil || !bytes.Equal(again, updated)) {
			t.Fatalf("twice: %v\n%q\n%q", err, updated, again)
		}
	})
}

// TestTOMLForeign edits, by others, other keys, a line at either end of the file included.
func TestTOMLForeign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := []byte(tomlFile(t))
		ours := TOML(Key{Path: []string{"ours", "l"}, Value: "x", How: Append}, Key{Path: []string{"ours", "r"}, Value: "p"}, Key{Path: []string{"runtimes", "ours"}, Value: true})
		updated, record, err := ours.Apply(old)
		if err != nil {
			t.Skip(err)
		}
		keys := tomlKeys(t)
		theirs, _, err := TOML(keys...).Apply(updated)
		if err != nil {
			t.Skip(err)
		}
		if rapid.Bool().Draw(t, "behind") {
			theirs = append(append([]byte{}, theirs...), "\nlast = 'theirs'\n"...)
		}
		want, err := decode(theirs)
		if err != nil {
			t.Skip(err)
		}
		got, err := Undo(FormatTOML, theirs, record)
		if errors.Is(err, ErrConflict) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		have, err := decode(got)
		for _, path := range [][]string{{"ours", "l"}, {"ours", "r"}, {"runtimes", "ours"}} {
			want = drop(want, path)
			if _, still := lookUp(have, path); still {
				t.Fatalf("%v is still in %s", path, got)
			}
			have = drop(have, path)
		}
		if err != nil || !equal(want, have) {
			t.Fatalf("%v\nold %s\ntheirs %s\nundone %s", err, old, theirs, got)
		}
	})
}

// TestKeyValueProperties does the same with pip.conf and .npmrc.
func TestKeyValueProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		npm := rapid.Bool().Draw(t, "npm")
		lines := []string{"", "# remark", "; remark", "[global]", "[install]", "proxy = http://a.example", "proxy=", "  more", "cert: x", "index_url = a", "Index-URL=b", "bare", "  \tproxy = b ", "[]"}
		nl := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "newline")
		old := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(lines), 0, 10).Draw(t, "lines"), nl))
		edit := Pip(Key{Path: []string{"global", "proxy"}, Value: "http://p"}, Key{Path: []string{"global", "index-url"}, Value: "http://i"})
		if npm {
			edit = Npm(Key{Path: []string{"proxy"}, Value: "http://p"}, Key{Path: []string{"cert"}, Value: "c"})
		}
		updated, record, err := edit.Apply(old)
		if err != nil {
			t.Skip(err)
		}
		if again, _, err := edit.Apply(updated); err != nil || !bytes.Equal(again, updated) {
			t.Fatalf("twice: %v\n%q\n%q", err, updated, again)
		}
		back, err := Undo(FormatOf(edit), updated, record)
		if err != nil || !bytes.Equal(back, old) {
			t.Fatalf("%v\nold    %q\nnew    %q\nundone %q", err, old, updated, back)
		}
		more := append(append([]byte{}, updated...), nl+"theirs = 1"+nl...)
		if _, err := Undo(FormatOf(edit), more, record); err != nil {
			t.Fatalf("%v\n%q", err, more)
		}
	})
}

// FuzzJSON edits any file.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{"{}", "{\r\n\t\"dns\" : [ ],\"runtimes\":{}}\n", `{"registry-mirrors":["a"],"a":{"b":[{}]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, old []byte) { fuzz(t, engine, old) })
}

// FuzzTOML edits any file.
func FuzzTOML(f *testing.F) {
	for _, s := range []string{"", "[engine]\nruntime = 'a' # b\n", "x=1\n[a]\n[[b]]\n", "engine.runtime = \"\"\"\n\"\"\"\n", "[containers]\r\nvolumes=[\r\n'a',]"} {
		f.Add([]byte(s))
	}
	e := TOML(Key{Path: []string{"engine", "runtime"}, Value: "sutler"}, Key{Path: []string{"containers", "volumes"}, Value: "v", How: Append}, Key{Path: []string{"b"}, Value: Tables("[[b]]\nx = 1\n")})
	f.Fuzz(func(t *testing.T, old []byte) { fuzz(t, e, old) })
}

// FuzzKeyValue edits any file as pip.conf, as .npmrc and as a shell file.
func FuzzKeyValue(f *testing.F) {
	for _, s := range []string{"", "[global]\nproxy = a\n  b\n", "proxy=a\n[x]\n", "# >>> sutler >>>\n# <<< sutler <<<\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, old []byte) {
		fuzz(t, Pip(Key{Path: []string{"global", "proxy"}, Value: "p"}), old)
		fuzz(t, Npm(Key{Path: []string{"proxy"}, Value: "p"}), old)
		fuzz(t, Block("x"), old)
	})
}

// fuzz checks the promises of an Edit that takes the file.
func fuzz(t *testing.T, e Edit, old []byte) {
	updated, record, err := e.Apply(old)
	if err != nil {
		return
	}
	if again, _, err := e.Apply(updated); err != nil || !bytes.Equal(again, updated) {
		t.Errorf("twice: %v\n%q\n%q", err, updated, again)
	}
	back, err := Undo(FormatOf(e), updated, record)
	if err != nil || !bytes.Equal(back, old) {
		t.Errorf("%v\nold    %q\nnew    %q\nundone %q", err, old, updated, back)
	}
	_, _ = Undo(FormatOf(e), old, record) // of another file: an error or not, but no panic
}
