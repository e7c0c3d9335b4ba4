package apk

import (
	"io"

	"sutler/internal/ecosystem"
)

// View copies the document: it is signed as a whole, and names packages relative to itself.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	_, err := io.Copy(w, doc.Reader())
	return err
}
