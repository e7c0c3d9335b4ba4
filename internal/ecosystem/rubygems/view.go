package rubygems

import (
	"io"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
	"sutler/internal/ecosystem/textdoc"
)

// View copies the document, without the lines of versions that v.Show refuses if it is an
// info file. No document has links. The list of all versions states no times: it stays whole,
// and clients that do not find a version in the info file do without it.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	if v.Show == nil || doc.Resource.Package == "" || doc.Resource.Sealed {
		return jsondoc.Copy(w, doc)
	}
	return textdoc.Filter(w, doc, maxDocument, func(line []byte) bool {
		r, err := readRelease(strings.TrimSuffix(string(line), "\n"))
		return err != nil || v.Show(r.version, r.created)
	})
}
