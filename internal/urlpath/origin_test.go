package urlpath_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"sutler/internal/urlpath"
)

func TestOrigin(t *testing.T) {
	for raw, want := range map[string]string{
		"https://HOST.example:443/x":  "https://host.example",
		"https://host.example:80/x":   "https://host.example:80",
		"http://host.example:80":      "http://host.example",
		"http://127.0.0.1:8080/x?y":   "http://127.0.0.1:8080",
		"ftp://host.example/x":        "",
		"/x":                          "",
		"https:///x":                  "",
		"//host.example/x":            "",
		"https://u:p@host.example/x#": "https://host.example",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := urlpath.Origin(u); got != want || ok != (want != "") {
			t.Errorf("Origin(%s) = %q, %v, want %q", raw, got, ok, want)
		}
	}
	if got, ok := urlpath.Origin(nil); ok {
		t.Errorf("Origin(nil) = %q", got)
	}
}

func TestPlain(t *testing.T) {
	for _, s := range []string{"", ".", "..", "a/b", `a\b`, "a%2e", "a\x00", "a\n"} {
		if urlpath.Plain(s) {
			t.Errorf("Plain(%q)", s)
		}
	}
	if !urlpath.Plain("é+~1.0") {
		t.Error("a name is not plain")
	}
}

func TestSegments(t *testing.T) {
	for escaped, want := range map[string]string{
		"": "", "/": "", "/a/b%2B1~c": "a b+1~c", "/a/": "a /", "/a//b": "no", "/a%2fb": "no", "/%2e%2e/b": "no",
		"/a%00": "no", "/a%252fb": "no", "/" + strings.Repeat("a", 5000): "no",
	} {
		segments, folder, ok := urlpath.Segments(escaped)
		got := strings.Join(segments, " ")
		switch {
		case !ok:
			got = "no"
		case folder:
			got = strings.TrimSpace(got + " /")
		}
		if got != want {
			t.Errorf("Segments(%.40q) = %q, want %q", escaped, got, want)
		}
		if again, _, _ := urlpath.Segments(urlpath.Join("", segments...)); !slices.Equal(again, segments) {
			t.Errorf("Join(%q) leads to %q", segments, again)
		}
	}
}
