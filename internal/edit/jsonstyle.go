package edit

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/tailscale/hujson"
)

// A style says how new parts of a JSON file are laid out, as their neighbours are.
type style struct {
	line    string // what separates lines; empty if all is on one line
	indent  string // of one level
	base    string // indentation of the line on which the container begins
	comma   string // after a comma on one line
	colon   string // between name and value
	before  string // in an empty container, before its first child
	between string // after a comma, before the next child
	after   string // before the closing bracket of an empty container
	depth   int    // levels below base of the children
}

// styleOf returns the style for a value that begins at offset.
func styleOf(text []byte, offset int) style {
	st := style{indent: "  ", comma: " ", colon: ": "}
	root, err := hujson.Parse(text)
	if err != nil {
		return st
	}
	o, ok := root.Value.(*hujson.Object)
	if !ok {
		return st
	}
	if len(o.Members) == 0 || bytes.ContainsRune(o.Members[0].Name.BeforeExtra, '\n') {
		st.line = newline(text)
	}
	if len(o.Members) > 0 {
		first := o.Members[0]
		if i := bytes.LastIndexByte(first.Name.BeforeExtra, '\n'); i >= 0 && i+1 < len(first.Name.BeforeExtra) {
			st.indent = string(first.Name.BeforeExtra[i+1:])
		}
		last := o.Members[len(o.Members)-1]
		if colon := string(text[last.Name.EndOffset:last.Value.StartOffset]); !strings.Contains(colon, "\n") {
			st.colon = colon
		}
		if len(o.Members) > 1 && len(last.Name.BeforeExtra) == 0 || len(o.Members) == 1 && st.colon == ":" && st.line == "" {
			st.comma = ""
		}
	}
	begin := bytes.LastIndexByte(text[:offset], '\n') + 1
	end := begin
	for end < offset && (text[end] == ' ' || text[end] == '\t') {
		end++
	}
	st.base = string(text[begin:end])
	return st
}

// styleInside returns the style for a new child of h.
func styleInside(text []byte, h holder) style {
	st := styleOf(text, h.value.StartOffset)
	_, isArray := h.value.Value.(*hujson.Array)
	kids := h.kids()
	if len(kids) == 0 {
		if st.line != "" && !isArray {
			st.depth = 1
			st.before, st.after = st.line+st.base+st.indent, st.line+st.base
		}
		st.between = st.comma
		return st
	}
	// The white space before a child: before the last one, which is after a comma if
	// there are two.
	from := h.value.StartOffset + 1
	if n := len(kids); n > 1 {
		from = kids[n-2][1]
	}
	space := string(text[from:kids[len(kids)-1][0]])
	if _, behind, ok := strings.Cut(space, ","); ok {
		space = behind
	}
	if i := strings.LastIndexByte(space, '\n'); i >= 0 {
		st.base = space[i+1:]
		st.between = newline([]byte(space)) + st.base
		return st
	}
	st.line, st.between = "", space
	if len(kids) == 1 {
		st.between = st.comma
	}
	return st
}

// render lays out a value that begins depth levels below the base: objects over several
// lines, unless all is on one line, lists on one line.
func (s style) render(value []byte, depth int) string {
	if len(value) == 0 || value[0] != '{' && value[0] != '[' {
		return string(value)
	}
	if value[0] == '[' {
		var list []json.RawMessage
		if json.Unmarshal(value, &list) != nil {
			return string(value)
		}
		parts := make([]string, len(list))
		for i, e := range list {
			parts[i] = s.render(e, depth)
		}
		return "[" + strings.Join(parts, ","+s.comma) + "]"
	}
	names, values := members(value)
	open, between, end := "", ","+s.comma, ""
	if s.line != "" {
		inner := s.line + s.base + strings.Repeat(s.indent, depth+1)
		open, between, end = inner, ","+inner, s.line+s.base+strings.Repeat(s.indent, depth)
	}
	parts := make([]string, len(names))
	for i := range names {
		parts[i] = string(marshal(names[i])) + s.colon + s.render(values[i], depth+1)
	}
	if len(parts) == 0 {
		return "{}"
	}
	return "{" + open + strings.Join(parts, between) + end + "}"
}

// members returns the names and values of an object in their order.
func members(object []byte) (names []string, values []json.RawMessage) {
	root, err := hujson.Parse(object)
	if err != nil {
		return nil, nil
	}
	o, ok := root.Value.(*hujson.Object)
	if !ok {
		return nil, nil
	}
	for _, m := range o.Members {
		names = append(names, memberName(m))
		values = append(values, json.RawMessage(object[m.Value.StartOffset:m.Value.EndOffset]))
	}
	return names, values
}
