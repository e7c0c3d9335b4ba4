package edit

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// tomlSyntax edits TOML. Each change is checked by its meaning: the decoded file has to be
// the old one and ours, else the file has a layout that is not edited.
type tomlSyntax struct{}

func (tomlSyntax) empty() []byte { return nil }

func (tomlSyntax) blank(text []byte) bool { return spaces(string(text)) }

// check refuses what is not TOML.
func (tomlSyntax) check(text []byte) error {
	_, err := decode(text)
	return err
}

func decode(text []byte) (map[string]any, error) {
	tree := map[string]any{}
	if err := toml.Unmarshal(text, &tree); err != nil {
		var syntax *toml.DecodeError
		if errors.As(err, &syntax) {
			line, column := syntax.Position()
			return nil, fmt.Errorf("line %d, column %d: %w", line, column, err)
		}
		return nil, err
	}
	return tree, nil
}

// An expression is a line of TOML that says something: a header or a key with its value.
type expression struct {
	kind       unstable.Kind // KeyValue, Table, ArrayTable
	path       []string      // from the root on; for keys, of the table and the key
	table      int           // index of the header it stands under, -1 for none
	begin, end int           // of key and value; of a header's line, without its end
	value      int           // where the value begins
	elements   []tomlElement // if the value is a list of strings and nothing else
	list       bool          // it is a list
}

type tomlElement struct {
	begin, end int
	text       string
}

// scan returns the expressions of a valid file.
func scan(text []byte) []expression {
	var p unstable.Parser
	p.Reset(text)
	var out []expression
	table := -1
	for p.NextExpression() {
		node := p.Expression()
		e := expression{kind: node.Kind, table: table}
		last := unstable.Range{}
		for it := node.Key(); it.Next(); {
			e.path = append(e.path, string(it.Node().Data))
			last = it.Node().Raw
		}
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			e.begin, e.end = lineAround(text, int(last.Offset))
			table = len(out)
			e.table = table
		case unstable.KeyValue:
			if table >= 0 {
				e.path = append(slices.Clone(out[table].path), e.path...)
			}
			e.begin, e.end = int(node.Raw.Offset), int(node.Raw.Offset+node.Raw.Length)
			e.value = int(last.Offset + last.Length)
			for e.value < e.end && strings.IndexByte(" \t=", text[e.value]) >= 0 {
				e.value++
			}
			e.elements, e.list = elementsOf(node.Value())
		}
		out = append(out, e)
	}
	return out
}

// elementsOf returns the strings of a list; nil if there is anything else in it.
func elementsOf(v *unstable.Node) ([]tomlElement, bool) {
	if v.Kind != unstable.Array {
		return nil, false
	}
	out := []tomlElement{}
	for it := v.Children(); it.Next(); {
		n := it.Node()
		if n.Kind != unstable.String {
			return nil, true
		}
		out = append(out, tomlElement{int(n.Raw.Offset), int(n.Raw.Offset + n.Raw.Length), string(n.Data)})
	}
	return out, true
}

// lineAround returns begin and end, without its line break, of the line at offset.
func lineAround(text []byte, offset int) (int, int) {
	begin := bytes.LastIndexByte(text[:offset], '\n') + 1
	end := len(text)
	if i := bytes.IndexByte(text[offset:], '\n'); i >= 0 {
		end = offset + i
	}
	if end > begin && end < len(text) && text[end-1] == '\r' {
		end--
	}
	return begin, end
}

// find returns the key with that path, or nil.
func find(all []expression, path []string) *expression {
	for i := range all {
		if all[i].kind == unstable.KeyValue && slices.Equal(all[i].path, path) {
			return &all[i]
		}
	}
	return nil
}

// apply changes one key, or adds a block of tables.
func (tomlSyntax) apply(text []byte, k Key) ([]byte, *op, error) {
	if b, ok := k.Value.(Tables); ok {
		return addTables(text, k.Path, string(b))
	}
	value, err := tomlValue(k)
	if err != nil {
		return nil, nil, err
	}
	before, err := decode(text)
	if err != nil {
		return nil, nil, err
	}
	ours, err := meaning(value)
	if err != nil {
		return nil, nil, err
	}
	want, changed := with(before, k.Path, k.how(), ours)
	if !changed {
		return text, nil, nil
	}
	o := &op{Path: k.Path, How: k.how(), Value: marshal(value)}
	var next []byte
	all := scan(text)
	switch e := find(all, k.Path); {
	case e == nil:
		next = addKey(text, all, k, o, value)
	case k.how() == Set:
		old := string(text[e.value:e.end])
		o.Old = &old
		next = splice(text, e.value, e.end, value)
	case e.elements == nil:
		return nil, nil, fmt.Errorf("%s: %s is not a list of strings: sutler cannot add %s to it", place(text, e.begin), pathText(k.Path), value)
	default:
		next = addString(text, *e, k.how(), o, strings.Trim(value, "[]"))
	}
	if got, err := decode(next); err != nil || !equal(got, want) {
		return nil, nil, layoutError(text, all, k, value)
	}
	return next, o, nil
}

// layoutError says that a key has to be set by hand, and near which line.
func layoutError(text []byte, all []expression, k Key, value string) error {
	at := len(text)
	for _, e := range all {
		if len(e.path) > 0 && e.path[0] == k.Path[0] {
			at = e.begin
			break
		}
	}
	return fmt.Errorf("%s: the file writes [%s] in a way that sutler does not edit (inline table, dotted keys or list of tables): set %s = %s by hand",
		place(text, at), bareKey(k.Path[0]), pathText(k.Path), value)
}

// addKey adds a key to its table, and the table if there is none.
func addKey(text []byte, all []expression, k Key, o *op, value string) []byte {
	parent, nl := k.Path[:len(k.Path)-1], newline(text)
	line := bareKey(k.Path[len(k.Path)-1]) + " = " + value
	header := -1
	for i, e := range all {
		if e.kind == unstable.Table && slices.Equal(e.path, parent) {
			header = i
		}
	}
	if header < 0 && len(parent) > 0 {
		return addTable(text, all, k, o, line)
	}
	last := header // the expression after which the key goes
	for i, e := range all {
		if e.kind == unstable.KeyValue && e.table == header {
			last = i
		}
	}
	switch {
	case last >= 0:
		begin, _ := lineAround(text, all[last].begin)
		_, end := lineAround(text, all[last].end)
		indent := string(text[begin:all[last].begin])
		if !spaces(indent) || last == header {
			indent = ""
		}
		o.Text, o.At = nl+indent+line, len(nl+indent)
		return splice(text, end, end, o.Text)
	case len(all) > 0: // only tables: what is in front of them would belong to the first
		o.Text = line + nl
		return splice(text, 0, 0, o.Text)
	}
	o.Text, o.At = line+nl, 0
	if n := len(text); n > 0 && text[n-1] != '\n' {
		o.Text, o.At = nl+line+nl, len(nl)
	}
	return splice(text, len(text), len(text), o.Text)
}

// addTable adds a table with one key at the end, or before its siblings.
func addTable(text []byte, all []expression, k Key, o *op, line string) []byte {
	nl := newline(text)
	head := "[" + pathText(k.Path[:len(k.Path)-1]) + "]" + nl
	o.Made = 1
	if k.First {
		for _, e := range all {
			if e.kind != unstable.KeyValue && len(e.path) > 0 && e.path[0] == k.Path[0] {
				o.Text, o.At = head+line+nl+nl, len(head)
				at := aboveRemarks(text, e.begin)
				return splice(text, at, at, o.Text)
			}
		}
	}
	lead := leadIn(text, nl)
	o.Text, o.At = lead+head+line+nl, len(lead+head)
	return splice(text, len(text), len(text), o.Text)
}

// aboveRemarks returns where the lines of remarks begin that stand right above a line.
func aboveRemarks(text []byte, begin int) int {
	for begin > 0 {
		above, end := lineAround(text, begin-1)
		if !strings.HasPrefix(strings.TrimSpace(string(text[above:end])), "#") {
			break
		}
		begin = above
	}
	return begin
}

// leadIn returns what goes between the end of a file and a new part: an empty line.
func leadIn(text []byte, nl string) string {
	switch {
	case len(text) == 0:
		return ""
	case text[len(text)-1] != '\n':
		return nl + nl
	}
	return nl
}

// addString adds a string to a list.
func addString(text []byte, e expression, how How, o *op, value string) []byte {
	n := len(e.elements)
	switch {
	case n == 0:
		inside := string(text[e.value+1 : e.end-1])
		if !spaces(inside) { // a remark
			return splice(text, e.end-1, e.end-1, value)
		}
		o.Inside = &inside
		return splice(text, e.value+1, e.end-1, value)
	case how == Prepend:
		first := e.elements[0]
		space := string(text[e.value+1 : first.begin])
		if !spaces(space) || space == "" {
			space = " "
		}
		return splice(text, first.begin, first.begin, value+","+space)
	}
	last, space := e.elements[n-1], " "
	from := e.value + 1
	if n > 1 {
		from = e.elements[n-2].end
	}
	if s := strings.TrimPrefix(strings.TrimLeft(string(text[from:last.begin]), " \t"), ","); spaces(s) && strings.Contains(s, "\n") {
		space = s
	}
	return splice(text, last.end, last.end, ","+space+value)
}

// tomlValue renders a value; for lists that are added to, the list with the one element.
func tomlValue(k Key) (string, error) {
	if len(k.Path) == 0 {
		return "", errors.New("a setting needs a name")
	}
	v := reflect.ValueOf(k.Value)
	switch v.Kind() {
	case reflect.String:
		if k.how() != Set {
			return "[" + quoted(v.String()) + "]", nil
		}
		return quoted(v.String()), nil
	case reflect.Bool, reflect.Int:
		if k.how() == Set {
			return fmt.Sprint(k.Value), nil
		}
	case reflect.Slice:
		if list, ok := k.Value.([]string); ok && k.how() == Set {
			parts := make([]string, len(list))
			for i, s := range list {
				parts[i] = quoted(s)
			}
			return "[" + strings.Join(parts, ", ") + "]", nil
		}
	}
	return "", fmt.Errorf("%s: cannot %s a value of type %T", pathText(k.Path), k.how(), k.Value)
}

// meaning decodes a rendered value.
func meaning(value string) (any, error) {
	tree, err := decode([]byte("v = " + value + "\n"))
	return tree["v"], err
}

// quoted returns s as a basic string.
func quoted(s string) string {
	return strings.ReplaceAll(string(marshal(s)), "\x7f", `\u007f`)
}

// bareKey returns a key as it is written: quoted if it has to be.
func bareKey(s string) string {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return quoted(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}
