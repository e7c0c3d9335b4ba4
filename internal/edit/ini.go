package edit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// iniSyntax edits files of key = value lines: pip.conf, which has sections and values over
// several lines, and .npmrc, which has neither.
type iniSyntax struct{ npm bool }

func (iniSyntax) empty() []byte { return nil }

func (iniSyntax) blank(text []byte) bool { return spaces(string(text)) }

// An iniKey is a key with its value.
type iniKey struct {
	section, key string // as they are compared
	text         string // the value
	begin        int    // of the line
	value, end   int    // of the value
	bare         bool   // there is no = behind it
}

// An iniFile is what a file says.
type iniFile struct {
	keys     []iniKey
	sections []iniSection
}

type iniSection struct {
	name       string
	begin, end int // of the header's line, without its line break
}

// check refuses what the reader would refuse or what means another thing than it seems.
func (s iniSyntax) check(text []byte) error {
	_, err := s.scan(text)
	return err
}

// fold returns a key as it is compared: pip writes them in several ways.
func (s iniSyntax) fold(key string) string {
	if s.npm {
		return key
	}
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(key), "_", "-"), "--")
}

// scan reads the lines of a file.
func (s iniSyntax) scan(text []byte) (iniFile, error) {
	var f iniFile
	section := ""
	open := false // a value may go on
	for begin := 0; begin < len(text); {
		_, end := lineAround(text, begin)
		line := string(text[begin:end])
		trimmed := strings.TrimSpace(line)
		indented := line != "" && (line[0] == ' ' || line[0] == '\t')
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case indented && open && !s.npm:
			last := &f.keys[len(f.keys)-1]
			last.end = begin + len(strings.TrimRight(line, " \t"))
		case trimmed[0] == '[' && strings.HasSuffix(trimmed, "]") && len(trimmed) > 2:
			section, open = trimmed[1:len(trimmed)-1], false
			if !s.npm && slices.ContainsFunc(f.sections, func(h iniSection) bool { return h.name == section }) {
				return f, fmt.Errorf("%s: section %q occurs twice: join them", place(text, begin), section)
			}
			f.sections = append(f.sections, iniSection{section, begin, end})
		default:
			k, err := s.key(text, begin, line)
			if err != nil {
				return f, err
			}
			k.section, open = section, true
			if err := s.fits(f, k, text); err != nil {
				return f, err
			}
			f.keys = append(f.keys, k)
		}
		begin = lineEnd(text, end)
	}
	for i, k := range f.keys {
		f.keys[i].text = strings.TrimSpace(string(text[k.value:k.end]))
	}
	return f, nil
}

// key reads a line with a key.
func (s iniSyntax) key(text []byte, begin int, line string) (iniKey, error) {
	marks := "=:"
	if s.npm {
		marks = "="
	}
	at := strings.IndexAny(line, marks)
	if at < 0 && s.npm {
		return iniKey{key: strings.TrimSpace(line), begin: begin, bare: true}, nil
	}
	if at < 0 || strings.TrimSpace(line[:at]) == "" {
		return iniKey{}, fmt.Errorf("%s: %q is no key = value", place(text, begin), strings.TrimSpace(line))
	}
	k := iniKey{key: s.fold(strings.TrimSpace(line[:at])), begin: begin}
	value := line[at+1:]
	k.value = begin + at + 1 + len(value) - len(strings.TrimLeft(value, " \t"))
	k.end = max(k.value, begin+len(strings.TrimRight(line, " \t\r")))
	return k, nil
}

// fits refuses what pip refuses: keys without section, and keys that occur twice.
func (s iniSyntax) fits(f iniFile, k iniKey, text []byte) error {
	if s.npm {
		return nil
	}
	if len(f.sections) == 0 {
		return fmt.Errorf("%s: %s stands before the first [section]", place(text, k.begin), k.key)
	}
	for _, o := range f.keys {
		if o.section == k.section && o.key == k.key {
			return fmt.Errorf("%s: %s occurs twice in [%s]: remove one", place(text, k.begin), k.key, k.section)
		}
	}
	return nil
}

// split returns section and key of a path.
func (s iniSyntax) split(path []string) (section, key string, err error) {
	switch {
	case len(path) == 1 && s.npm:
		return "", s.fold(path[0]), nil
	case len(path) == 2 && !s.npm:
		return path[0], s.fold(path[1]), nil
	}
	return "", "", fmt.Errorf("%s: the path of a key does not fit the format", pathText(path))
}

// apply changes one key.
func (s iniSyntax) apply(text []byte, k Key) ([]byte, *op, error) {
	section, key, err := s.split(k.Path)
	if err != nil {
		return nil, nil, err
	}
	value, ok := k.Value.(string)
	bad := "\r\n"
	if s.npm {
		bad = "\r\n;#"
	}
	if !ok || k.how() != Set || strings.ContainsAny(value, bad) || value != strings.TrimSpace(value) {
		return nil, nil, fmt.Errorf("%s: cannot %s %q: a value is a string on one line", pathText(k.Path), k.how(), fmt.Sprint(k.Value))
	}
	f, err := s.scan(text)
	if err != nil {
		return nil, nil, err
	}
	o := &op{Path: k.Path, How: Set, Value: marshal(value)}
	for _, have := range slices.Backward(f.keys) { // the last one counts
		if have.section != section || have.key != key {
			continue
		}
		if have.bare {
			return nil, nil, fmt.Errorf("%s: %s has no value: set %s=%s by hand", place(text, have.begin), key, key, value)
		}
		if have.text == value {
			return text, nil, nil
		}
		old := string(text[have.value:have.end])
		o.Old = &old
		return splice(text, have.value, have.end, value), o, nil
	}
	return s.add(text, f, o, k, value), o, nil
}

// add adds a key to its section, and the section if there is none.
func (s iniSyntax) add(text []byte, f iniFile, o *op, k Key, value string) []byte {
	nl := newline(text)
	line := k.Path[len(k.Path)-1] + " = " + value
	section, head := "", -1
	if s.npm {
		line = k.Path[0] + "=" + value
	} else {
		section = k.Path[0]
	}
	for _, h := range f.sections {
		if h.name == section {
			head = h.end
		}
	}
	after := head
	for _, have := range f.keys {
		if have.section == section {
			_, end := lineAround(text, max(have.begin, have.end))
			after = max(after, end)
		}
	}
	switch {
	case after >= 0:
		o.Text, o.At = nl+line, len(nl)
		return splice(text, after, after, o.Text)
	case section != "":
		o.Made = 1
		lead := leadIn(text, nl) + "[" + section + "]" + nl
		o.Text, o.At = lead+line+nl, len(lead)
	case len(f.sections) > 0:
		o.Text = line + nl
		return splice(text, 0, 0, o.Text)
	case len(text) > 0 && text[len(text)-1] != '\n':
		o.Text, o.At = nl+line+nl, len(nl)
	default:
		o.Text = line + nl
	}
	return splice(text, len(text), len(text), o.Text)
}

// undo takes an op back.
func (s iniSyntax) undo(text []byte, o op) ([]byte, error) {
	var value string
	if err := json.Unmarshal(o.Value, &value); err != nil {
		return nil, fmt.Errorf("record of an edit: %w", err)
	}
	section, key, err := s.split(o.Path)
	if err != nil {
		return nil, err
	}
	f, err := s.scan(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConflict, err)
	}
	at := -1
	for i, have := range f.keys {
		if have.section == section && have.key == key && have.text == value && !have.bare {
			at = i
		}
	}
	if at < 0 {
		return text, nil
	}
	have := f.keys[at]
	if o.Old != nil {
		return splice(text, have.value, have.end, *o.Old), nil
	}
	_, end := lineAround(text, have.end)
	ways := [][2]int{{have.begin, lineEnd(text, end)}}
	if from, ok := o.added(text, have.begin); ok {
		ways = slices.Insert(ways, 0, [2]int{from, from + len(o.Text)})
	}
	for _, h := range f.sections {
		if o.Made > 0 && h.name == section && spaces(string(text[h.end:have.begin])) {
			ways = slices.Insert(ways, len(ways)-1, [2]int{h.begin, lineEnd(text, end)})
		}
	}
	for _, w := range ways {
		next := splice(text, w[0], w[1], "")
		if got, err := s.scan(next); err == nil && f.without(got, at) {
			return next, nil
		}
	}
	return nil, fmt.Errorf("%w: %s: sutler wrote %s = %s: edit it by hand", ErrConflict, place(text, have.begin), pathText(o.Path), value)
}

// without reports whether got says what f says but for the key at that index.
func (f iniFile) without(got iniFile, at int) bool {
	want := slices.Delete(slices.Clone(f.keys), at, at+1)
	return slices.EqualFunc(want, got.keys, func(a, b iniKey) bool {
		return a.section == b.section && a.key == b.key && a.text == b.text && a.bare == b.bare
	})
}
