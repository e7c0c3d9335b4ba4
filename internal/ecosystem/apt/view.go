package apt

import (
	"io"

	"sutler/internal/ecosystem"
)

// View copies the document: everything is signed or hashed as a whole, and names files
// relative to the repository, so no link needs to change.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	_, err := io.Copy(w, doc.Reader())
	return err
}
