package hex

import (
	"io"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// View copies the document: all are signed or whole files, and none holds a link.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	return jsondoc.Copy(w, doc)
}
