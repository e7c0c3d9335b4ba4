package nuget

import (
	"io"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// View writes a document with v.Link applied to all URLs in it: a feed's documents name
// each other by nothing else.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	if !jsondoc.Linked(v, doc) {
		return jsondoc.Copy(w, doc)
	}
	return jsondoc.Rewrite(w, doc, func(_, s string) string {
		if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
			return v.Link(s)
		}
		return s
	})
}
