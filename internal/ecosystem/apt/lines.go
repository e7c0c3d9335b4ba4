package apt

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Bounds of a text in the format of Debian control files.
const (
	maxLine    = 1 << 20 // bytes; fields that list thousands of dependencies have 100 KB
	maxLines   = 100_000_000
	lineBuffer = 64 << 10 // bytes; longer lines are read, but cut
)

// A lineReader reads lines without copying them.
type lineReader struct {
	r     *bufio.Reader
	count int
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, lineBuffer)}
}

// next returns the next line without its end, valid until the next call, and io.EOF after
// the last. A line longer than the buffer is cut: no field that is read is so long.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if l.count++; l.count > maxLines {
		return nil, invalid("more than %d lines", maxLines)
	}
	switch {
	case err == nil:
		line = line[:len(line)-1]
	case errors.Is(err, bufio.ErrBufferFull):
		return l.long(line)
	case len(line) == 0 || !errors.Is(err, io.EOF):
		return nil, err
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// long skips the rest of a line that the buffer cannot hold, and returns its start.
func (l *lineReader) long(start []byte) ([]byte, error) {
	n, kept := len(start), bytes.Clone(start[:min(len(start), 256)])
	for {
		more, err := l.r.ReadSlice('\n')
		if n += len(more); n > maxLine {
			return nil, invalid("a line of more than %d bytes", maxLine)
		}
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return kept, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
