package attach

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// lockEvery is how often a second sutler looks whether the first one is done.
const lockEvery = 50 * time.Millisecond

// A phase is how far an attach or detach has come.
type phase string

const (
	attaching phase = "attaching"
	attached  phase = "attached"
	detaching phase = "detaching"
)

// A manifest records everything that was changed on this machine. It is written before
// the first change that it describes.
type manifest struct {
	Version int                   `json:"version"`
	Tools   map[string]*toolState `json:"tools"`
	Files   []*fileState          `json:"files"`
}

// A toolState is one tool that was attached, or is just being so.
type toolState struct {
	Phase phase     `json:"phase"`
	Since time.Time `json:"since"`
	Need  Need      `json:"need,omitempty"` // for the change to have an effect
	Did   Need      `json:"did,omitempty"`  // what was done, which may be more
}

// A fileState is one file with settings of ours in it.
type fileState struct {
	Path string `json:"path"`
	// Base is the file as it was before the first of us came; nil if there was none.
	Base *original `json:"base"`
	// Dirs are the folders that had to be made for it, the outermost first.
	Dirs []string `json:"dirs,omitempty"`
	// Written is the digest of what we wrote last, and Foreign says that somebody else
	// has written between two of our changes: the way back to Base is lost then.
	Written string       `json:"written"`
	Foreign bool         `json:"foreign,omitempty"`
	Edits   []*editState `json:"edits"`
	Pending *pending     `json:"pending,omitempty"`
}

// An original is a file as it was.
type original struct {
	Data   []byte      `json:"data"`
	Digest string      `json:"digest"`
	Mode   fs.FileMode `json:"mode"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
}

// An editState is what one tool's settings did to a file.
type editState struct {
	Tool   string          `json:"tool"`
	Format string          `json:"format"`
	Record json.RawMessage `json:"record"`
}

// A pending write is announced before it is done. After a crash the file's digest tells
// whether it was.
type pending struct {
	Tool          string     `json:"tool"`
	Before, After string     // digests
	Remove        bool       `json:"remove,omitempty"` // takes the edit out
	Previous      *editState `json:"previous,omitempty"`
	// Via is the digest of a file that stands there for a moment only, and Target what
	// follows it, nil for no file; see [Forgetful].
	Via    string `json:"via,omitempty"`
	Target []byte `json:"target,omitempty"`
}

// absent is the digest of no file.
const absent = "absent"

// digestOf names a file's content; nil is no file.
func digestOf(data []byte) string {
	if data == nil {
		return absent
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// file returns the state of a path, nil if we have nothing in it.
func (m *manifest) file(path string) *fileState {
	for _, f := range m.Files {
		if f.Path == path {
			return f
		}
	}
	return nil
}

// filesOf returns the files that have an edit of a tool.
func (m *manifest) filesOf(tool string) []*fileState {
	var out []*fileState
	for _, f := range m.Files {
		if f.edit(tool) != nil {
			out = append(out, f)
		}
	}
	return out
}

// edit returns the edit of a tool, nil if it has none.
func (f *fileState) edit(tool string) *editState {
	for _, e := range f.Edits {
		if e.Tool == tool {
			return e
		}
	}
	return nil
}

// drop forgets the edit of a tool.
func (f *fileState) drop(tool string) {
	f.Edits = slices.DeleteFunc(f.Edits, func(e *editState) bool { return e.Tool == tool })
}

// tidy forgets files without an edit.
func (m *manifest) tidy() {
	m.Files = slices.DeleteFunc(m.Files, func(f *fileState) bool { return len(f.Edits) == 0 })
}

// settle finds out whether the pending write of a file was done, from what it holds now.
func (f *fileState) settle(now []byte) {
	p, digest := f.Pending, digestOf(now)
	if p == nil || digest == p.Via {
		return
	}
	f.Pending = nil
	done := digest == p.After
	switch {
	case p.Remove && done:
		f.drop(p.Tool)
	case !p.Remove && !done && digest == p.Before:
		f.drop(p.Tool)
		if p.Previous != nil {
			f.Edits = append(f.Edits, p.Previous)
		}
	}
	if done {
		f.Written = p.After
	} else if f.Written == p.After {
		f.Written = p.Before
	}
}

// names returns the tools that the manifest has, sorted.
func (m *manifest) names() []string { return slices.Sorted(maps.Keys(m.Tools)) }

// A store is where the manifest is kept. One process at a time has it.
type store struct {
	dir  string
	lock *flock.Flock
}

const manifestName = "manifest.json"

// openStore takes the lock, waiting for another process that has it.
func openStore(ctx context.Context, dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &store{dir: dir, lock: flock.New(filepath.Join(dir, "lock"))}
	if ok, err := s.lock.TryLockContext(ctx, lockEvery); err != nil || !ok {
		return nil, fmt.Errorf("%s: another sutler is attaching or detaching: %w", s.lock.Path(), err)
	}
	return s, nil
}

func (s *store) close() error { return s.lock.Unlock() }

// read returns the manifest; none is an empty one.
func (s *store) read() (*manifest, error) { return readManifest(s.dir) }

func readManifest(dir string) (*manifest, error) {
	m := &manifest{Version: 1, Tools: map[string]*toolState{}}
	path := filepath.Join(dir, manifestName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%s: %w; it says what sutler changed on this machine: restore it from a backup, or take the settings out by hand and delete it", path, err)
	}
	if m.Version != 1 {
		return nil, fmt.Errorf("%s is of version %d, this sutler knows 1: use the one that wrote it", path, m.Version)
	}
	return m, nil
}

// write replaces the manifest, durably. An empty one is removed.
func (s *store) write(m *manifest) error {
	path := filepath.Join(s.dir, manifestName)
	if len(m.Tools) == 0 && len(m.Files) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDir(s.dir)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// syncDir makes renames in a folder survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
