package maven

import (
	"io"

	"sutler/internal/ecosystem"
)

// View copies the document: lists hold no links, and say of no version when it came.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	_, err := io.Copy(w, doc.Reader())
	return err
}
