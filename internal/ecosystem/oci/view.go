package oci

import (
	"io"

	"sutler/internal/ecosystem"
)

// View copies the document: manifests are named by the digest of their bytes.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	_, err := io.Copy(w, doc.Reader())
	return err
}
