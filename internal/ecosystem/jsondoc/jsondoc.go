// Package jsondoc reads JSON documents from origins within limits of size and depth, and
// writes them again with other links. What is malformed is ecosystem.ErrInvalid; what
// could not be read is not.
package jsondoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sutler/internal/ecosystem"
)

// The limits of a document, or of one value in a document that is read in parts. Registries'
// largest have about 20 MB and nest 10 deep.
const (
	MaxSize  = 64 << 20
	MaxDepth = 64
	// MaxValues is how many values there may be besides the first of each object and list:
	// "{}," takes twenty times as much memory as space.
	MaxValues = 4 << 20
)

// Decode reads a document, which must be one JSON value and no more, into v.
func Decode(doc ecosystem.Body, v any) error {
	if doc.Size > MaxSize {
		return fmt.Errorf("%w: %s has %d bytes, more than %d", ecosystem.ErrInvalid, doc.Resource.URL, doc.Size, MaxSize)
	}
	d := NewDecoder(doc.Reader())
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	if err := d.End(); err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	return nil
}

// Rewrite writes a document with every string replaced by what text returns for it, given
// the key it stands under. Objects come out sorted by key.
func Rewrite(w io.Writer, doc ecosystem.Body, text func(key, s string) string) error {
	var v any
	if err := Decode(doc, &v); err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(replace(v, "", text))
}

// replace returns v with its strings replaced.
func replace(v any, key string, text func(key, s string) string) any {
	switch x := v.(type) {
	case string:
		return text(key, x)
	case []any:
		for i := range x {
			x[i] = replace(x[i], key, text)
		}
	case map[string]any:
		for k := range x {
			x[k] = replace(x[k], k, text)
		}
	}
	return v
}

// Linked reports whether links of a document are to be replaced: they are not where
// clients see the URLs of the origin.
func Linked(v ecosystem.View, doc ecosystem.Body) bool {
	return v.Link != nil && v.Link(doc.Resource.URL) != doc.Resource.URL
}

// Copy writes a document as it is.
func Copy(w io.Writer, doc ecosystem.Body) error {
	_, err := io.Copy(w, doc.Reader())
	return err
}

// A Decoder reads JSON as json.Decoder does, within the limit of depth, and tells what is
// malformed from what could not be read.
type Decoder struct {
	json *json.Decoder
	in   *guard
}

// NewDecoder returns a decoder of r. Numbers without a type stay as they are written.
func NewDecoder(r io.Reader) *Decoder {
	in := &guard{r: r}
	d := &Decoder{json: json.NewDecoder(in), in: in}
	d.json.UseNumber()
	return d
}

// Decode reads the next value into v.
func (d *Decoder) Decode(v any) error {
	d.in.taken, d.in.values = 0, 0
	return d.check(d.json.Decode(v))
}

// Skip reads the next value and drops it.
func (d *Decoder) Skip() error {
	var raw json.RawMessage
	return d.Decode(&raw)
}

// Object reads an object, calling member for each key; member must read the value.
func (d *Decoder) Object(member func(key string) error) error {
	t, err := d.token()
	if err != nil {
		return d.check(err)
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%w: %v in place of an object", ecosystem.ErrInvalid, t)
	}
	for d.json.More() {
		t, err := d.token()
		if err != nil {
			return d.check(err)
		}
		key, ok := t.(string)
		if !ok {
			return fmt.Errorf("%w: %v in place of a key", ecosystem.ErrInvalid, t)
		}
		if err := member(key); err != nil {
			return err
		}
	}
	_, err = d.json.Token()
	return d.check(err)
}

// token reads the next token.
func (d *Decoder) token() (json.Token, error) {
	d.in.taken, d.in.values = 0, 0
	return d.json.Token()
}

// End returns an error unless all has been read.
func (d *Decoder) End() error {
	switch _, err := d.json.Token(); {
	case err == nil:
		return fmt.Errorf("%w: more than one JSON value", ecosystem.ErrInvalid)
	case errors.Is(err, io.EOF):
		return d.in.err
	default:
		return d.check(err)
	}
}

// check returns err as one of reading, or as an invalid document.
func (d *Decoder) check(err error) error {
	switch {
	case err == nil:
		return nil
	case d.in.err != nil:
		return d.in.err
	}
	return fmt.Errorf("%w: %w", ecosystem.ErrInvalid, err)
}

// A guard is a reader of JSON that fails where it is nested too deeply or one value is too
// long, since values are kept in memory, and remembers why reading failed.
type guard struct {
	r      io.Reader
	taken  int64 // bytes since the last value began
	values int   // likewise
	depth  int
	quoted bool // inside a string
	escape bool // after a backslash
	err    error
}

func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.r.Read(p)
	if g.taken += int64(n); g.taken > MaxSize {
		g.err = fmt.Errorf("%w: a value of more than %d bytes", ecosystem.ErrInvalid, MaxSize)
		return 0, g.err
	}
	if !g.shallow(p[:n]) {
		g.err = fmt.Errorf("%w: nested more than %d deep, or more than %d values", ecosystem.ErrInvalid, MaxDepth, MaxValues)
		return 0, g.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		g.err = err
	}
	return n, err
}

// shallow counts brackets and commas, and reports whether they are few.
func (g *guard) shallow(p []byte) bool {
	for len(p) > 0 {
		if g.quoted {
			p = g.skip(p)
			continue
		}
		switch p[0] {
		case '"':
			g.quoted = true
		case '{', '[':
			if g.depth++; g.depth > MaxDepth {
				return false
			}
		case '}', ']':
			g.depth--
		case ',':
			if g.values++; g.values > MaxValues {
				return false
			}
		}
		p = p[1:]
	}
	return true
}

// skip returns what follows the string, or nil.
func (g *guard) skip(p []byte) []byte {
	if g.escape {
		g.escape = false
		return p[1:]
	}
	i := bytes.IndexAny(p, `"\`)
	if i < 0 {
		return nil
	}
	g.quoted, g.escape = p[i] == '\\', p[i] == '\\'
	return p[i+1:]
}
