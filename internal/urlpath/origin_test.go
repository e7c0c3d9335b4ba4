package urlpath_test

import (
	"net/url"
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
