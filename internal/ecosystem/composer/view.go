package composer

import (
	"io"
	"net/url"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// View writes packages.json with v.Link applied to the places it names, which may be
// absolute or start at the root of the host. Metadata is copied: lock files take dist URLs
// from it, and those must not name a cache.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	if doc.Resource.Package != "" || !jsondoc.Linked(v, doc) {
		return jsondoc.Copy(w, doc)
	}
	u, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return err
	}
	origin := u.Scheme + "://" + u.Host
	return jsondoc.Rewrite(w, doc, func(key, s string) string {
		switch key {
		case "metadata-url", "providers-url", "providers-lazy-url", "providers-api", "metadata-changes-url", "notify-batch", "search", "list":
			if strings.HasPrefix(s, "/") {
				s = origin + s // a template (%package%), so it cannot be parsed as a URL
			}
			return v.Link(s)
		}
		return s
	})
}
