package site_test

import (
	"fmt"
	"strings"
	"testing"

	"sutler/internal/ecosystem/site"
)

func TestAccepted(t *testing.T) {
	for accept, want := range map[string]string{
		"":                                 " 1",
		"text/html":                        "text/html 1",
		"Text/HTML; charset=x ; Q = 0.5":   "text/html 0.5",
		"a/b;q=0, */*;q=x":                 "a/b 0|*/* 0",
		"a/b; q=1.0,c/d;q=0.8;level=1,e/f": "a/b 1|c/d 0.8|e/f 1",
	} {
		var got []string
		for name, quality := range site.Accepted(accept) {
			got = append(got, fmt.Sprintf("%s %v", name, quality))
		}
		if g := strings.Join(got, "|"); g != want {
			t.Errorf("Accepted(%q) = %q, want %q", accept, g, want)
		}
	}
	for range site.Accepted("a/b, c/d") {
		break // ends at once
	}
}
