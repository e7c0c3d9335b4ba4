package openpgp

import (
	"io"

	"sutler/internal/ecosystem"
)

// View copies the key.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	_, err := io.Copy(w, doc.Reader())
	return err
}
