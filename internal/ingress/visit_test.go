package ingress

import (
	"fmt"
	"strings"
	"testing"
)

// FuzzParseTarget checks that what is accepted means the same to whoever reads it again.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"npm.example:443", "[::1]:443", "1.2.3.4:80", "a.example.:443", "a:0", "[a]:443"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		to, err := ParseTarget(s)
		if err != nil {
			t.Skip()
		}
		again, err := ParseTarget(to.String())
		if err != nil || again != to {
			t.Errorf("ParseTarget(%q) = %v, read again %v, %v", s, to, again, err)
		}
		if strings.ContainsAny(to.Host, "/@ \r\n\x00") || to.Port < 1 || to.Port > 65535 {
			t.Errorf("ParseTarget(%q) = %+v", s, to)
		}
	})
}

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]string{
		"NPM.example.:443": "npm.example:443", "1.2.3.4:443": "1.2.3.4:443 address", "[2001:DB8::1]:443": "[2001:db8::1]:443 address",
		"npm.example": "", "npm.example:": "", "npm.example:0": "", "npm.example:65536": "", "npm.example:https": "", ":443": "",
		"a b:443": "", "u@npm.example:443": "", "npm.example:443/x": "", "": "", "[npm.example]:443x": "",
		"127.1:443": "", "0x7f.1:443": "", "0:443": "", "a..b:443": "", ".a:443": "", "a..:443": "", "1a.example:443": "1a.example:443",
	} {
		to, err := ParseTarget(in)
		got := ""
		if err == nil {
			got = strings.TrimSpace(fmt.Sprint(to, " ", map[bool]string{true: "address"}[to.Address]))
		}
		if got != want {
			t.Errorf("ParseTarget(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}
