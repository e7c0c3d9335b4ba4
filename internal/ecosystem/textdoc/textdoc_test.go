package textdoc_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/textdoc"
)

// body returns a document of that text.
func body(text string) ecosystem.Body {
	return ecosystem.Body{Resource: ecosystem.Resource{URL: "https://host.example/doc"}, ReaderAt: strings.NewReader(text), Size: int64(len(text))}
}

func TestLines(t *testing.T) {
	for text, want := range map[string][]string{
		"":           nil,
		"a":          {"a"},
		"a\n\nb\r\n": {"a\n", "\n", "b\r\n"},
		"a\nb":       {"a\n", "b"},
	} {
		var got []string
		err := textdoc.Lines(body(text), 100, func(line []byte) error {
			got = append(got, string(line))
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Lines(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	none := func([]byte) error { return nil }
	if err := textdoc.Lines(body("12345"), 4, none); !errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("a document over the limit: %v", err)
	}
	if err := textdoc.Lines(body(strings.Repeat("x", textdoc.MaxLine+1)), 1<<30, none); !errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("a line over the limit: %v", err)
	}
}

// unreadable is a document whose bytes cannot be read.
type unreadable struct{}

func (unreadable) ReadAt([]byte, int64) (int, error) { return 0, iotest.ErrTimeout }

func TestErrors(t *testing.T) {
	none := func([]byte) error { return nil }
	doc := body("a\n")
	if err := textdoc.Lines(doc, 100, func([]byte) error { return io.ErrClosedPipe }); err != io.ErrClosedPipe {
		t.Errorf("Lines = %v, want the error of the function", err)
	}
	doc.ReaderAt = unreadable{}
	if err := textdoc.Lines(doc, 100, none); !errors.Is(err, iotest.ErrTimeout) || errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("Lines = %v, want the error of reading", err)
	}
}

func TestFilter(t *testing.T) {
	var b bytes.Buffer
	err := textdoc.Filter(&b, body("a 1\nb\na 2"), 100, func(line []byte) bool { return line[0] == 'a' })
	if err != nil || b.String() != "a 1\na 2" {
		t.Errorf("Filter wrote %q, %v", b.String(), err)
	}
	if err := textdoc.Filter(&b, body("a 1\n"), 1, func([]byte) bool { return true }); err == nil || !strings.Contains(err.Error(), "host.example/doc") {
		t.Errorf("Filter = %v, want the document named", err)
	}
}
