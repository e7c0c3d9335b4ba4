package settings

import (
	"slices"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
)

var profiles = []ecosystem.Profile{
	{Env: []ecosystem.Setting{{Name: "CONF", Value: "{dir}/tool.conf"}, {Name: "TOOL_PROXY", Value: "{proxy}"}}, Files: []ecosystem.File{{Name: "tool.conf", Content: "ca={dir}/ca.pem\n"}}},
	{Env: []ecosystem.Setting{{Name: "CONF", Value: "ignored: the first wins"}}},
}

// TestEnv checks that what goes into cache keys of build steps never names the proxy.
func TestEnv(t *testing.T) {
	v := Values{Proxy: "http://id:x@127.0.0.1:1", Dir: "/d", NoProxy: NoProxy}
	names := func(constant bool) (out []string) {
		for _, s := range Env(profiles, v, constant) {
			if constant && strings.Contains(s.Value, "id:x") {
				t.Errorf("%s=%s differs from build to build", s.Name, s.Value)
			}
			out = append(out, s.Name)
		}
		return out
	}
	if got := names(true); !slices.Equal(got, []string{"CONF"}) {
		t.Errorf("constant: %v", got)
	}
	want := []string{"CONF", "TOOL_PROXY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"}
	if got := names(false); !slices.Equal(got, want) {
		t.Errorf("all: %v, want %v", got, want)
	}
}

func TestProxied(t *testing.T) {
	if got := Proxied(append(profiles, profiles...)); !slices.Equal(got, []string{"TOOL_PROXY"}) {
		t.Errorf("Proxied = %v", got)
	}
}

func TestFiles(t *testing.T) {
	got := Files(profiles, Values{Dir: "/d"}, []byte("roots"))
	if string(got[BundleName]) != "roots" || string(got["tool.conf"]) != "ca=/d/ca.pem\n" || len(got) != 2 {
		t.Errorf("Files = %q", got)
	}
}
