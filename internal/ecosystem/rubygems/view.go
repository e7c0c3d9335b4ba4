package rubygems

import (
	"fmt"
	"io"
	"strings"

	"sutler/internal/ecosystem"
)

// View copies the document, without the lines of versions that v.Show refuses if it is an
// info file. No document has links. The list of all versions states no times: it stays whole,
// and clients that do not find a version in the info file do without it.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	if v.Show == nil || doc.Resource.Package == "" || doc.Resource.Sealed {
		_, err := io.Copy(w, doc.Reader())
		return err
	}
	err := lines(doc, func(line []byte) error {
		if r, err := readRelease(strings.TrimSuffix(string(line), "\n")); err == nil && !v.Show(r.version, r.created) {
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
