package rpm

import (
	"bytes"
	"errors"
	"io"
)

// A cutter leaves out what stands between two tags. Four fifths of primary are what
// packages need and offer; to decode that would take most of the time, and none of it
// is read.
type cutter struct {
	r          io.Reader
	start, end []byte

	buf    []byte
	ready  []byte // part of buf that may be read
	rest   []byte // part of buf that was not looked at, or may be the first half of a tag
	inside bool
	err    error // of r
}

// newCutter returns a reader of r without what stands between <format> and </format>.
func newCutter(r io.Reader) *cutter {
	return &cutter{r: r, start: []byte("<format>"), end: []byte("</format>"), buf: make([]byte, 64<<10)}
}

// Read reads what is left.
func (c *cutter) Read(p []byte) (int, error) {
	for len(c.ready) == 0 {
		if c.look(); len(c.ready) > 0 {
			break
		}
		if c.err != nil {
			return 0, c.err
		}
		n := copy(c.buf, c.rest)
		m, err := c.r.Read(c.buf[n:])
		c.rest, c.err = c.buf[:n+m], err
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// look moves what may be read from rest to ready, up to the next tag.
func (c *cutter) look() {
	for {
		tag := c.start
		if c.inside {
			tag = c.end
		}
		i := bytes.Index(c.rest, tag)
		before, after := c.rest, c.rest[len(c.rest):]
		switch {
		case i >= 0:
			before, after = c.rest[:i], c.rest[i+len(tag):]
		case !errors.Is(c.err, io.EOF):
			keep := max(0, len(c.rest)-len(tag)+1)
			before, after = c.rest[:keep], c.rest[keep:]
		}
		if c.rest = after; !c.inside {
			c.ready = before
		}
		if i < 0 {
			return
		}
		if c.inside = !c.inside; len(c.ready) > 0 {
			return
		}
	}
}
