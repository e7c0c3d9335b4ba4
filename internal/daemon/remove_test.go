package daemon

import (
	"log/slog"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/index"
	indexsqlite "sutler/internal/index/sqlite"
)

// TestInUse keeps the whole chain of documents above what is used, and ends on a circle.
func TestInUse(t *testing.T) {
	entries := []index.Entry{{Key: "root"}, {Key: "index", Voucher: "root"}, {Key: "file", Voucher: "index"}, {Key: "other", Voucher: "index"},
		{Key: "x", Voucher: "y"}, {Key: "y", Voucher: "x"}, {Key: "byurl", Voucher: "url"}}
	live := inUse(entries, func(en index.Entry) bool { return en.Key == "file" || en.Key == "x" || en.Key == "byurl" })
	for key, want := range map[string]bool{"root": true, "index": true, "file": true, "other": false, "x": true, "y": true, "byurl": true, "url": false} {
		if live[key] != want {
			t.Errorf("%s is in use: %v, want %v", key, live[key], want)
		}
	}
}

// TestMatching finds what is stored by what clients are told.
func TestMatching(t *testing.T) {
	d := &process{config: testConfig(t, "origin.example"), trouble: trouble{log: slog.New(slog.DiscardHandler)}}
	var err error
	if d.index, err = indexsqlite.Open(t.Context(), t.TempDir()+"/index.db", indexsqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	defer d.index.Close()
	if err := d.openEcosystems(); err != nil {
		t.Fatal(err)
	}
	for _, en := range []index.Entry{
		{Ecosystem: "oci", URL: "https://registry.example/v2/library/debian/manifests/12", Package: "library/debian"},
		{Ecosystem: "npm", URL: "https://npm.example/left-pad/-/left-pad-1.3.0.tgz", Package: "left-pad"},
		{Ecosystem: "npm", URL: "https://npm.example/foo-bar", Package: "foo-bar"},
		{Ecosystem: "pypi", URL: "https://pypi.example/simple/ruamel-yaml/", Package: "ruamel-yaml"},
		{Ecosystem: "apt", URL: "http://deb.example/dists/stable/InRelease"},
	} {
		en.Key = ecosystem.Key(en.Ecosystem, en.URL, "")
		if err := d.index.Put(t.Context(), en); err != nil {
			t.Fatal(err)
		}
	}
	for match, want := range map[string]string{
		"debian:12": "oci", "hub.example/library/debian:12": "oci", "hub.example/library/debian": "oci", "debian:13": "",
		"left-pad@1.3.0": "npm", "npm.example/left-pad": "npm", "left-pad@2.0.0": "",
		"Ruamel.YAML": "pypi", "foo.bar": "", "https://deb.example/dists/stable/InRelease": "apt", "nothing": "",
	} {
		entries, err := stock{d}.matching(t.Context(), match, 0)
		got := ""
		for _, en := range entries {
			got += en.Ecosystem
		}
		if err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", match, got, err, want)
		}
	}
}
