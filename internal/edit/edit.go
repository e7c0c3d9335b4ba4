// Package edit changes configuration files of other programs: it adds what sutler needs
// and takes exactly that back later, also when others have changed the file in between.
// Bytes are spliced, never marshalled anew, so unknown keys, comments, order and layout
// stay. Nothing here reads or writes files.
//
// A record belongs to the Apply that made it. Applying again changes nothing and gives a
// record that takes nothing back: keep the first one. To apply other values, undo first.
// Several records of one file are undone newest first: in another order what they set goes
// all the same, but an empty file or other white space may be left.
package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Formats, as Undo wants them named.
const (
	FormatJSON  = "json"  // strict JSON: daemon.json, docker's config.json
	FormatTOML  = "toml"  // containers.conf, registries.conf, buildkitd.toml, hosts.toml
	FormatPip   = "pip"   // pip.conf: sections, key = value, values over several lines
	FormatNpm   = "npm"   // .npmrc: key=value
	FormatBlock = "block" // a marked block in a shell file
	FormatFile  = "file"  // a whole file of our own
)

// maxSize bounds the files that are edited.
const maxSize = 4 << 20

var (
	// ErrConflict means that what was added cannot be told apart from what others wrote since.
	ErrConflict = errors.New("changed by others since sutler wrote it")
	// ErrTaken means that a file that was to be ours exists and is not.
	ErrTaken = errors.New("exists and is not sutler's")
)

// An Edit is one change of one file.
type Edit interface {
	// Apply returns the file with our settings in it; old is nil if there is none. Applying
	// twice changes nothing. The record says exactly what was added or replaced.
	Apply(old []byte) (updated []byte, record json.RawMessage, err error)
}

// FormatOf returns the format that Undo needs for records of e, which is one of this
// package's.
func FormatOf(e Edit) string {
	switch e := e.(type) {
	case keyed:
		return e.format
	case block:
		return FormatBlock
	case file:
		return FormatFile
	}
	return ""
}

// How says what is done to a key.
type How string

// What can be done to a key. A list that does not exist is made.
const (
	Set     How = "set"     // give it the value, whatever it had
	Append  How = "append"  // add the value, a string, to the list at its end, unless it is in it
	Prepend How = "prepend" // likewise, at its beginning
)

// A Key is a setting in a JSON, TOML or key-value file.
type Key struct {
	Path  []string // names from the root on; section and key in a key-value file
	Value any      // string, bool, int, []string; for JSON all that marshals
	How   How      // Set if empty
	First bool     // TOML: a new table goes before its siblings, for files in which order counts
}

// how returns what is to be done.
func (k Key) how() How {
	if k.How == "" {
		return Set
	}
	return k.How
}

// Undo takes back what record says from now, which others may have changed since: ours
// goes, theirs stays. It returns nil bytes if the file was ours alone and nothing else is
// left, ErrConflict if it cannot be told apart. A single value that others have changed is
// theirs, and stays.
func Undo(format string, now []byte, record json.RawMessage) ([]byte, error) {
	var r journal
	if err := json.Unmarshal(record, &r); err != nil {
		return nil, fmt.Errorf("record of an edit: %w", err)
	}
	if now == nil {
		return nil, nil
	}
	switch format {
	case FormatJSON, FormatTOML, FormatPip, FormatNpm:
		return r.undo(syntaxOf(format), now)
	case FormatBlock:
		return r.undoBlock(now)
	case FormatFile:
		return r.undoFile(now)
	}
	return nil, fmt.Errorf("record of an edit: format %q is not known to this sutler", format)
}

// A journal says what an Apply did.
type journal struct {
	Created  bool   `json:"created,omitempty"`  // there was no file
	WasBlank bool   `json:"wasBlank,omitempty"` // it held nothing but Blank: white space
	Blank    []byte `json:"blank,omitempty"`
	Ops      []op   `json:"ops,omitempty"` // in their order

	Text string `json:"text,omitempty"` // block: the inserted bytes
	Old  []byte `json:"old,omitempty"`  // block, file: what ours replaced
	Had  bool   `json:"had,omitempty"`  // block, file: Old is what was there
	Hash string `json:"hash,omitempty"` // file: SHA-256 of ours; empty if nothing was changed
	Mark string `json:"mark,omitempty"` // file: what does not hold it is not ours, whoever wrote it
}

// An op is one change of one key.
type op struct {
	Path  []string        `json:"path"`
	How   How             `json:"how"`
	Value json.RawMessage `json:"value,omitempty"`
	Old   *string         `json:"old,omitempty"` // source text of the value that ours replaced

	// JSON: how many of the containers around the value were made for it, and the white
	// space in the first that was not, if it was empty.
	Made   int     `json:"made,omitempty"`
	Inside *string `json:"inside,omitempty"`

	// Other formats: the inserted bytes, and where in them the key begins.
	Text string `json:"text,omitempty"`
	At   int    `json:"at,omitempty"`
}

// A syntax knows how to change one key of one format.
type syntax interface {
	// check refuses what is not valid in the format.
	check(text []byte) error
	// empty returns the smallest valid file.
	empty() []byte
	// blank reports whether a valid file says nothing.
	blank(text []byte) bool
	// apply changes a key; the op is nil if there was nothing to do.
	apply(text []byte, k Key) ([]byte, *op, error)
	// undo takes an op back.
	undo(text []byte, o op) ([]byte, error)
}

func syntaxOf(format string) syntax {
	switch format {
	case FormatJSON:
		return jsonSyntax{}
	case FormatTOML:
		return tomlSyntax{}
	}
	return iniSyntax{npm: format == FormatNpm}
}

// keyed is an Edit that sets keys.
type keyed struct {
	format string
	keys   []Key
}

// JSON returns an Edit of a JSON file.
func JSON(keys ...Key) Edit { return keyed{FormatJSON, keys} }

// TOML returns an Edit of a TOML file.
func TOML(keys ...Key) Edit { return keyed{FormatTOML, keys} }

// Pip returns an Edit of a pip.conf; paths are section and key.
func Pip(keys ...Key) Edit { return keyed{FormatPip, keys} }

// Npm returns an Edit of an .npmrc; paths are a key alone.
func Npm(keys ...Key) Edit { return keyed{FormatNpm, keys} }

// Apply sets the keys, one after the other.
func (e keyed) Apply(old []byte) ([]byte, json.RawMessage, error) {
	s := syntaxOf(e.format)
	r := journal{Created: old == nil}
	text := old
	if len(bytes.TrimSpace(old)) == 0 {
		r.WasBlank, r.Blank, text = true, bytes.Clone(old), s.empty()
	}
	if err := check(s, text); err != nil {
		return nil, nil, err
	}
	for _, k := range e.keys {
		next, o, err := s.apply(text, k)
		if err != nil {
			return nil, nil, err
		}
		if o == nil {
			continue
		}
		if err := check(s, next); err != nil {
			return nil, nil, fmt.Errorf("setting %s would break the file: %w", pathText(k.Path), err)
		}
		text, r.Ops = next, append(r.Ops, *o)
	}
	if len(r.Ops) == 0 {
		r, text = journal{}, old
	}
	return text, marshal(r), nil
}

// undo takes the ops back, the last one first.
func (r journal) undo(s syntax, now []byte) ([]byte, error) {
	if len(r.Ops) == 0 {
		return now, nil
	}
	if len(bytes.TrimSpace(now)) == 0 {
		return r.rest(now), nil
	}
	if err := check(s, now); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConflict, err)
	}
	text := now
	for _, o := range slices.Backward(r.Ops) {
		next, err := s.undo(text, o)
		if err != nil {
			return nil, err
		}
		text = next
	}
	if s.blank(text) {
		return r.rest(text), nil
	}
	return text, nil
}

// rest returns what a file becomes in which nothing is left: what it was if it held
// nothing before.
func (r journal) rest(text []byte) []byte {
	switch {
	case r.Created:
		return nil
	case r.WasBlank:
		return append([]byte{}, r.Blank...)
	}
	return text
}

// check refuses files that are too big, are not in UTF-8, begin with a byte order mark or are not valid.
func check(s syntax, text []byte) error {
	if len(text) > maxSize {
		return fmt.Errorf("the file has %d bytes, more than %d: it is no configuration", len(text), maxSize)
	}
	if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		return errors.New("line 1, column 1: the file begins with a byte order mark, which the program that reads it does not accept: save it without one")
	}
	if at := bytes.IndexRune(text, utf8.RuneError); at >= 0 && !utf8.Valid(text) {
		return fmt.Errorf("%s: the file is not in UTF-8: save it so", place(text, at))
	}
	return s.check(text)
}

// marshal encodes what always can be.
func marshal(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// splice returns text with [from, to) replaced.
func splice[T string | []byte](text []byte, from, to int, by T) []byte {
	out := make([]byte, 0, len(text)-to+from+len(by))
	out = append(out, text[:from]...)
	out = append(out, by...)
	return append(out, text[to:]...)
}

// place returns "line L, column C" of an offset, for people.
func place(text []byte, offset int) string {
	offset = min(max(offset, 0), len(text))
	line := bytes.Count(text[:offset], []byte("\n"))
	column := offset - bytes.LastIndexByte(text[:offset], '\n')
	return fmt.Sprintf("line %d, column %d", line+1, column)
}

// newline returns how lines end in the file.
func newline(text []byte) string {
	if bytes.Contains(text, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// pathText returns a path for people.
func pathText(path []string) string {
	var b bytes.Buffer
	for i, p := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(bareKey(p))
	}
	return b.String()
}
