package npm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sutler/internal/ecosystem"
)

// Limits of what is read. Packuments of 100 MB exist; one version's part of them does not
// come near these.
const (
	maxDepth  = 256
	maxKept   = 16 << 20 // bytes of one value that is looked into
	scanChunk = 64 << 10
)

// errJSON is wrapped by the errors of a scanner about the text, as opposed to reading it.
var errJSON = fmt.Errorf("%w: not JSON", ecosystem.ErrInvalid)

// A scanner reads one JSON text, checks its grammar and hands out the bytes of its values
// as they stand: numbers and escapes survive a copy. encoding/json has no such reader that
// does not hold the whole text. Not safe for concurrent use.
type scanner struct {
	r     io.Reader // nil once it is at its end
	buf   []byte    // what was read and not yet dropped
	pos   int       // of the next byte in buf
	keep  int       // start in buf of the value that must be kept, -1 if none
	depth int
	name  []byte // the key read last, as it stands
}

// newScanner returns a scanner of what r holds.
func newScanner(r io.Reader) *scanner {
	return &scanner{r: r, buf: make([]byte, 0, scanChunk), keep: -1}
}

// fill reads more, or returns io.EOF. Bytes before keep, or before pos, are dropped.
func (s *scanner) fill() error {
	from := s.pos
	if s.keep >= 0 {
		from = s.keep
	}
	if len(s.buf)-from >= maxKept {
		return fmt.Errorf("%w: a value of more than %d bytes", ecosystem.ErrInvalid, maxKept)
	}
	if from > 0 {
		s.buf = s.buf[:copy(s.buf, s.buf[from:])]
		s.pos -= from
		s.keep = min(s.keep, 0)
	}
	if len(s.buf) == cap(s.buf) {
		s.buf = append(make([]byte, 0, 2*cap(s.buf)), s.buf...)
	}
	n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	switch {
	case n > 0:
		return nil
	case errors.Is(err, io.EOF):
		s.r = nil
		return io.EOF
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// peek returns the next byte without taking it; at the end of the text, an error.
func (s *scanner) peek() (byte, error) {
	if s.pos == len(s.buf) {
		if err := s.fill(); errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("%w: it ends early", errJSON)
		} else if err != nil {
			return 0, err
		}
	}
	return s.buf[s.pos], nil
}

// space skips white space and returns the byte after it without taking it.
func (s *scanner) space() (byte, error) {
	for {
		c, err := s.peek()
		if err != nil || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c, err
		}
		s.pos++
	}
}

// take takes the next byte after white space, which must be one of those given.
func (s *scanner) take(wants string) (byte, error) {
	c, err := s.space()
	if err != nil {
		return 0, err
	}
	if bytes.IndexByte([]byte(wants), c) < 0 {
		return 0, fmt.Errorf("%w: %q where one of %q must stand", errJSON, c, wants)
	}
	s.pos++
	return c, nil
}

// end checks that nothing but white space is left.
func (s *scanner) end() error {
	for {
		for ; s.pos < len(s.buf); s.pos++ {
			if c := s.buf[s.pos]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
				return fmt.Errorf("%w: %q after its end", errJSON, c)
			}
		}
		if err := s.fill(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// rest returns a reader of what was not read yet. The scanner must not be used any more.
func (s *scanner) rest() io.Reader {
	left := bytes.NewReader(s.buf[s.pos:])
	if s.r == nil {
		return left
	}
	return io.MultiReader(left, s.r)
}

// raw reads the next value and returns its bytes. They hold until the scanner is used again.
func (s *scanner) raw() ([]byte, error) {
	if _, err := s.space(); err != nil {
		return nil, err
	}
	s.keep = s.pos
	err := s.skip()
	value := s.buf[max(s.keep, 0):s.pos]
	s.keep = -1
	return value, err
}

// text reads the next value, which must be a string, and returns what it says.
func (s *scanner) text() (string, error) {
	c, err := s.space()
	if err != nil {
		return "", err
	}
	if c != '"' {
		return "", fmt.Errorf("%w: %q where a string must stand", errJSON, c)
	}
	b, err := s.raw()
	if err != nil {
		return "", err
	}
	return unquote(b)
}

// unquote returns what a JSON string says.
func unquote(quoted []byte) (string, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var out string
	if err := json.Unmarshal(quoted, &out); err != nil {
		return "", fmt.Errorf("%w: %w", errJSON, err)
	}
	return out, nil
}

// optionalText is text for members that may be of another kind: then it returns "".
func (s *scanner) optionalText() (string, error) {
	c, err := s.space()
	if err != nil || c == '"' {
		return s.textIf(err)
	}
	return "", s.skip()
}

// textIf reads a string unless there is an error already.
func (s *scanner) textIf(err error) (string, error) {
	if err != nil {
		return "", err
	}
	return s.text()
}

// object reads the next value. If it is an object, member is called for each key and must
// read the value; a key that comes twice is an error, because readers differ in which one
// they believe. Values that are no objects are skipped.
func (s *scanner) object(member func(key string) error) error {
	c, err := s.space()
	if err != nil {
		return err
	}
	if c != '{' {
		return s.skip()
	}
	seen := make(map[string]bool)
	return s.group('}', func() error {
		key, err := s.key()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%w: %q stands twice", ecosystem.ErrInvalid, key)
		}
		seen[key] = true
		return member(key)
	})
}

// array reads the next value. If it is an array, element is called for each element and
// must read it; other values are skipped.
func (s *scanner) array(element func() error) error {
	c, err := s.space()
	if err != nil {
		return err
	}
	if c != '[' {
		return s.skip()
	}
	return s.group(']', element)
}

// key reads the key of a member and the colon after it.
func (s *scanner) key() (string, error) {
	if c, err := s.space(); err != nil {
		return "", err
	} else if c != '"' {
		return "", fmt.Errorf("%w: %q where a key must stand", errJSON, c)
	}
	raw, err := s.raw()
	if err != nil {
		return "", err
	}
	s.name = append(s.name[:0], raw...)
	if _, err := s.take(":"); err != nil {
		return "", err
	}
	return unquote(s.name)
}

// group reads an opening bracket, comma-separated elements and the closing bracket.
func (s *scanner) group(closing byte, element func() error) error {
	s.pos++
	if s.depth++; s.depth > maxDepth {
		return fmt.Errorf("%w: nested deeper than %d", ecosystem.ErrInvalid, maxDepth)
	}
	defer func() { s.depth-- }()
	if c, err := s.space(); err != nil {
		return err
	} else if c == closing {
		s.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		c, err := s.take(",]}")
		if err != nil {
			return err
		}
		if c == closing {
			return nil
		}
		if c != ',' {
			return fmt.Errorf("%w: %q where %q must stand", errJSON, c, closing)
		}
	}
}

// skip reads one value of any kind.
func (s *scanner) skip() error {
	c, err := s.space()
	if err != nil {
		return err
	}
	switch c {
	case '{':
		return s.group('}', s.skipMember)
	case '[':
		return s.group(']', s.skip)
	case '"':
		return s.skipString()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	}
	return s.number()
}

// skipMember reads one member of an object.
func (s *scanner) skipMember() error {
	if c, err := s.space(); err != nil {
		return err
	} else if c != '"' {
		return fmt.Errorf("%w: %q where a key must stand", errJSON, c)
	}
	if err := s.skipString(); err != nil {
		return err
	}
	if _, err := s.take(":"); err != nil {
		return err
	}
	return s.skip()
}

// skipString reads a string.
func (s *scanner) skipString() error {
	s.pos++
	for {
		for ; s.pos < len(s.buf); s.pos++ {
			switch c := s.buf[s.pos]; {
			case c == '"':
				s.pos++
				return nil
			case c < 0x20:
				return fmt.Errorf("%w: control character %q in a string", errJSON, c)
			}
			if s.buf[s.pos] == '\\' {
				break
			}
		}
		if s.pos == len(s.buf) {
			if _, err := s.peek(); err != nil {
				return err
			}
			continue
		}
		if err := s.escape(); err != nil {
			return err
		}
	}
}

// escape reads an escape sequence in a string.
func (s *scanner) escape() error {
	s.pos++
	c, err := s.peek()
	if err != nil {
		return err
	}
	s.pos++
	if c != 'u' {
		if bytes.IndexByte([]byte(`"\/bfnrt`), c) < 0 {
			return fmt.Errorf("%w: escape %q", errJSON, c)
		}
		return nil
	}
	for range 4 {
		c, err := s.peek()
		if err != nil {
			return err
		}
		if bytes.IndexByte([]byte("0123456789abcdefABCDEF"), c) < 0 {
			return fmt.Errorf("%w: escape \\u%q", errJSON, c)
		}
		s.pos++
	}
	return nil
}

// literal reads one of the three words of JSON.
func (s *scanner) literal(word string) error {
	for i := range len(word) {
		c, err := s.peek()
		if err != nil {
			return err
		}
		if c != word[i] {
			return fmt.Errorf("%w: %q where %q must stand", errJSON, c, word)
		}
		s.pos++
	}
	return nil
}
