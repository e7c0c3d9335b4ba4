package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// engine is what attach sets in a daemon.json.
var engine = JSON(
	Key{Path: []string{"registry-mirrors"}, Value: "http://172.17.0.1:7885", How: Prepend},
	Key{Path: []string{"dns"}, Value: []string{"172.17.0.1"}},
	Key{Path: []string{"runtimes", "sutler", "path"}, Value: "/usr/bin/sutler-runtime"},
	Key{Path: []string{"default-runtime"}, Value: "sutler"},
)

// apply applies e, twice: the second time has to change nothing and to take nothing back.
func apply(t testing.TB, e Edit, old []byte) ([]byte, json.RawMessage) {
	t.Helper()
	updated, record, err := e.Apply(old)
	if err != nil {
		t.Fatalf("Apply: %v\n%s", err, old)
	}
	again, none, err := e.Apply(updated)
	if err != nil || !bytes.Equal(again, updated) {
		t.Fatalf("applied twice: %v\n%s", err, cmp.Diff(string(updated), string(again)))
	}
	if kept, err := Undo(FormatOf(e), updated, none); err != nil || !bytes.Equal(kept, updated) {
		t.Fatalf("the second record took something back: %v", err)
	}
	return updated, record
}

// roundTrip applies e and undoes it.
func roundTrip(t testing.TB, e Edit, old []byte) []byte {
	t.Helper()
	updated, record := apply(t, e, old)
	back, err := Undo(FormatOf(e), updated, record)
	if err != nil {
		t.Fatalf("Undo: %v\n%s", err, updated)
	}
	if !bytes.Equal(back, old) || (back == nil) != (old == nil) {
		t.Fatalf("Undo(Apply(x)) is not x:\n%s\nafter Apply:\n%s", cmp.Diff(string(old), string(back)), updated)
	}
	return updated
}

func TestJSON(t *testing.T) {
	for _, tt := range []struct{ name, old, want string }{
		{"empty object", "{}", "{\n  \"registry-mirrors\": [\"http://172.17.0.1:7885\"],\n  \"dns\": [\"172.17.0.1\"],\n  \"runtimes\": {\n    \"sutler\": {\n      \"path\": \"/usr/bin/sutler-runtime\"\n    }\n  },\n  \"default-runtime\": \"sutler\"\n}"},
		{"one line", `{"debug":true,"log-driver":"local"}`, `{"debug":true,"log-driver":"local","registry-mirrors":["http://172.17.0.1:7885"],"dns":["172.17.0.1"],"runtimes":{"sutler":{"path":"/usr/bin/sutler-runtime"}},"default-runtime":"sutler"}`},
		{"tabs, CRLF, customised", "{\r\n\t\"dns\" : [ \"9.9.9.9\", \"8.8.8.8\" ],\r\n\r\n\t\"runtimes\" : {\r\n\t\t\"nvidia\" : { \"path\" : \"nvidia\" }\r\n\t},\r\n\t\"default-runtime\" : \"nvidia\",\r\n\t\"registry-mirrors\" : [\r\n\t\t\"https://mirror.example\"\r\n\t]\r\n}\r\n",
			"{\r\n\t\"dns\" : [\"172.17.0.1\"],\r\n\r\n\t\"runtimes\" : {\r\n\t\t\"nvidia\" : { \"path\" : \"nvidia\" },\r\n\t\t\"sutler\" : {\r\n\t\t\t\"path\" : \"/usr/bin/sutler-runtime\"\r\n\t\t}\r\n\t},\r\n\t\"default-runtime\" : \"sutler\",\r\n\t\"registry-mirrors\" : [\r\n\t\t\"http://172.17.0.1:7885\",\r\n\t\t\"https://mirror.example\"\r\n\t]\r\n}\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := roundTrip(t, engine, []byte(tt.old)); string(got) != tt.want {
				t.Errorf("%s\n%s", cmp.Diff(tt.want, string(got)), got)
			}
		})
	}
	for _, old := range [][]byte{nil, {}, []byte("\n"), []byte(" \r\n\t"), []byte("{ }"), []byte("{\n}\n")} {
		roundTrip(t, engine, old)
	}
}

// TestRefused checks that what the reading programs refuse is refused with its place.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		edit      Edit
		old, want string
	}{
		{engine, "{\n  // mirrors\n}", "line 2, column 3"},
		{engine, "{\n  \"debug\": true, /* x */\n}", "comments"},
		{engine, "{\n  \"debug\": true,\n}", "line 3, column 1"},
		{engine, "{\"a\": 1, \"a\": 2}", `line 1, column 10: "a" occurs twice`},
		{engine, "\xef\xbb\xbf{}", "byte order mark"},
		{engine, "[]", "no object"},
		{engine, `{"runtimes": []}`, "runtimes is not an object"},
		{engine, `{"registry-mirrors": "x"}`, "not a list"},
		{TOML(Key{Path: []string{"a", "b"}, Value: "c"}), "x = 1\na = {c = 1}\n", "line 2, column 1"},
		{TOML(Key{Path: []string{"a", "b"}, Value: "c"}), "a = 1\nb =\n", "line 2"},
		{TOML(Key{Path: []string{"a", "b"}, Value: "c", How: Append}), "[a]\nb = 1\n", "not a list"},
		{Pip(Key{Path: []string{"global", "proxy"}, Value: "c"}), "proxy = x\n", "before the first [section]"},
		{Pip(Key{Path: []string{"global", "proxy"}, Value: "c"}), "[global]\ncert = x\ncert = y\n", "line 3, column 1: cert occurs twice"},
		{Npm(Key{Path: []string{"proxy"}, Value: "c"}), "proxy\n", "no value"},
		{Block("x"), "# >>> sutler >>>\n", "without"},
		{File("x", "by sutler"), "mine", "exists"},
	} {
		if _, _, err := tt.edit.Apply([]byte(tt.old)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.old, err, tt.want)
		}
	}
}

// TestForeign undoes after an edit by somebody else: their part stays, ours goes.
func TestForeign(t *testing.T) {
	replace := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	key := func(format string, path ...string) Edit {
		return keyed{format, []Key{{Path: path, Value: "ours"}}}
	}
	for _, tt := range []struct {
		name     string
		edit     Edit
		old      string
		change   func(string) string
		want     string // "conflict" for one
		fromNone bool
	}{
		{name: "member added behind", edit: engine, old: "{}", change: replace("\"sutler\"\n}", "\"sutler\",\n  \"debug\": true\n}"), want: "{\n  \"debug\": true\n}"},
		{name: "member added in ours", edit: engine, old: "{}", change: replace("      \"path\"", "      \"x\": 1,\n      \"path\""), want: "{\n  \"runtimes\": {\n    \"sutler\": {\n      \"x\": 1\n    }\n  }\n}"},
		{name: "list extended", edit: engine, old: "{}", change: replace(`:7885"]`, `:7885", "https://m.example"]`), want: "{\n  \"registry-mirrors\": [\"https://m.example\"]\n}"},
		{name: "list that we set changed", edit: engine, old: "{}", change: replace(`["172.17.0.1"]`, `["172.17.0.1", "9.9.9.9"]`), want: "conflict"},
		{name: "value changed", edit: engine, old: `{"default-runtime":"runc"}`, change: replace(`"default-runtime":"sutler"`, `"default-runtime":"crun"`), want: `{"default-runtime":"crun"}`},
		{name: "laid out anew", edit: engine, old: `{"debug":true}`, change: func(s string) string {
			var b bytes.Buffer
			if json.Indent(&b, []byte(s), "", "    ") != nil {
				return "broken"
			}
			return b.String()
		}, want: "{\n    \"debug\": true\n}"},
		{name: "broken", edit: engine, old: "{}", change: func(s string) string { return s + "x" }, want: "conflict"},
		{name: "ours removed", edit: engine, old: "{}", change: func(string) string { return "{ }" }, want: "{ }"},
		{name: "nothing left", edit: engine, fromNone: true, change: func(string) string { return "{ }\n" }, want: "none"},
		{name: "theirs left", edit: engine, fromNone: true, change: replace("{", "{\n  \"debug\": true,"), want: "{\n  \"debug\": true\n}\n"},

		{name: "toml key added to our table", edit: key(FormatTOML, "a", "b"), old: "# c\n", change: func(s string) string { return s + "x = 1\n" }, want: "# c\n\n[a]\nx = 1\n"},
		{name: "toml remark added to our line", edit: key(FormatTOML, "a", "b"), old: "[a]\n", change: replace(`"ours"`, `"ours" # theirs`), want: "[a]\n # theirs\n"},
		{name: "toml table added behind", edit: key(FormatTOML, "a", "b"), old: "# c\n", change: func(s string) string { return s + "\n[x]\ny = 1\n" }, want: "# c\n\n[x]\ny = 1\n"},
		{name: "toml value changed", edit: key(FormatTOML, "a", "b"), old: "# c\n", change: replace(`"ours"`, `"theirs"`), want: "# c\n\n[a]\nb = \"theirs\"\n"},
		{name: "toml header moved", edit: key(FormatTOML, "a", "b"), old: "x = 1\n", change: replace("x = 1\n\n[a]\nb", "a.b"), want: ""},
		{name: "toml broken", edit: key(FormatTOML, "a", "b"), old: "x = 1\n", change: func(s string) string { return s + "[" }, want: "conflict"},
		{name: "toml made an inline table", edit: key(FormatTOML, "a", "b"), old: "", change: func(string) string { return "a = {b = \"ours\"}\n" }, want: "conflict"},

		{name: "pip key added to our section", edit: key(FormatPip, "global", "proxy"), old: "", change: func(s string) string { return s + "x = 1\n" }, want: "[global]\nx = 1\n"},
		{name: "pip value changed", edit: key(FormatPip, "global", "proxy"), old: "", change: replace("ours", "theirs"), want: "[global]\nproxy = theirs\n"},
		{name: "pip key spelled otherwise", edit: key(FormatPip, "global", "index-url"), old: "[global]\nINDEX_URL: a\n  b\n", change: func(s string) string { return s + "cert = x\n" }, want: "[global]\nINDEX_URL: a\n  b\ncert = x\n"},
		{name: "npm key added", edit: key(FormatNpm, "proxy"), old: "a=b", change: func(s string) string { return s + "\nc=d" }, want: "a=b\nc=d"},

		{name: "lines behind the block", edit: Block("export X=1"), old: "a", change: func(s string) string { return s + "b\n" }, want: "a\nb\n"},
		{name: "line in the block", edit: Block("export X=1"), old: "a\n", change: replace("export X=1", "export X=2"), want: "conflict"},
		{name: "block removed", edit: Block("export X=1"), old: "a\n", change: func(string) string { return "a\n" }, want: "a\n"},
		{name: "file changed", edit: File("x by sutler", "by sutler"), fromNone: true, change: func(s string) string { return s + "b" }, want: "conflict"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := []byte(tt.old)
			if tt.fromNone {
				old = nil
			}
			updated, record := apply(t, tt.edit, old)
			now := tt.change(string(updated))
			got, err := Undo(FormatOf(tt.edit), []byte(now), record)
			switch {
			case tt.want == "conflict":
				if !errors.Is(err, ErrConflict) {
					t.Errorf("%v, want a conflict:\n%s", err, got)
				}
			case err != nil:
				t.Errorf("%v in\n%s", err, now)
			case tt.want == "none" && got != nil, tt.want != "none" && string(got) != tt.want:
				t.Errorf("%q, want %q; it was %q", got, tt.want, now)
			}
		})
	}
}

// mirror is a block of tables as registries.conf has them.
const mirror = "[[registry]]\nprefix = \"one.example\"\nlocation = \"one.example\"\n[[registry.mirror]]\nlocation = \"172.17.0.1:7885/one.example\"\ninsecure = true\n"

func TestTOML(t *testing.T) {
	keys := TOML(
		Key{Path: []string{"engine", "runtime"}, Value: "sutler"},
		Key{Path: []string{"engine", "runtimes", "sutler"}, Value: []string{"/usr/bin/sutler-runtime"}},
		Key{Path: []string{"containers", "dns_servers"}, Value: []string{"10.88.0.1"}},
		Key{Path: []string{"containers", "volumes"}, Value: "/run/sutler:/dev/sutler:ro", How: Append},
		Key{Path: []string{"registry"}, Value: Tables(mirror)},
	)
	for _, old := range []string{
		"", "\n\n", "# only a remark", "x = 1", "x = 1 # remark\r\n[engine]\r\n",
		"[engine]\n  # remark\n  runtime = \"crun\" # fast\n\n[engine.runtimes]\n  crun = [ \"/usr/bin/crun\" ]\n\n[containers] # c\n\n[network]\na = 'b'",
		"[containers]\nvolumes = [\n  \"/a:/a\", # theirs\n  \"/b:/b\",\n]\ndns_servers = []\n",
		"[containers]\nvolumes = [ # none\n]\n[[registry]]\nlocation = \"two.example\"\n",
		"[containers]\nvolumes = [\"/a:/a\",]\n", "# license\n[network]\n",
	} {
		got := roundTrip(t, keys, []byte(old))
		tree, err := decode(got)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := lookUp(tree, []string{"engine", "runtime"}); v != "sutler" {
			t.Errorf("runtime is %v in\n%s", v, got)
		}
		if !bytes.Contains(got, []byte(strings.ReplaceAll(mirror, "\n", newline(got)))) {
			t.Errorf("no mirror in\n%s", got)
		}
		for _, line := range strings.Split(old, "\n") {
			if i := strings.IndexByte(line, '#'); i >= 0 && !bytes.Contains(got, []byte(line[i:])) {
				t.Errorf("remark %q is lost in\n%s", line[i:], got)
			}
		}
	}
}

// TestTables undoes a block that others have changed, moved or doubled.
func TestTables(t *testing.T) {
	e := TOML(Key{Path: []string{"registry"}, Value: Tables(mirror)})
	updated, record := apply(t, e, []byte("x = 1\n"))
	for _, tt := range []struct{ now, want string }{
		{string(updated) + "[[registry]]\nlocation = \"two.example\"\n", "x = 1\n[[registry]]\nlocation = \"two.example\"\n"},
		{mirror + "[z]\n", "[z]\n"},
		{strings.Replace(string(updated), "true", "false", 1), "conflict"},
		{"x = 1\n", "x = 1\n"},
		{strings.Replace(string(updated), "[[registry.mirror]]\nlocation", "[[registry.mirror]]\n# mine\nlocation", 1), "conflict"},
	} {
		got, err := Undo(FormatTOML, []byte(tt.now), record)
		if tt.want == "conflict" {
			if !errors.Is(err, ErrConflict) {
				t.Errorf("%v, want a conflict:\n%s", err, got)
			}
		} else if err != nil || string(got) != tt.want {
			t.Errorf("%q, %v, want %q", got, err, tt.want)
		}
	}
}

func TestKeyValue(t *testing.T) {
	pip := Pip(Key{Path: []string{"global", "proxy"}, Value: "http://172.17.0.1:7885"}, Key{Path: []string{"global", "cert"}, Value: "/run/sutler/ca.pem"})
	for _, old := range []string{"", "\n", "[global]", "[global]\ntimeout = 60\n", "[global]\r\nproxy = http://corp.example:3128\r\n[install]\r\nno-compile = yes\r\n",
		"# mine\n[install]\nfind-links =\n    /a\n\n    /b\n[global]\ncert:x", "[global]\nproxy =\n"} {
		roundTrip(t, pip, []byte(old))
	}
	npm := Npm(Key{Path: []string{"proxy"}, Value: "http://172.17.0.1:7885"}, Key{Path: []string{"cafile"}, Value: "/run/sutler/ca.pem"})
	for _, old := range []string{"", "; mine", "//npm.example/:_authToken=${TOKEN}\nproxy = null\nproxy=x\nca[]=a\nca[]=b\n", "[x]\na=b\n", "  cafile = \n"} {
		roundTrip(t, npm, []byte(old))
	}
	for _, old := range [][]byte{nil, {}, []byte("a"), []byte("a\r\nb"), []byte("# >>> sutler >>>\nold\n# <<< sutler <<<"), []byte("a\n# >>> sutler >>>\nold\n# <<< sutler <<<\nb\n")} {
		roundTrip(t, Block("export A=1\nexport B=2"), old)
	}
	for _, old := range [][]byte{nil, []byte("older, by sutler"), []byte("new, by sutler")} {
		roundTrip(t, File("new, by sutler", "by sutler"), old)
	}
}

// TestRecords checks that records that are not ours are errors, not panics.
func TestRecords(t *testing.T) {
	for _, record := range []string{"", "[]", `{"ops":[{"path":["a"]}]}`, `{"ops":[{}]}`, `{"ops":[{"path":["a"],"value":"\"[[x\""}]}`, `{"ops":[{"path":["a","b"],"value":"1","at":9}]}`} {
		for _, format := range []string{FormatJSON, FormatTOML, FormatPip, FormatNpm, FormatBlock, FormatFile, "other"} {
			_, _ = Undo(format, []byte("a = 1\n"), json.RawMessage(record)) // must not panic
		}
	}
	if _, err := Undo("other", []byte("x"), json.RawMessage("{}")); err == nil {
		t.Error("an unknown format was taken")
	}
	if got, err := Undo(FormatJSON, nil, json.RawMessage("{}")); got != nil || err != nil {
		t.Errorf("no file: %q, %v", got, err)
	}
}
