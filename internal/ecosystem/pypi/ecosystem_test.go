package pypi_test

import (
	"slices"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
)

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }

// TestMountPort checks that an index on a port is reached by its mount: pip escapes the colon
// of links that it is given.
func TestMountPort(t *testing.T) {
	mounts := example().Profile().Mounts
	i := slices.IndexFunc(mounts, func(m ecosystem.Mount) bool { return m.Path == "/pypi/host/{host}/" })
	for _, path := range []string{"/pypi/host/index.example:8443/simple/six/", "/pypi/host/index.example%3A8443/simple/six/"} {
		if u, ok := mounts[i].URL(path, ""); !ok || u.String() != "https://index.example:8443/simple/six/" {
			t.Errorf("%s is %v, %t", path, u, ok)
		}
	}
}
