package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tailscale/hujson"
)

// jsonSyntax edits strict JSON. hujson's parser gives the place of each value; what it
// allows beyond JSON is refused, since docker does not accept it either.
type jsonSyntax struct{}

func (jsonSyntax) empty() []byte { return []byte("{}\n") }

func (jsonSyntax) blank(text []byte) bool {
	way, _, err := walk(text, []string{""})
	return err == nil && len(way[0].kids()) == 0
}

// check refuses what is not one JSON object with different names.
func (jsonSyntax) check(text []byte) error {
	var any json.RawMessage
	if err := json.Unmarshal(text, &any); err != nil {
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) {
			return err
		}
		at := int(syntax.Offset) - 1
		hint := ""
		if at >= 0 && at < len(text) && (text[at] == '/' || text[at] == '#') {
			hint = ": the program that reads the file accepts no comments either, remove it"
		}
		return fmt.Errorf("%s: %w%s", place(text, at), err, hint)
	}
	root, err := hujson.Parse(text)
	if err != nil {
		return err
	}
	if _, ok := root.Value.(*hujson.Object); !ok {
		return fmt.Errorf("%s: the file holds no object: it has to begin with {", place(text, root.StartOffset))
	}
	return duplicates(text, &root)
}

// duplicates refuses objects that name a member twice: which one counts depends on the reader.
func duplicates(text []byte, root *hujson.Value) error {
	for v := range root.All() {
		o, ok := v.Value.(*hujson.Object)
		if !ok {
			continue
		}
		seen := map[string]bool{}
		for _, m := range o.Members {
			name := memberName(m)
			if seen[name] {
				return fmt.Errorf("%s: %q occurs twice in one object: remove one", place(text, m.Name.StartOffset), name)
			}
			seen[name] = true
		}
	}
	return nil
}

func memberName(m hujson.ObjectMember) string {
	name, _ := m.Name.Value.(hujson.Literal) // the parser allows nothing else
	return name.String()
}

// A holder is a container on the way to a value: an object or an array.
type holder struct {
	value *hujson.Value
	child int // index of the next one on the way, -1 if it is not there
}

// kids returns the begin and end of each child: of name and value for members.
func (h holder) kids() [][2]int {
	var out [][2]int
	switch c := h.value.Value.(type) {
	case *hujson.Object:
		for _, m := range c.Members {
			out = append(out, [2]int{m.Name.StartOffset, m.Value.EndOffset})
		}
	case *hujson.Array:
		for _, e := range c.Elements {
			out = append(out, [2]int{e.StartOffset, e.EndOffset})
		}
	}
	return out
}

// walk follows path from the root. It returns the objects that exist on the way, the last
// one with child -1 if the path ends there, and the value at the path or nil.
func walk(text []byte, path []string) ([]holder, *hujson.Value, error) {
	parsed, err := hujson.Parse(text)
	if err != nil {
		return nil, nil, err
	}
	root := &parsed
	var way []holder
	for i, name := range path {
		o, ok := root.Value.(*hujson.Object)
		if !ok {
			return nil, nil, fmt.Errorf("%s: %s is not an object: sutler cannot add %s to it", place(text, root.StartOffset), pathText(path[:i]), pathText(path[i:]))
		}
		h := holder{root, -1}
		for j := range o.Members {
			if memberName(o.Members[j]) == name {
				h.child = j
			}
		}
		way = append(way, h)
		if h.child < 0 {
			return way, nil, nil
		}
		root = &o.Members[h.child].Value
	}
	return way, root, nil
}

// apply changes one key.
func (jsonSyntax) apply(text []byte, k Key) ([]byte, *op, error) {
	if len(k.Path) == 0 {
		return nil, nil, errors.New("a setting needs a name")
	}
	value := marshal(k.Value)
	o := &op{Path: k.Path, How: k.how(), Value: value}
	way, found, err := walk(text, k.Path)
	if err != nil {
		return nil, nil, err
	}
	if k.how() != Set {
		return addElement(text, way, found, o)
	}
	if found == nil {
		return addMember(text, way, o)
	}
	old := string(text[found.StartOffset:found.EndOffset])
	if same([]byte(old), value) {
		return text, nil, nil
	}
	o.Old = &old
	st := styleOf(text, found.StartOffset)
	return splice(text, found.StartOffset, found.EndOffset, st.render(value, 0)), o, nil
}

// addMember adds what is missing of a path to the last object of way.
func addMember(text []byte, way []holder, o *op) ([]byte, *op, error) {
	missing := o.Path[len(way)-1:]
	o.Made = len(missing) - 1
	var value = o.Value
	if o.How != Set {
		o.Made++
		value = marshal([]json.RawMessage{value})
	}
	for i := len(missing) - 1; i > 0; i-- {
		value = marshal(map[string]json.RawMessage{missing[i]: value})
	}
	last := way[len(way)-1]
	st := styleInside(text, last)
	text = insert(text, last, len(last.kids()), o, string(marshal(missing[0]))+st.colon+st.render(value, st.depth))
	return text, o, nil
}

// addElement adds an element to the array that was found, or makes the array.
func addElement(text []byte, way []holder, found *hujson.Value, o *op) ([]byte, *op, error) {
	if found == nil {
		return addMember(text, way, o)
	}
	list, ok := found.Value.(*hujson.Array)
	if !ok {
		return nil, nil, fmt.Errorf("%s: %s is not a list: sutler cannot add %s to it", place(text, found.StartOffset), pathText(o.Path), o.Value)
	}
	if element(text, list, o.Value) >= 0 {
		return text, nil, nil
	}
	h, at := holder{found, -1}, 0
	if o.How == Append {
		at = len(list.Elements)
	}
	st := styleInside(text, h)
	return insert(text, h, at, o, st.render(o.Value, st.depth)), o, nil
}

// element returns the index of the last element that means value, or -1.
func element(text []byte, list *hujson.Array, value []byte) int {
	for i := len(list.Elements) - 1; i >= 0; i-- {
		if e := list.Elements[i]; same(text[e.StartOffset:e.EndOffset], value) {
			return i
		}
	}
	return -1
}

// insert adds a child to h at its beginning or its end.
func insert(text []byte, h holder, at int, o *op, child string) []byte {
	st, kids := styleInside(text, h), h.kids()
	switch {
	case len(kids) == 0:
		from, to := h.value.StartOffset+1, h.value.EndOffset-1
		inside := string(text[from:to])
		o.Inside = &inside
		return splice(text, from, to, st.before+child+st.after)
	case at == 0:
		return splice(text, kids[0][0], kids[0][0], child+","+st.between)
	}
	end := kids[len(kids)-1][1]
	return splice(text, end, end, ","+st.between+child)
}

// undo takes an op back.
func (jsonSyntax) undo(text []byte, o op) ([]byte, error) {
	way, found, err := walk(text, o.Path)
	if err != nil || found == nil {
		return text, nil // what others put in place of it is theirs
	}
	if o.How != Set {
		list, ok := found.Value.(*hujson.Array)
		if !ok {
			return text, nil
		}
		at := element(text, list, o.Value)
		if at < 0 {
			return text, nil
		}
		return remove(text, append(way, holder{found, at}), o), nil
	}
	if now := text[found.StartOffset:found.EndOffset]; !same(now, o.Value) {
		if scalar(o.Value) && scalar(now) {
			return text, nil
		}
		return nil, fmt.Errorf("%w: %s: sutler wrote %s = %s: edit it by hand", ErrConflict, place(text, found.StartOffset), pathText(o.Path), o.Value)
	}
	if o.Old != nil {
		return splice(text, found.StartOffset, found.EndOffset, *o.Old), nil
	}
	return remove(text, way, o), nil
}

// remove takes away the child at the end of way, and the containers made for it that
// hold nothing else.
func remove(text []byte, way []holder, o op) []byte {
	made := o.Made
	for made > 0 && len(way) > 1 && len(way[len(way)-1].kids()) == 1 {
		way, made = way[:len(way)-1], made-1
	}
	h := way[len(way)-1]
	kids := h.kids()
	switch {
	case len(kids) == 1:
		inside := ""
		if o.Inside != nil && made == 0 {
			inside = *o.Inside
		}
		return splice(text, h.value.StartOffset+1, h.value.EndOffset-1, inside)
	case h.child == 0:
		return splice(text, kids[0][0], kids[1][0], "")
	}
	return splice(text, kids[h.child-1][1], kids[h.child][1], "")
}

// scalar reports whether a JSON value is neither object nor array.
func scalar(v []byte) bool {
	v = bytes.TrimSpace(v)
	return len(v) > 0 && v[0] != '{' && v[0] != '['
}

// same reports whether two JSON values mean the same; numbers have to be spelled the same.
func same(a, b []byte) bool {
	x, okX := canonical(a)
	y, okY := canonical(b)
	return okX && okY && x == y
}

func canonical(text []byte) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return "", false
	}
	return string(marshal(v)), true
}

// spaces reports whether s is white space.
func spaces(s string) bool { return strings.TrimSpace(s) == "" }
