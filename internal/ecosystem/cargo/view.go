package cargo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
	"sutler/internal/ecosystem/textdoc"
)

// View writes an index file without the versions that v.Show refuses, and config.json with
// the places of crates and of the API through v.Link. All that stays keeps its bytes.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	switch {
	case doc.Resource.Package == "" && v.Link != nil && v.Link(doc.Resource.URL) != doc.Resource.URL:
		return viewConfig(w, doc, v.Link)
	case doc.Resource.Package != "" && v.Show != nil:
		return textdoc.Filter(w, doc, maxIndex, func(line []byte) bool {
			r, err := readRelease(line)
			return err != nil || v.Show(r.version, r.published)
		})
	}
	return jsondoc.Copy(w, doc)
}

// viewConfig writes config.json with links mapped. cargo asks the cache then, whatever host
// the registry keeps its crates on.
func viewConfig(w io.Writer, doc ecosystem.Body, link func(string) string) error {
	text, err := io.ReadAll(io.LimitReader(doc.Reader(), maxConfig))
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	out := make(map[string]json.RawMessage)
	err = members(text, func(key string, value json.RawMessage) error {
		out[key] = value
		var address string
		if key != "dl" && key != "api" || json.Unmarshal(value, &address) != nil || address == "" {
			return nil
		}
		mapped := link(address)
		if !strings.HasSuffix(address, "/") {
			mapped = strings.TrimSuffix(mapped, "/") // cargo appends paths that start with one
		}
		out[key], err = json.Marshal(mapped)
		return err
	})
	if err == nil {
		err = json.NewEncoder(w).Encode(out)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	return nil
}
