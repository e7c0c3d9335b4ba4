package policy

import (
	"errors"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
)

func TestRules(t *testing.T) {
	res := ecosystem.Resource{URL: "http://archive.example/x"}
	for _, tt := range []struct {
		name        string
		rules       Rules
		host, trust string // rules that refuse, "" if admitted
	}{
		{"default", Rules{}, "", ""},
		{"strict", Rules{Strict: true}, "policy.strict", "policy.strict"},
		{"unknown hosts refused", Rules{RefuseUnknown: true}, "policy.unknown_hosts", ""},
		{"strict build", Rules{}.For(Terms{Strict: true}), "policy.strict", "policy.strict"},
		{"lenient build", Rules{Strict: true}.For(Terms{Offline: true}), "policy.strict", "policy.strict"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for rule, err := range map[string]error{"host " + tt.host: tt.rules.Host("other.example"), "trust " + tt.trust: tt.rules.Trust(res, "nobody signed it")} {
				_, want, _ := strings.Cut(rule, " ")
				var refused *RefusedError
				switch {
				case want == "" && err != nil:
					t.Errorf("%s: %v, want none", rule, err)
				case want != "" && (!errors.As(err, &refused) || refused.Rule != want || !errors.Is(err, ErrRefused)):
					t.Errorf("%s: %v", rule, err)
				}
			}
		})
	}
}
