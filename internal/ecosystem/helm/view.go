package helm

import (
	"io"

	"go.yaml.in/yaml/v3"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
)

// View writes an index with v.Link applied to the absolute URLs of charts, without the
// versions that v.Show refuses.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	if doc.Resource.Sealed || v.Show == nil && !jsondoc.Linked(v, doc) {
		return jsondoc.Copy(w, doc)
	}
	defer e.alone(doc)()
	root, err := parse(doc)
	if err != nil {
		return err
	}
	lists, err := charts(root)
	if err != nil {
		return invalid(doc, err)
	}
	for _, list := range lists {
		if err := change(list, v); err != nil {
			return invalid(doc, err)
		}
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return err
	}
	return enc.Close()
}

// change changes the list of the versions of one chart.
func change(list *yaml.Node, v ecosystem.View) error {
	var shown []*yaml.Node
	for _, n := range list.Content {
		r, err := read(n)
		if err != nil {
			return err
		}
		if v.Show != nil && !v.Show(r.Version, r.created()) {
			continue
		}
		shown = append(shown, n)
		if v.Link == nil || len(r.URLs) == 0 {
			continue
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "urls" {
				for _, u := range n.Content[i+1].Content {
					u.Value = v.Link(u.Value) // of relative URLs it knows no other
				}
			}
		}
	}
	list.Content = shown
	return nil
}
