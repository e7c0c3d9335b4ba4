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
	var root yaml.Node
	if err := parse(doc, &root); err != nil {
		return err
	}
	for _, top := range root.Content {
		entries := member(top, "entries")
		if entries == nil || entries.Kind != yaml.MappingNode {
			continue
		}
		for i := 1; i < len(entries.Content); i += 2 {
			if err := releases(entries.Content[i], v); err != nil {
				return err
			}
		}
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&root); err != nil {
		return err
	}
	return enc.Close()
}

// releases changes the list of the versions of one chart.
func releases(list *yaml.Node, v ecosystem.View) error {
	var shown []*yaml.Node
	for _, n := range list.Content {
		var r release
		if err := n.Decode(&r); err != nil {
			return err
		}
		if v.Show != nil && !v.Show(r.Version, r.created()) {
			continue
		}
		shown = append(shown, n)
		if urls := member(n, "urls"); urls != nil && v.Link != nil {
			for _, u := range urls.Content {
				u.Value = v.Link(u.Value) // of relative URLs it knows no other
			}
		}
	}
	list.Content = shown
	return nil
}

// member returns the value of a key in a mapping, or nil.
func member(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
