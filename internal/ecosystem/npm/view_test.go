package npm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/npm"
)

// toNative maps URLs of the registry to a native endpoint.
func toNative(origin string) string {
	return strings.Replace(origin, registry, "http://cache.example:7885/npm/", 1)
}

// view returns what a client sees of a document.
func view(t testing.TB, e *npm.Ecosystem, doc ecosystem.Body, v ecosystem.View) string {
	t.Helper()
	var b bytes.Buffer
	if err := e.View(&b, doc, v); err != nil {
		t.Fatalf("View(%q): %v", v.Form, err)
	}
	return b.String()
}

// checkViews checks what holds for all views of a valid document.
func checkViews(t testing.TB, e *npm.Ecosystem, doc ecosystem.Body) {
	t.Helper()
	var text bytes.Buffer
	if _, err := text.ReadFrom(doc.Reader()); err != nil {
		t.Fatal(err)
	}
	identity := func(s string) string { return s }
	if got := view(t, e, doc, ecosystem.View{Link: identity}); got != text.String() {
		t.Errorf("view without changes differs from the document:\n%s", got)
	}
	if got := view(t, e, doc, ecosystem.View{Form: "unlinked", Link: toNative}); got != text.String() {
		t.Errorf("unlinked view differs from the document:\n%s", got)
	}
	all := func(string, time.Time) bool { return true }
	none := func(string, time.Time) bool { return false }
	for _, v := range []ecosystem.View{
		{Link: toNative},
		{Form: "abbreviated", Link: identity},
		{Form: "abbreviated", Link: toNative},
		{Form: "abbreviated unlinked", Link: toNative, Show: none},
		{Link: identity, Show: all},
		{Link: identity, Show: none},
	} {
		got := view(t, e, doc, v)
		if !json.Valid([]byte(got)) {
			t.Errorf("view %q is no JSON:\n%s", v.Form, got)
		}
		shown := ecosystem.Body{Resource: doc.Resource, ReaderAt: strings.NewReader(got), Size: int64(len(got))}
		if again := view(t, e, shown, ecosystem.View{Form: v.Form, Link: identity}); again != got {
			t.Errorf("view %q of a view differs:\n%s\n%s", v.Form, got, again)
		}
	}
}

// padded is a packument with everything that views change or must not change.
const padded = `{"_id":"left-pad","_rev":"1-a","name":"left-pad","description":"pad \u00e9 <b>",
 "dist-tags":{"latest":"2.0.0","next":"3.0.0-rc.1","old":"1.10.0"},
 "versions":{
  "1.9.0":{"name":"left-pad","version":"1.9.0","scripts":{"install":"node-gyp rebuild"},"dist":{"tarball":"https://registry.example/left-pad/-/left-pad-1.9.0.tgz","shasum":"da39a3ee5e6b4b0d3255bfef95601890afd80709"},"big":123456789012345678901234567890},
  "1.10.0":{"name":"left-pad","version":"1.10.0","scripts":{"test":"x"},"dependencies":{"a":"^1"},"engines":{"node":">=1"},"dist":{"integrity":"x","tarball":"https:\/\/registry.example\/left-pad\/-\/left-pad-1.10.0.tgz","fileCount":1e1},"_npmUser":{"name":"n"}},
  "2.0.0":{"name":"left-pad","version":"2.0.0","hasInstallScript":false,"scripts":{"postinstall":"x"},"dist":{"tarball":"https://elsewhere.example/x.tgz"},"bin":{"pad":"p"}},
  "3.0.0-rc.1":{"name":"left-pad","version":"3.0.0-rc.1","deprecated":"no","dist":null}
 },
 "readme":"long","time":{"created":"2020-01-01T00:00:00Z","modified":"2026-06-01T00:00:00Z","1.9.0":"2024-01-01T00:00:00Z","1.10.0":"2025-01-01T00:00:00.123Z","2.0.0":"2026-01-01T00:00:00Z","3.0.0-rc.1":"2026-06-01T00:00:00Z"}}`

func TestView(t *testing.T) {
	before := func(day string) func(string, time.Time) bool {
		cut, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		return func(_ string, published time.Time) bool { return published.Before(cut) }
	}
	const times = `"time":{"created":"2020-01-01T00:00:00Z","modified":"2026-06-01T00:00:00Z","1.9.0":"2024-01-01T00:00:00Z","1.10.0":"2025-01-01T00:00:00.123Z","2.0.0":"2026-01-01T00:00:00Z","3.0.0-rc.1":"2026-06-01T00:00:00Z"},"modified":"2026-06-01T00:00:00Z"`
	for _, tt := range []struct {
		name string
		view ecosystem.View
		want string
	}{
		{"abbreviated", ecosystem.View{Form: "abbreviated"}, `{"name":"left-pad","dist-tags":{"latest":"2.0.0","next":"3.0.0-rc.1","old":"1.10.0"},"versions":{` +
			`"1.9.0":{"name":"left-pad","version":"1.9.0","dist":{"tarball":"https://registry.example/left-pad/-/left-pad-1.9.0.tgz","shasum":"da39a3ee5e6b4b0d3255bfef95601890afd80709"},"hasInstallScript":true},` +
			`"1.10.0":{"name":"left-pad","version":"1.10.0","dependencies":{"a":"^1"},"engines":{"node":">=1"},"dist":{"integrity":"x","tarball":"https:\/\/registry.example\/left-pad\/-\/left-pad-1.10.0.tgz","fileCount":1e1}},` +
			`"2.0.0":{"name":"left-pad","version":"2.0.0","hasInstallScript":false,"dist":{"tarball":"https://elsewhere.example/x.tgz"},"bin":{"pad":"p"}},` +
			`"3.0.0-rc.1":{"name":"left-pad","version":"3.0.0-rc.1","deprecated":"no","dist":null}},` + times + `}`},
		{"abbreviated, linked, as of 2025", ecosystem.View{Form: "abbreviated", Link: toNative, Show: before("2025-01-01")}, `{"name":"left-pad","dist-tags":{"latest":"1.9.0"},"versions":{` +
			`"1.9.0":{"name":"left-pad","version":"1.9.0","dist":{"tarball":"http://cache.example:7885/npm/left-pad/-/left-pad-1.9.0.tgz","shasum":"da39a3ee5e6b4b0d3255bfef95601890afd80709"},"hasInstallScript":true}},` +
			`"time":{"created":"2020-01-01T00:00:00Z","modified":"2024-01-01T00:00:00Z","1.9.0":"2024-01-01T00:00:00Z"},"modified":"2024-01-01T00:00:00Z"}`},
		{"as of 2026", ecosystem.View{Show: before("2026-01-01")}, `{"_id":"left-pad","_rev":"1-a","name":"left-pad","description":"pad \u00e9 <b>","dist-tags":{"latest":"1.10.0","old":"1.10.0"},"versions":{` +
			`"1.9.0":{"name":"left-pad","version":"1.9.0","scripts":{"install":"node-gyp rebuild"},"dist":{"tarball":"https://registry.example/left-pad/-/left-pad-1.9.0.tgz","shasum":"da39a3ee5e6b4b0d3255bfef95601890afd80709"},"big":123456789012345678901234567890},` +
			`"1.10.0":{"name":"left-pad","version":"1.10.0","scripts":{"test":"x"},"dependencies":{"a":"^1"},"engines":{"node":">=1"},"dist":{"integrity":"x","tarball":"https:\/\/registry.example\/left-pad\/-\/left-pad-1.10.0.tgz","fileCount":1e1},"_npmUser":{"name":"n"}}},` +
			`"readme":"long","time":{"created":"2020-01-01T00:00:00Z","modified":"2025-01-01T00:00:00.123Z","1.9.0":"2024-01-01T00:00:00Z","1.10.0":"2025-01-01T00:00:00.123Z"}}`},
		{"before its time", ecosystem.View{Form: "abbreviated", Show: before("2000-01-01")}, `{"name":"left-pad","dist-tags":{},"versions":{},"time":{"created":"2020-01-01T00:00:00Z","modified":"2026-06-01T00:00:00Z"},"modified":"2026-06-01T00:00:00Z"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := example()
			if got := view(t, e, body(t, e, registry+"left-pad", padded), tt.view); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	e := example()
	checkViews(t, e, body(t, e, registry+"left-pad", padded))
}

// TestViewLinked checks that a linked full view differs in tarballs only.
func TestViewLinked(t *testing.T) {
	e := example()
	got := view(t, e, body(t, e, registry+"left-pad", padded), ecosystem.View{Link: toNative})
	want := strings.ReplaceAll(strings.ReplaceAll(padded, `\/`, "/"), `"tarball":"`+registry, `"tarball":"http://cache.example:7885/npm/`)
	var a, b any
	if err := json.Unmarshal([]byte(got), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(got, `"big":123456789012345678901234567890`) || !strings.Contains(got, `\u00e9 <b>`) {
		t.Errorf("numbers or escapes changed:\n%s", got)
	}
}

func TestViewManifest(t *testing.T) {
	e := example()
	const text = `{"name":"left-pad","version":"1.0.0","scripts":{"install":"x"},"dist":{"tarball":"https://registry.example/left-pad/-/left-pad-1.0.0.tgz"}}`
	const want = `{"name":"left-pad","version":"1.0.0","scripts":{"install":"x"},"dist":{"tarball":"http://cache.example:7885/npm/left-pad/-/left-pad-1.0.0.tgz"}}`
	doc := body(t, e, registry+"left-pad/1.0.0", text)
	if got := view(t, e, doc, ecosystem.View{Link: toNative}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	keys := body(t, e, registry+"-/npm/v1/keys", `{"keys": [] }`)
	if got := view(t, e, keys, ecosystem.View{Link: toNative}); got != `{"keys": [] }` {
		t.Errorf("keys changed: %s", got)
	}
}

// large returns a packument of n versions, about 2.5 KB each like real ones.
func large(n int) string {
	var b, times strings.Builder
	b.WriteString(`{"_id":"left-pad","name":"left-pad","dist-tags":{"latest":"1.0.0"},"versions":{`)
	for i := range n {
		if i > 0 {
			b.WriteString(",")
			times.WriteString(",")
		}
		fmt.Fprintf(&b, `"1.0.%d":{"name":"left-pad","version":"1.0.%d","description":%q,"scripts":{"test":"node test"},"dependencies":{"a":"^1.0.0","b":"^2.0.0"},"maintainers":[{"name":"x","email":"x@example.org"}],"readme":%q,"dist":{"integrity":"%s","shasum":"%s","tarball":"%sleft-pad/-/left-pad-1.0.%d.tgz","fileCount":10,"unpackedSize":12345}}`,
			i, i, strings.Repeat("words ", 30), strings.Repeat("line\n", 300), empty512, empty1, registry, i)
		fmt.Fprintf(&times, `"1.0.%d":"2026-01-01T00:00:00.000Z"`, i)
	}
	fmt.Fprintf(&b, `},"time":{"created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z",%s},"readme":"x"}`, times.String())
	return b.String()
}

func BenchmarkView(b *testing.B) {
	e := example()
	text := large(1000)
	doc := body(b, e, registry+"left-pad", text)
	for name, v := range map[string]ecosystem.View{
		"abbreviated": {Form: "abbreviated"},
		"linked":      {Link: toNative},
		"as-of":       {Form: "abbreviated", Link: toNative, Show: func(v string, _ time.Time) bool { return len(v) < 7 }},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				if err := e.View(&out, doc, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkInspect(b *testing.B) {
	e := example()
	text := large(1000)
	doc := body(b, e, registry+"left-pad", text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		_, err := e.Inspect(b.Context(), doc, noSource{b}, func(ecosystem.Claim) error { n++; return nil })
		if err != nil || n != 1000 {
			b.Fatalf("%d claims, %v", n, err)
		}
	}
}
