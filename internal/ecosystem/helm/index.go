package helm

import (
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"sutler/internal/ecosystem"
)

// Limits of an index. Parsed, it takes some thirty times its size; what consists of nothing
// but marks would take a hundred times as much.
const (
	maxIndex = 24 << 20
	maxNodes = 3 << 20
	isLarge  = 1 << 20
)

// alone makes others that read a large index wait until the function that it returns is called.
func (e *Ecosystem) alone(doc ecosystem.Body) func() {
	if doc.Size < isLarge {
		return func() {}
	}
	e.large.Lock()
	return e.large.Unlock
}

// parse reads an index. Its nodes are taken as they are: decoding them into types compares
// each key of a mapping with each other, which takes hours where there are a million.
func parse(doc ecosystem.Body) (*yaml.Node, error) {
	if doc.Size > maxIndex {
		return nil, invalid(doc, fmt.Errorf("%d bytes, more than %d", doc.Size, maxIndex))
	}
	text, err := io.ReadAll(doc.Reader())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	if nodes(text) > maxNodes {
		return nil, invalid(doc, fmt.Errorf("more than %d nodes", maxNodes))
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, invalid(doc, err)
	}
	return &root, nil
}

// invalid returns err as that of a document that must not be kept.
func invalid(doc ecosystem.Body, err error) error {
	return fmt.Errorf("%w: %s: %w", ecosystem.ErrInvalid, doc.Resource.URL, err)
}

// nodes returns how many nodes a text can have at most: each begins behind one of these.
func nodes(text []byte) int {
	n := 1
	for i, c := range text {
		switch c {
		case '\n', '\r', ',', '[', '{', ':':
			n++
		case '-', '?':
			if i+1 < len(text) && text[i+1] <= ' ' {
				n++
			}
		}
	}
	return n
}

// releases returns the nodes of all versions of all charts, in their order.
func releases(root *yaml.Node) ([]*yaml.Node, error) {
	lists, err := charts(root)
	if err != nil {
		return nil, err
	}
	var out []*yaml.Node
	for _, list := range lists {
		out = append(out, list.Content...)
	}
	return out, nil
}

// charts returns the lists of the versions of each chart.
func charts(root *yaml.Node) ([]*yaml.Node, error) {
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, errors.New("no index")
	}
	top, err := members(root.Content[0])
	if err != nil {
		return nil, err
	}
	entries, ok := top["entries"]
	if !ok {
		return nil, errors.New("no entries")
	}
	if _, err := members(entries); err != nil {
		return nil, err
	}
	var out []*yaml.Node
	for i := 1; i < len(entries.Content); i += 2 {
		switch n := entries.Content[i]; {
		case n.Kind == yaml.SequenceNode:
			out = append(out, n)
		case n.ShortTag() != "!!null":
			return nil, fmt.Errorf("line %d: no list of versions", n.Line)
		}
	}
	return out, nil
}

// members returns the values of a mapping. No key may stand in it twice: readers differ in
// which of them they believe.
func members(n *yaml.Node) (map[string]*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: no mapping", n.Line)
	}
	out := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: no key", key.Line)
		}
		if _, ok := out[key.Value]; ok {
			return nil, fmt.Errorf("line %d: key %.100q stands twice", key.Line, key.Value)
		}
		out[key.Value] = n.Content[i+1]
	}
	return out, nil
}

// read returns what a version of a chart states. Aliases, which no program writes into an
// index, are of no use here: a few bytes could stand for any number of versions.
func read(n *yaml.Node) (r release, err error) {
	m, err := members(n)
	if err != nil {
		return r, err
	}
	for key, to := range map[string]*string{"version": &r.Version, "digest": &r.Digest, "created": &r.Created} {
		if *to, err = text(m[key]); err != nil {
			return r, err
		}
	}
	urls := m["urls"]
	if urls == nil || urls.ShortTag() == "!!null" {
		return r, nil
	}
	if urls.Kind != yaml.SequenceNode {
		return r, fmt.Errorf("line %d: no list of URLs", urls.Line)
	}
	for _, u := range urls.Content {
		s, err := text(u)
		if err != nil {
			return r, err
		}
		r.URLs = append(r.URLs, s)
	}
	return r, nil
}

// text returns the text of a scalar, "" if there is none.
func text(n *yaml.Node) (string, error) {
	switch {
	case n == nil:
		return "", nil
	case n.Kind != yaml.ScalarNode:
		return "", fmt.Errorf("line %d: no text", n.Line)
	case n.ShortTag() == "!!null":
		return "", nil
	}
	return n.Value, nil
}
