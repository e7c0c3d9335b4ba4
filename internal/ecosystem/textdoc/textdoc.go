// Package textdoc reads documents that consist of lines, within limits. What exceeds them
// is ecosystem.ErrInvalid; what could not be read is not.
package textdoc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"sutler/internal/ecosystem"
)

// MaxLine is the longest line that is read, in bytes. Lines about packages with very many
// versions or dependencies have some hundred kilobytes.
const MaxLine = 4 << 20

// Lines calls line for each line of a document of at most limit bytes, with its newline if
// it has one. The bytes are valid during the call. Errors of line are returned as they are.
func Lines(doc ecosystem.Body, limit int64, line func([]byte) error) error {
	if doc.Size > limit {
		return fmt.Errorf("%w: %d bytes, more than %d", ecosystem.ErrInvalid, doc.Size, limit)
	}
	s := bufio.NewScanner(doc.Reader())
	s.Buffer(nil, MaxLine)
	s.Split(split)
	for s.Scan() {
		if err := line(s.Bytes()); err != nil {
			return err
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%w: a line has more than %d bytes", ecosystem.ErrInvalid, MaxLine)
	}
	return s.Err()
}

// split is a bufio.SplitFunc that leaves lines their newlines.
func split(data []byte, end bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if end && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// Filter writes the lines that keep reports true for, byte for byte. Errors name the document.
func Filter(w io.Writer, doc ecosystem.Body, limit int64, keep func(line []byte) bool) error {
	err := Lines(doc, limit, func(line []byte) error {
		if !keep(line) {
			return nil
		}
		_, err := w.Write(line)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	return nil
}
