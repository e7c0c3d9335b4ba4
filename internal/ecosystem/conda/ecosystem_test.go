package conda_test

import (
	"errors"
	"net/url"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/conda"
	"sutler/internal/ecosystem/ecosystemtest"
)

// example knows a host of its own, so that the cases name no public one.
func example() *conda.Ecosystem {
	return conda.New(conda.Options{Hosts: []string{"conda.example"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		path, pkg, version string
		err                error
	}{
		{"/forge/noarch/left-pad-1.2-py_0.conda", "left-pad", "1.2", nil},
		{"/forge/label/dev/osx-arm64/pad-1!2.0-h1_0.tar.bz2", "pad", "1!2.0", nil},
		{"/forge/linux-64/current_repodata.json", "", "", nil},
		{"/linux-64/repodata.json.bz2", "", "", nil},
		{"/forge/linux-64/pad.conda", "", "", ecosystem.ErrUnknown},
		{"/forge/linux-64/-1-0.conda", "", "", ecosystem.ErrUnknown},
		{"/forge/linux-64/pad--0.conda", "", "", ecosystem.ErrUnknown},
		{"/forge/linux-64/repodata_shards.msgpack.zst", "", "", ecosystem.ErrUnknown},
		{"/forge/linux-65/repodata.json", "", "", ecosystem.ErrUnknown},
		{"/repodata.json", "", "", ecosystem.ErrUnknown},
	} {
		u := &url.URL{Scheme: "https", Host: "other.example", Path: tt.path}
		res, err := example().Classify(ecosystem.Request{Method: "GET", URL: u})
		if !errors.Is(err, tt.err) || res.Package != tt.pkg || res.Version != tt.version {
			t.Errorf("%s = %q %q, %v; want %q %q, %v", tt.path, res.Package, res.Version, err, tt.pkg, tt.version, tt.err)
		}
	}
}
