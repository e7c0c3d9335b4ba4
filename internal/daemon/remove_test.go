package daemon

import (
	"testing"

	"sutler/internal/index"
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
