package edit

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Tables is a Key's value that adds tables to a list of tables, as source text: it begins
// with a [[header]] of the key's path and its first key tells it from others.
type Tables string

// addTables adds a block of tables at the end of the file.
func addTables(text []byte, path []string, block string) ([]byte, *op, error) {
	tree, err := decode([]byte(block))
	if err != nil {
		return nil, nil, fmt.Errorf("tables to add: %w", err)
	}
	ours := tablesAt(tree, path)
	before, err := decode(text)
	if err != nil {
		return nil, nil, err
	}
	if len(ours) != 1 {
		return nil, nil, fmt.Errorf("tables to add: %d of [[%s]], want one", len(ours), pathText(path))
	}
	if holds(tablesAt(before, path), ours[0]) {
		return text, nil, nil
	}
	nl := newline(text)
	block = strings.ReplaceAll(strings.TrimRight(block, "\n"), "\n", nl) + nl
	lead := leadIn(text, nl)
	o := &op{Path: path, How: Append, Value: marshal(block), Text: lead + block, At: len(lead)}
	next := splice(text, len(text), len(text), o.Text)
	got, err := decode(next)
	if err != nil || !equal(tablesAt(got, path), append(slices.Clone(tablesAt(before, path)), ours[0])) {
		return nil, nil, fmt.Errorf("%s: %s is not a list of tables that can be added to: add the lines by hand:\n%s", place(text, len(text)), pathText(path), block)
	}
	return next, o, nil
}

// undo takes an op back.
func (tomlSyntax) undo(text []byte, o op) ([]byte, error) {
	before, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConflict, err)
	}
	var value string
	if err := json.Unmarshal(o.Value, &value); err != nil {
		return nil, fmt.Errorf("record of an edit: %w", err)
	}
	if strings.HasPrefix(value, "[[") {
		return removeTables(text, before, o, value)
	}
	e := find(scan(text), o.Path)
	if e == nil {
		if _, ok := lookUp(before, o.Path); ok {
			return nil, conflict(text, 0, o, value)
		}
		return text, nil
	}
	ours, err := meaning(value)
	if err != nil {
		return nil, fmt.Errorf("record of an edit: %w", err)
	}
	if o.How != Set && (o.Text == "" || !equal(mustLookUp(before, o.Path), ours)) {
		return removeString(text, *e, o, ours)
	}
	now := mustLookUp(before, o.Path)
	switch {
	case !equal(now, ours) && isScalar(now) && isScalar(ours):
		return text, nil
	case !equal(now, ours):
		return nil, conflict(text, e.begin, o, value)
	case o.Old != nil:
		return splice(text, e.value, e.end, *o.Old), nil
	}
	return removeKey(text, *e, o, before)
}

// conflict says where the trouble is and what to do.
func conflict(text []byte, at int, o op, value string) error {
	return fmt.Errorf("%w: %s: sutler wrote %s = %s: edit it by hand", ErrConflict, place(text, at), pathText(o.Path), value)
}

// removeKey takes away a key that we added, and its table if nothing else is in it. The
// ways are tried in turn until the meaning is right: the very bytes that were added, the
// line with the table's header, the line, the key alone.
func removeKey(text []byte, e expression, o op, before map[string]any) ([]byte, error) {
	begin, end := lineAround(text, e.begin)
	_, end = lineAround(text, max(end, e.end))
	var ways [][2]int
	if from, ok := o.added(text, e.begin); ok {
		ways = append(ways, [2]int{from, from + len(o.Text)})
	}
	if spaces(string(text[begin:e.begin])) && spaces(string(text[e.end:end])) {
		if all := scan(text); o.Made > 0 && e.table >= 0 && alone(all, e.table) && spaces(string(text[all[e.table].end:begin])) {
			ways = append(ways, [2]int{all[e.table].begin, lineEnd(text, end)})
		}
		ways = append(ways, [2]int{begin, lineEnd(text, end)})
	}
	ways = append(ways, [2]int{e.begin, e.end})
	for _, w := range ways {
		next := splice(text, w[0], w[1], "")
		if got, err := decode(next); err == nil && without(before, got, o.Path, o.Made > 0) {
			return next, nil
		}
	}
	return nil, conflict(text, e.begin, o, string(text[e.value:e.end]))
}

// added returns where the bytes that o added begin, if they are there, whole, around a key
// that begins at offset.
func (o op) added(text []byte, offset int) (int, bool) {
	from := offset - o.At
	if from < 0 || o.At < 0 || !strings.HasPrefix(string(text[from:]), o.Text) {
		return 0, false
	}
	end := from + len(o.Text)
	return from, strings.HasSuffix(o.Text, "\n") || end == len(text) || text[end] == '\n' || text[end] == '\r'
}

// lineEnd returns the offset behind the line break at end.
func lineEnd(text []byte, end int) int {
	if end < len(text) && text[end] == '\r' {
		end++
	}
	if end < len(text) && text[end] == '\n' {
		end++
	}
	return end
}

// alone reports whether the table with that header has one key.
func alone(all []expression, header int) bool {
	n := 0
	for _, e := range all {
		if e.kind == unstable.KeyValue && e.table == header {
			n++
		}
	}
	return n == 1 && all[header].kind == unstable.Table
}

// removeString takes a string away from a list.
func removeString(text []byte, e expression, o op, ours any) ([]byte, error) {
	list, _ := ours.([]any)
	if !e.list || len(list) != 1 {
		return text, nil
	}
	if e.elements == nil {
		return nil, conflict(text, e.begin, o, fmt.Sprint(ours))
	}
	at := -1
	for i, el := range e.elements {
		if el.text == list[0] {
			at = i
		}
	}
	if at < 0 {
		return text, nil
	}
	el := e.elements[at]
	from, to := el.begin, el.end
	switch {
	case len(e.elements) == 1:
		rest := strings.TrimSuffix(strings.TrimSpace(string(text[el.end:e.end-1])), ",")
		if o.Inside != nil && rest == "" && spaces(string(text[e.value+1:el.begin])) {
			return splice(text, e.value+1, e.end-1, *o.Inside), nil
		}
		if i := strings.IndexByte(string(text[el.end:e.end]), ','); i >= 0 && spaces(string(text[el.end:el.end+i])) {
			to = el.end + i + 1
		}
	case at == 0:
		to = e.elements[1].begin
	default:
		from = e.elements[at-1].end
	}
	if strings.Contains(string(text[from:el.begin])+string(text[el.end:to]), "#") {
		return nil, conflict(text, el.begin, o, quoted(el.text))
	}
	return splice(text, from, to, ""), nil
}

// removeTables takes a block of tables away.
func removeTables(text []byte, before map[string]any, o op, block string) ([]byte, error) {
	tree, err := decode([]byte(block))
	if err != nil {
		return nil, fmt.Errorf("record of an edit: %w", err)
	}
	ours, now := tablesAt(tree, o.Path), tablesAt(before, o.Path)
	if len(ours) != 1 {
		return nil, fmt.Errorf("record of an edit: %d tables, want one", len(ours))
	}
	if !holds(now, ours[0]) {
		name := firstKey(block)
		for _, t := range now {
			if equal(t[name], ours[0][name]) {
				return nil, fmt.Errorf("%w: [[%s]] with %s = %v: edit it by hand", ErrConflict, pathText(o.Path), name, t[name])
			}
		}
		return text, nil
	}
	i := slices.IndexFunc(now, func(t map[string]any) bool { return equal(t, ours[0]) })
	want := slices.Delete(slices.Clone(now), i, i+1)
	for _, cut := range []string{o.Text, block} {
		at := strings.Index(string(text), cut)
		if at < 0 || cut == "" {
			continue
		}
		next := splice(text, at, at+len(cut), "")
		if got, err := decode(next); err == nil && equal(tablesAt(got, o.Path), want) && equal(drop(got, o.Path), drop(before, o.Path)) {
			return next, nil
		}
	}
	return nil, fmt.Errorf("%w: [[%s]] is laid out in another way: edit it by hand, sutler wrote\n%s", ErrConflict, pathText(o.Path), block)
}

// firstKey returns the name of the first key of a block.
func firstKey(block string) string {
	for _, e := range scan([]byte(block)) {
		if e.kind == unstable.KeyValue {
			return e.path[len(e.path)-1]
		}
	}
	return ""
}

// tablesAt returns the list of tables at path.
func tablesAt(tree map[string]any, path []string) []map[string]any {
	v, _ := lookUp(tree, path)
	list, _ := v.([]any)
	out := []map[string]any{}
	for _, e := range list {
		if t, ok := e.(map[string]any); ok {
			out = append(out, t)
		}
	}
	return out
}

func holds(list []map[string]any, t map[string]any) bool {
	return slices.ContainsFunc(list, func(have map[string]any) bool { return equal(have, t) })
}

// lookUp returns the value at path.
func lookUp(tree map[string]any, path []string) (any, bool) {
	var v any = tree
	for _, name := range path {
		t, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = t[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

func mustLookUp(tree map[string]any, path []string) any {
	v, _ := lookUp(tree, path)
	return v
}

// with returns the tree with a value in it, and whether that is another one.
func with(tree map[string]any, path []string, how How, value any) (map[string]any, bool) {
	out := maps.Clone(tree)
	if out == nil {
		out = map[string]any{}
	}
	if len(path) > 1 {
		below, _ := out[path[0]].(map[string]any)
		next, changed := with(below, path[1:], how, value)
		out[path[0]] = next
		return out, changed
	}
	have, ok := out[path[0]]
	list, isList := have.([]any)
	if add, _ := value.([]any); how != Set && ok && isList && len(add) == 1 {
		if slices.Contains(list, add[0]) {
			return out, false
		}
		if how == Append {
			out[path[0]] = append(slices.Clone(list), add[0])
		} else {
			out[path[0]] = append([]any{add[0]}, list...)
		}
		return out, true
	}
	out[path[0]] = value
	return out, !ok || !equal(have, value)
}

// drop returns the tree without the value at path.
func drop(tree map[string]any, path []string) map[string]any {
	out := maps.Clone(tree)
	if len(path) == 1 {
		delete(out, path[0])
		return out
	}
	if below, ok := out[path[0]].(map[string]any); ok {
		next := drop(below, path[1:])
		if len(next) == 0 {
			delete(out, path[0])
		} else {
			out[path[0]] = next
		}
	}
	return out
}

// without reports whether got is before without the value at path; if made, a table that
// is empty without it may be gone too, else it has to be there still.
func without(before, got map[string]any, path []string, made bool) bool {
	if _, still := lookUp(got, path); still {
		return false
	}
	if !made && len(path) > 1 {
		if _, ok := lookUp(got, path[:len(path)-1]); !ok {
			return false
		}
	}
	return equal(drop(before, path), drop(got, path))
}

func isScalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// equal is reflect.DeepEqual for which a NaN equals itself.
func equal(a, b any) bool { return reflect.DeepEqual(tame(a), tame(b)) }

func tame(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) {
			return "nan"
		}
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = tame(e)
		}
		return out
	case []map[string]any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = tame(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = tame(e)
		}
		return out
	}
	return v
}
