package rpm

import (
	"io"

	"sutler/internal/ecosystem"
)

// View writes a list of mirrors with few entries, which lead through the cache. All else
// is hashed as a whole and names files relative to the repository: it is copied.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	kind, ok := listOf(doc.Resource.URL)
	if !ok {
		_, err := io.Copy(w, doc.Reader())
		return err
	}
	b, err := readSmall(doc)
	if err != nil {
		return err
	}
	pick := picker{profile: e.profile, host: hostOf(doc.Resource.URL), link: v.Link}
	if kind == metalinkType {
		b, err = pick.metalink(b)
	} else {
		b, err = pick.list(b)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}
