package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
)

// manifestName is the manifest's file name in the folder of the state.
const manifestName = "trust.json"

// The kinds of entries.
const (
	kindFile = "file"
	kindJava = "java"
	kindNSS  = "nss"
)

// An Entry is one thing that was put into a store.
type Entry struct {
	Store   string   `json:"store"`
	Kind    string   `json:"kind"`
	Path    string   `json:"path"`              // the file, key store or folder of a database
	SHA256  string   `json:"sha256,omitempty"`  // of the file as we left it
	Names   []string `json:"names,omitempty"`   // inside of a key store
	Backup  string   `json:"backup,omitempty"`  // file with the key store as it was
	Refresh string   `json:"refresh,omitempty"` // command that makes the removal count
}

// A manifest lists what was put into the stores of this host.
type manifest struct {
	Entries []Entry  `json:"entries"`
	Folders []string `json:"folders,omitempty"` // that were made for them
}

// readManifest reads a manifest; there may be none.
func readManifest(path string) (m manifest, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w; it says what `sutler ca trust` changed: restore it, or undo that by hand and delete the file", path, err)
	}
	return m, nil
}

// write writes the manifest; an empty one is no file.
func (m *manifest) write(path string) error {
	if len(m.Entries) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(path, append(text, '\n'), 0o600)
}

// find returns the entry about a path of a store.
func (m *manifest) find(store, path string) (Entry, bool) {
	i := slices.IndexFunc(m.Entries, func(e Entry) bool { return e.Store == store && e.Path == path })
	if i < 0 {
		return Entry{}, false
	}
	return m.Entries[i], true
}

// put adds an entry, in the place of one about the same path.
func (m *manifest) put(e Entry) {
	m.drop(e)
	m.Entries = append(m.Entries, e)
}

// drop removes the entry about the same path.
func (m *manifest) drop(e Entry) {
	m.Entries = slices.DeleteFunc(m.Entries, func(o Entry) bool { return o.Store == e.Store && o.Path == e.Path })
}
