package conda

import (
	"io"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// View copies the document: file names in it are relative, and its encodings are of one
// generation.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	return jsondoc.Copy(w, doc)
}
