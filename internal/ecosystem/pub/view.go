package pub

import (
	"encoding/json"
	"io"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// View writes a list of versions with v.Link applied to the URLs of archives, without the
// versions that v.Show refuses; then "latest" is the last one left, if possible one that is
// no pre-release.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	if doc.Resource.Sealed || v.Show == nil && !jsondoc.Linked(v, doc) {
		return jsondoc.Copy(w, doc)
	}
	var list map[string]any
	if err := jsondoc.Decode(doc, &list); err != nil {
		return err
	}
	all, _ := list["versions"].([]any)
	shown := make([]any, 0, len(all))
	for _, one := range all {
		if r, ok := one.(map[string]any); ok && show(v, r) {
			link(v, r)
			shown = append(shown, r)
		}
	}
	list["versions"] = shown
	if latest, ok := list["latest"].(map[string]any); ok {
		if show(v, latest) {
			link(v, latest)
		} else {
			delete(list, "latest")
			if len(shown) > 0 {
				list["latest"] = newest(shown)
			}
		}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(list)
}

// show reports whether a release may be shown.
func show(v ecosystem.View, r map[string]any) bool {
	version, _ := r["version"].(string)
	at, _ := r["published"].(string)
	return v.Show == nil || v.Show(version, published(at))
}

// link replaces the URL of a release's archive.
func link(v ecosystem.View, r map[string]any) {
	if u, ok := r["archive_url"].(string); ok && v.Link != nil {
		r["archive_url"] = v.Link(u)
	}
}

// newest returns the last of releases that stand in order, if possible one that is no
// pre-release.
func newest(releases []any) any {
	for i := len(releases) - 1; i >= 0; i-- {
		if r, ok := releases[i].(map[string]any); ok {
			if version, ok := r["version"].(string); ok && !strings.Contains(version, "-") {
				return r
			}
		}
	}
	return releases[len(releases)-1]
}
