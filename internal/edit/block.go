package edit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// What a marked block begins and ends with.
const (
	blockBegin = "# >>> sutler >>>"
	blockEnd   = "# <<< sutler <<<"
)

// block is an Edit that adds marked lines to a shell file.
type block struct{ lines string }

// Block returns an Edit that adds lines to the end of a shell file, between marks.
func Block(lines string) Edit { return block{strings.TrimRight(lines, "\n")} }

// findBlock returns where the block begins and ends with its line break; from is -1 if there is none.
func findBlock(text []byte) (from, to int, err error) {
	begin, end := -1, -1
	for at := 0; at < len(text); {
		_, stop := lineAround(text, at)
		switch strings.TrimSpace(string(text[at:stop])) {
		case blockBegin:
			if begin >= 0 {
				return 0, 0, fmt.Errorf("%s: a second %q: remove one of the blocks", place(text, at), blockBegin)
			}
			begin = at
		case blockEnd:
			if begin < 0 || end >= 0 {
				return 0, 0, fmt.Errorf("%s: %q without a beginning: remove the line", place(text, at), blockEnd)
			}
			end = lineEnd(text, stop)
		}
		at = lineEnd(text, stop)
	}
	if begin >= 0 && end < 0 {
		return 0, 0, fmt.Errorf("%s: %q without %q: remove the rest of the block", place(text, begin), blockBegin, blockEnd)
	}
	return begin, end, nil
}

// Apply adds the block, or replaces the one that is there.
func (e block) Apply(old []byte) ([]byte, json.RawMessage, error) {
	nl := newline(old)
	if strings.Contains(e.lines, blockBegin) || strings.Contains(e.lines, blockEnd) {
		return nil, nil, fmt.Errorf("the lines hold a mark of sutler's")
	}
	text := strings.ReplaceAll(blockBegin+"\n"+e.lines+"\n"+blockEnd+"\n", "\n", nl)
	from, to, err := findBlock(old)
	if err != nil {
		return nil, nil, err
	}
	if from >= 0 {
		if lineless(old[from:to]) == lineless([]byte(text)) {
			return old, marshal(journal{}), nil
		}
		if !bytes.HasSuffix(old[from:to], []byte("\n")) {
			text = strings.TrimSuffix(text, nl)
		}
		return splice(old, from, to, text), marshal(journal{Text: text, Old: bytes.Clone(old[from:to]), Had: true}), nil
	}
	if n := len(old); n > 0 && old[n-1] != '\n' {
		text = nl + text
	}
	return splice(old, len(old), len(old), text), marshal(journal{Created: old == nil, Text: text}), nil
}

// lineless returns a block without what differs between line endings.
func lineless(b []byte) string {
	return strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
}

// undoBlock takes a block away, or puts back what it replaced.
func (r journal) undoBlock(now []byte) ([]byte, error) {
	from, to, err := findBlock(now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConflict, err)
	}
	if r.Text == "" || from < 0 {
		return now, nil
	}
	if lineless(now[from:to]) != lineless([]byte(strings.TrimLeft(r.Text, "\r\n"))) {
		return nil, fmt.Errorf("%w: %s: the lines between the marks are not those that sutler wrote: remove the block by hand", ErrConflict, place(now, from))
	}
	if r.Had {
		return splice(now, from, to, r.Old), nil
	}
	if lead := len(r.Text) - len(strings.TrimLeft(r.Text, "\r\n")); lead > 0 && to == len(now) && from >= lead {
		from -= lead // the file did not end with a line break
	}
	out := splice(now, from, to, "")
	if r.Created && len(bytes.TrimSpace(out)) == 0 {
		return nil, nil
	}
	return out, nil
}

// file is an Edit that makes a file of our own.
type file struct {
	content []byte
	mark    string
	program bool
}

// File returns an Edit that makes a whole file of our own. An existing file is replaced
// only if it holds mark, which only we write.
func File(content, mark string) Edit { return file{[]byte(content), mark, false} }

// Program returns an Edit like that of File, for a program: another one that somebody put in
// its place, which does not hold mark, is theirs and stays.
func Program(content, mark string) Edit { return file{[]byte(content), mark, true} }

// Apply returns the content.
func (e file) Apply(old []byte) ([]byte, json.RawMessage, error) {
	r := journal{Created: old == nil, Hash: hash(e.content)}
	if e.program {
		r.Mark = e.mark
	}
	switch {
	case old != nil && bytes.Equal(old, e.content):
		return old, marshal(journal{}), nil
	case old != nil && (e.mark == "" || !bytes.Contains(old, []byte(e.mark))):
		return nil, nil, ErrTaken
	case old != nil:
		r.Old, r.Had = bytes.Clone(old), true
	}
	return bytes.Clone(e.content), marshal(r), nil
}

// undoFile removes the file, or puts back what it replaced.
func (r journal) undoFile(now []byte) ([]byte, error) {
	switch {
	case r.Hash == "" || r.Had && bytes.Equal(now, r.Old) || r.Mark != "" && !bytes.Contains(now, []byte(r.Mark)):
		return now, nil
	case hash(now) != r.Hash:
		return nil, fmt.Errorf("%w: the whole file was sutler's: look at it and remove it by hand", ErrConflict)
	case r.Had:
		return append([]byte{}, r.Old...), nil
	}
	return nil, nil
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
