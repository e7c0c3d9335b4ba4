package rpm

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"sutler/internal/ecosystem"
)

// Bounds of a document in XML.
const (
	maxSmall = 16 << 20 // bytes of one that is read as a whole; repomd.xml has 10 KB
	maxToken = 1 << 20  // bytes of one tag or text; descriptions have 20 KB
	maxDepth = 16       // elements in each other; there are five
	maxText  = 4 << 10  // bytes of text that matter: a path
)

// An element is one that has ended.
type element struct {
	name string // without its prefix
	attr []xml.Attr
	text []byte // the start of it, without that of elements inside
}

// value returns an attribute by its name without prefix, "" if it is not there.
func (el *element) value(name string) string {
	for _, a := range el.attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// content returns the text without space around it.
func (el *element) content() string { return strings.TrimSpace(string(el.text)) }

// A walk is on its way through a document in XML. It keeps nothing but the elements that
// are open, so a document of any size takes the same memory.
type walk struct {
	root string // what the outermost element must be
	end  func(path []element) error

	path  []element
	count int
}

// run reads the document and calls end for each element when it ends, with those that it
// lies in before it.
func (w *walk) run(ctx context.Context, r io.Reader) error {
	src := &meter{r: bufio.NewReaderSize(r, 64<<10)}
	d := xml.NewDecoder(src)
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		src.left = maxToken
		t, err := d.RawToken()
		switch {
		case errors.Is(err, io.EOF) && w.count > 0 && len(w.path) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return invalid("%s is not complete", w.root)
		case err != nil:
			return src.blame(err)
		}
		if err := w.token(t); err != nil {
			return err
		}
	}
}

// token takes in one token.
func (w *walk) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.StartElement:
		if len(w.path) == 0 && (w.count > 0 || t.Name.Local != w.root) {
			return invalid("<%.60s> where <%s> belongs (a login page?)", t.Name.Local, w.root)
		}
		if len(w.path) == maxDepth {
			return invalid("more than %d elements in each other", maxDepth)
		}
		w.count++
		w.push(t)
	case xml.CharData:
		if n := len(w.path); n > 0 {
			el := &w.path[n-1]
			el.text = append(el.text, t[:min(len(t), maxText-len(el.text))]...)
		}
	case xml.EndElement:
		n := len(w.path)
		if n == 0 || w.path[n-1].name != t.Name.Local {
			return invalid("</%.60s> ends what did not start", t.Name.Local)
		}
		err := w.end(w.path)
		w.path = w.path[:n-1]
		return err
	}
	return nil
}

// push opens an element, in the memory of one that ended.
func (w *walk) push(t xml.StartElement) {
	n := len(w.path)
	if n == cap(w.path) {
		w.path = append(w.path, element{})
	}
	w.path = w.path[:n+1]
	w.path[n] = element{name: t.Name.Local, attr: t.Attr, text: w.path[n].text[:0]}
}

// A meter reads up to a bound, and remembers errors that are no fault of the document.
type meter struct {
	r     *bufio.Reader
	left  int
	fault error
}

// ReadByte reads a byte; the decoder asks for nothing else.
func (m *meter) ReadByte() (byte, error) {
	if m.left--; m.left < 0 {
		return 0, m.fail(invalid("a tag or text of more than %d bytes", maxToken))
	}
	b, err := m.r.ReadByte()
	return b, m.fail(err)
}

// Read reads from the source.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p[:min(len(p), max(m.left, 1))])
	m.left -= n
	return n, m.fail(err)
}

func (m *meter) fail(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		m.fault = err
	}
	return err
}

// blame returns the error to report for one of the decoder.
func (m *meter) blame(err error) error {
	if m.fault != nil {
		return m.fault
	}
	return invalid("%w", err)
}

// readSmall returns the bytes of a document that must not be large.
func readSmall(doc ecosystem.Body) ([]byte, error) {
	if doc.Size > maxSmall {
		return nil, invalid("%d bytes are too many for a document of this kind", doc.Size)
	}
	return io.ReadAll(doc.Reader())
}

// invalid returns an error that wraps ecosystem.ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ecosystem.ErrInvalid, fmt.Errorf(format, args...))
}
