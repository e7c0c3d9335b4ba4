package gomod

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// View copies the document, but leaves out of a list what v.Show refuses. A list does not
// say when versions were published, and the time in .info is its author's: Show is told none.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	if v.Show == nil || !strings.HasSuffix(doc.Resource.URL, "/@v/list") {
		_, err := io.Copy(w, doc.Reader())
		return err
	}
	text, err := io.ReadAll(io.LimitReader(doc.Reader(), maxDocument))
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(text)) {
		if v.Show(listed(line), time.Time{}) {
			out.WriteString(line)
		}
	}
	_, err = w.Write(out.Bytes())
	return err
}
