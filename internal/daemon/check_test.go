package daemon

import (
	"errors"
	"os"
	"strings"
	"testing"

	"sutler/internal/config"
)

// Check finds what config cannot know, and nothing in what is fine.
func TestCheck(t *testing.T) {
	missing := t.TempDir() + "/missing"
	for name, tt := range map[string]struct {
		set  func(*config.Config)
		want string
	}{
		"default":   {func(*config.Config) {}, ""},
		"ecosystem": {func(c *config.Config) { c.Hosts = []string{"nmp=a.example"} }, `hosts: there is no ecosystem "nmp"; it is one of apk, apt,`},
		"mirror":    {func(c *config.Config) { c.Upstream.Mirrors = []string{"x"} }, "upstream.mirrors: "},
		"roots":     {func(c *config.Config) { c.Upstream.CAFile = missing }, "upstream.ca_file: " + missing + ": no such file"},
		"keyrings":  {func(c *config.Config) { c.Apt.Keyrings = missing }, "apt.keyrings: " + missing + ": no such file"},
		"keys":      {func(c *config.Config) { c.Apk.Keys = missing }, "apk.keys: " + missing},
		"rpm":       {func(c *config.Config) { c.RPM.Keyrings = missing }, "rpm.keyrings: " + missing},
		"sumdb":     {func(c *config.Config) { c.Gomod.SumDB = "foo" }, "gomod.sumdb: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := config.Default(config.Place{Getenv: os.Getenv})
			tt.set(&c)
			got := errors.Join(Check(c)...)
			if (got == nil) != (tt.want == "") || got != nil && !strings.HasPrefix(got.Error(), tt.want) {
				t.Errorf("Check = %v, want %q", got, tt.want)
			}
		})
	}
}
