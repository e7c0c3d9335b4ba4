package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// readFile sets what the text of a file says, and notes the place of each value. It
// returns every mistake that it finds.
func (l *Loaded) readFile(path string, text []byte) Problems {
	in := Origin{Source: "file", Name: path}
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		return Problems{syntaxProblem(in, err)}
	}
	f := fileReader{loaded: l, in: in, places: places(text)}
	f.table("", tree)
	slices.SortStableFunc(f.problems, func(a, b *Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return f.problems
}

// syntaxProblem turns an error of the TOML parser into a Problem.
func syntaxProblem(in Origin, err error) *Problem {
	var d *toml.DecodeError
	if errors.As(err, &d) {
		in.Line, in.Column = d.Position()
	}
	return &Problem{Origin: in, Message: strings.TrimPrefix(err.Error(), "toml: ")}
}

// A fileReader walks the tree of one file.
type fileReader struct {
	loaded   *Loaded
	in       Origin
	places   map[string]unstable.Position
	problems Problems
}

// table sets the values of one table; prefix is its name with a dot at the end, or "".
func (f *fileReader) table(prefix string, tree map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		raw, full := tree[name], prefix+name
		if full == credentialsKey {
			f.credentials(raw)
			continue
		}
		if k, ok := f.loaded.key(full); ok {
			f.set(k, raw)
			continue
		}
		if sub, ok := raw.(map[string]any); ok && f.loaded.hasSection(full) {
			f.table(full+".", sub)
			continue
		}
		f.fail(full, unknown("key", full, f.loaded.names()))
	}
}

func (f *fileReader) set(k key, raw any) {
	if err := k.bind(&f.loaded.Config).set(raw); err != nil {
		f.fail(k.name, err.Error())
		return
	}
	f.loaded.origins[k.name] = f.at(k.name)
}

// credentials adds the tables of one file to those of files before it.
func (f *fileReader) credentials(raw any) {
	list, ok := raw.([]any)
	if !ok {
		f.fail(credentialsKey, "write [[credentials]] above each set")
		return
	}
	for i, item := range list {
		path := fmt.Sprintf("%s[%d]", credentialsKey, i)
		table, ok := item.(map[string]any)
		if !ok {
			f.fail(path, "write [[credentials]] above each set")
			continue
		}
		f.loaded.Credentials = append(f.loaded.Credentials, f.credential(path, table))
		f.loaded.credentialAt = append(f.loaded.credentialAt, f.at(path))
	}
}

func (f *fileReader) credential(path string, table map[string]any) Credential {
	var c Credential
	for _, name := range slices.Sorted(maps.Keys(table)) {
		text, isText := table[name].(string)
		switch full := path + "." + name; {
		case !slices.Contains(credentialKeys(), name):
			f.fail(full, unknown("key", name, credentialKeys()))
		case !isText:
			f.fail(full, "write a string")
		default:
			c.set(name, text)
		}
	}
	return c
}

func (f *fileReader) fail(name, message string) {
	f.problems = append(f.problems, &Problem{Origin: f.at(name), Key: name, Message: message})
}

// at returns where name stands in the file, or the table that it is in.
func (f *fileReader) at(name string) Origin {
	in := f.in
	for name != "" {
		if p, ok := f.places[name]; ok {
			in.Line, in.Column = p.Line, p.Column
			break
		}
		name = name[:max(0, strings.LastIndexAny(name, ".["))]
	}
	return in
}

// places returns where each key of a correct file stands, by its full name; tables of an
// array have their number behind the name: "credentials[0]".
func places(text []byte) map[string]unstable.Position {
	var p unstable.Parser
	p.Reset(text)
	found, count := make(map[string]unstable.Position), make(map[string]int)
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		names, at := keyOf(&p, e)
		switch e.Kind {
		case unstable.Table:
			table = names
		case unstable.ArrayTable:
			full := strings.Join(names, ".")
			table = []string{full + "[" + strconv.Itoa(count[full]) + "]"}
			count[full]++
			names = table
		case unstable.KeyValue:
			names = append(slices.Clone(table), names...)
		default:
			continue
		}
		if full := strings.Join(names, "."); found[full].Line == 0 {
			found[full] = at
		}
	}
	return found
}

// keyOf returns the parts of an expression's key and where it starts.
func keyOf(p *unstable.Parser, e *unstable.Node) (names []string, at unstable.Position) {
	if e.Kind != unstable.Table && e.Kind != unstable.ArrayTable && e.Kind != unstable.KeyValue {
		return nil, at
	}
	for it := e.Key(); it.Next(); {
		if names == nil {
			at = p.Shape(it.Node().Raw).Start
		}
		names = append(names, string(it.Node().Data))
	}
	return names, at
}
