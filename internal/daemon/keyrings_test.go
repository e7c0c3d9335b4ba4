package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// TestKeyrings reads what holds keys, names what does not, and leaves removed keys alone.
func TestKeyrings(t *testing.T) {
	key := func(name string) []byte {
		e, err := openpgp.NewEntity(name, "", name+"@example.com", nil)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := e.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	dir := t.TempDir()
	good, gone := key("good"), key("gone")
	for name, data := range map[string][]byte{"good.gpg": good, "x-archive-removed-keys.gpg": gone, "broken.asc": []byte("no key"), "README": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", dir+"/dangling.gpg"); err != nil {
		t.Fatal(err)
	}
	rings, err := keyrings(aptKeyrings[:], dir)
	has := func(ring []byte) bool {
		return slices.ContainsFunc(rings, func(b []byte) bool { return bytes.Equal(b, ring) })
	}
	if !has(good) || has(gone) {
		t.Errorf("good keys are read: %t, removed ones: %t", has(good), has(gone))
	}
	for _, name := range []string{"/broken.asc: ", "/dangling.gpg: "} {
		if err == nil || !strings.Contains(err.Error(), dir+name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if err != nil && strings.Contains(err.Error(), "README") {
		t.Errorf("%v", err)
	}
}
