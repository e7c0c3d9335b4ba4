package npm

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// View writes a packument in the form that the client chose, with tarball links through
// v.Link unless the form leaves them alone, and without the versions that v.Show refuses:
// their times go too, and tags that named them. All that stays keeps its bytes. Other
// documents are copied; a single manifest gets its link mapped.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	f := filter{
		short: strings.HasPrefix(v.Form, formAbbreviated) && isPackument(doc.Resource),
		link:  linker(doc.Resource, v),
	}
	changes := f.short || f.link != nil || v.Show != nil && isPackument(doc.Resource)
	if !changes || !isPackument(doc.Resource) && !isManifest(doc.Resource) {
		_, err := io.Copy(w, doc.Reader())
		return err
	}
	if v.Show != nil && isPackument(doc.Resource) {
		if err := f.hideFrom(doc, v.Show); err != nil {
			return err
		}
	}
	f.w = bufio.NewWriter(w)
	s := newScanner(doc.Reader())
	write := f.packument
	if isManifest(doc.Resource) {
		write = f.manifest
	}
	if err := write(s); err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	if _, err := io.Copy(f.w, s.rest()); err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	return f.w.Flush()
}

// linker returns how tarball links are mapped, nil if they stay as they are.
func linker(res ecosystem.Resource, v ecosystem.View) func(string) string {
	if v.Link == nil || v.Form == formFullUnlinked || v.Form == formAbbreviatedUnlinked || v.Link(res.URL) == res.URL {
		return nil
	}
	return v.Link
}

// A filter writes a packument for one client. Not safe for concurrent use.
type filter struct {
	w     *bufio.Writer
	short bool                // abbreviated form
	link  func(string) string // nil: as they are

	hidden   map[string]bool   // versions left out; nil: none
	tags     map[string]string // what tags name then
	modified string            // when the packument changed then, RFC 3339
}

// hideFrom decides which versions are left out, what the tags name then, and when the
// packument was modified as far as the client can tell.
func (f *filter) hideFrom(doc ecosystem.Body, show func(string, time.Time) bool) error {
	l, err := readListing(newScanner(doc.Reader()))
	if err != nil {
		return err
	}
	hidden := make(map[string]bool)
	var left []string
	last := ""
	for _, r := range l.releases {
		if !show(r.version, l.published(r.version)) {
			hidden[r.version] = true
			continue
		}
		left = append(left, r.version)
		if last == "" || l.published(r.version).After(l.published(last)) {
			last = r.version
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	f.hidden, f.modified = hidden, l.times[last]
	f.tags = make(map[string]string)
	for _, t := range l.tags {
		if slices.Contains(left, t.version) {
			f.tags[t.name] = t.version
		}
	}
	if f.tags["latest"] == "" && len(left) > 0 {
		f.tags["latest"] = highest(left)
	}
	return nil
}

// packument writes the whole document.
func (f *filter) packument(s *scanner) error {
	dated := false // the member "modified" has been written
	return f.members(s, func(o *object, key string) error {
		switch {
		case f.short && !slices.Contains(shortMembers(), key), key == "modified" && dated:
			return s.skip()
		case key == "modified" && f.modified != "":
			dated = true
			o.member(`"modified"`, quote(f.modified))
			return s.skip()
		}
		dated = dated || key == "modified"
		o.key(s.name)
		switch {
		case key == "versions":
			return f.versions(s)
		case key == "dist-tags" && f.hidden != nil:
			o.value(f.tagsLeft())
			return s.skip()
		case key == "time":
			modified, err := f.times(s)
			if f.short && !dated && modified != nil {
				dated = true
				o.member(`"modified"`, modified)
			}
			return err
		}
		return f.copy(s)
	}, nil)
}

// members writes the next value. If it is an object, member is called for each key and
// must read the value, and write both or neither; other values are copied. last, if not
// nil, may add members.
func (f *filter) members(s *scanner, member func(o *object, key string) error, last func(o *object)) error {
	if c, err := s.space(); err != nil || c != '{' {
		return f.copy(s)
	}
	o := object{w: f.w}
	if err := s.object(func(key string) error { return member(&o, key) }); err != nil {
		return err
	}
	if last != nil {
		last(&o)
	}
	o.end()
	return nil
}

// versions writes the versions that are not hidden.
func (f *filter) versions(s *scanner) error {
	return f.members(s, func(o *object, version string) error {
		if f.hidden[version] {
			return s.skip()
		}
		o.key(s.name)
		if !f.short && f.link == nil {
			return f.copy(s)
		}
		return f.manifest(s)
	}, nil)
}

// manifest writes one version.
func (f *filter) manifest(s *scanner) error {
	scripts, stated := false, false
	return f.members(s, func(o *object, key string) error {
		stated = stated || key == "hasInstallScript"
		switch {
		case key == "dist" && f.link != nil:
			o.key(s.name)
			return f.dist(s)
		case key == "scripts" && f.short:
			return s.object(func(name string) error {
				scripts = scripts || name == "preinstall" || name == "install" || name == "postinstall"
				return s.skip()
			})
		case f.short && !keptInShort(key):
			return s.skip()
		}
		o.key(s.name)
		return f.copy(s)
	}, func(o *object) {
		if scripts && !stated {
			o.member(`"hasInstallScript"`, []byte("true"))
		}
	})
}

// dist writes where the tarball is, and what it must be.
func (f *filter) dist(s *scanner) error {
	return f.members(s, func(o *object, key string) error {
		o.key(s.name)
		if c, err := s.space(); err != nil || key != "tarball" || c != '"' {
			return f.copy(s)
		}
		tarball, err := s.text()
		o.value(quote(f.link(tarball)))
		return err
	}, nil)
}

// times writes when versions were published, and returns what it wrote as "modified".
func (f *filter) times(s *scanner) (modified []byte, err error) {
	err = f.members(s, func(o *object, key string) error {
		if f.hidden[key] {
			return s.skip()
		}
		o.key(s.name)
		value, err := s.raw()
		if key == "modified" {
			modified = slices.Clone(value)
			if f.modified != "" {
				modified = quote(f.modified)
			}
			value = modified
		}
		o.value(value)
		return err
	}, nil)
	return modified, err
}

// tagsLeft returns the tags that name versions which are not hidden, by name.
func (f *filter) tagsLeft() []byte {
	var b bytes.Buffer
	o := object{w: bufio.NewWriter(&b)}
	for _, name := range slices.Sorted(maps.Keys(f.tags)) {
		o.member(string(quote(name)), quote(f.tags[name]))
	}
	o.end()
	_ = o.w.Flush() // a bytes.Buffer takes everything
	return b.Bytes()
}

// copy writes the next value as it stands.
func (f *filter) copy(s *scanner) error {
	value, err := s.raw()
	if err != nil {
		return err
	}
	_, err = f.w.Write(value)
	return err
}

// shortMembers are the members of a packument that its abbreviated form has. The time is
// an extension that clients accept, and pnpm needs to check ages.
func shortMembers() []string { return []string{"name", "modified", "dist-tags", "versions", "time"} }

// keptInShort reports whether a member of a version is in the abbreviated form.
func keptInShort(key string) bool {
	switch key {
	case "name", "version", "deprecated", "dependencies", "optionalDependencies", "devDependencies",
		"bundleDependencies", "bundledDependencies", "peerDependencies", "peerDependenciesMeta",
		"acceptDependencies", "bin", "directories", "dist", "engines", "os", "cpu", "libc", "funding",
		"hasInstallScript", "_hasShrinkwrap":
		return true
	}
	return false
}
