package huggingface

import (
	"io"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// View copies the document: files are whole, and lists hold no links.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	return jsondoc.Copy(w, doc)
}
