package terraform

import (
	"io"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// View copies the document: there is no native endpoint that links could lead to.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	return jsondoc.Copy(w, doc)
}
