package config

import (
	"fmt"
	"slices"
	"strings"
)

// A Problem is one mistake in the configuration.
type Problem struct {
	Origin
	Key     string // "store.max_size"; "" if the mistake is not about one key
	Message string // what is wrong, and what to write instead
}

// Error names the place, if it is known, the key and the mistake.
func (p *Problem) Error() string {
	if p.Origin == (Origin{}) {
		return p.Key + ": " + p.Message
	}
	if p.Key == "" {
		return p.Origin.String() + ": " + p.Message
	}
	return fmt.Sprintf("%s: %s: %s", p.Origin, p.Key, p.Message)
}

// Problems are all mistakes found; a configuration with any is not used.
type Problems []*Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// err returns ps as an error, nil if there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// An Origin says where a value came from.
type Origin struct {
	Source string // "default", "file", "env" or "flag"
	Name   string // path of the file, name of the variable, or the flag
	Line   int    // in the file, from 1; 0 if not known
	Column int    // in the file, in bytes, from 1; 0 if not known
}

// String returns "path:line:column", the name of the variable or flag, or "default".
func (o Origin) String() string {
	switch {
	case o.Name == "":
		return o.Source
	case o.Line > 0:
		return fmt.Sprintf("%s:%d:%d", o.Name, o.Line, o.Column)
	}
	return o.Name
}

// unknown returns the message for a name that is none of known, with the nearest of them.
func unknown(what, name string, known []string) string {
	near, least := "", 1+len(name)/2
	for _, k := range known {
		if d := distance(name, k); d < least {
			near, least = k, d
		}
	}
	// A key in the wrong section differs in more letters than a slip of the pen.
	if same := sameLast(name, known); same != "" && least > 2 {
		near = same
	}
	if near == "" {
		return "unknown " + what
	}
	return fmt.Sprintf("unknown %s; did you mean %s?", what, near)
}

// sameLast returns the known name whose part after the last dot is that of name, or "".
func sameLast(name string, known []string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	i := slices.IndexFunc(known, func(k string) bool { return k[strings.LastIndexByte(k, '.')+1:] == last })
	if i < 0 {
		return ""
	}
	return known[i]
}

// distance returns how many letters must be added, dropped, replaced or swapped with their
// neighbour to make b of a.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
