package pypi

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"sutler/internal/ecosystem"
)

// View writes a page in the form that the client reads, with the links to files through
// v.Link and without the files of versions that v.Show refuses. A page of which nothing
// changes is copied, as are other documents.
func (e *Ecosystem) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	linked := v.Link != nil && v.Link(doc.Resource.URL) != doc.Resource.URL
	if !isPage(doc.Resource) || v.Form == "" && !linked && v.Show == nil {
		_, err := io.Copy(w, doc.Reader())
		return err
	}
	p, err := readPage(doc, false)
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	hidden := 0
	if v.Show != nil {
		hidden = p.hide(doc.Resource.Package, v)
	}
	asHTML := v.Form == formHTML || v.Form == "" && p.html
	if asHTML == p.html && !linked && hidden == 0 {
		_, err := io.Copy(w, doc.Reader())
		return err
	}
	hrefs := make([]string, len(p.files))
	for i := range p.files {
		hrefs[i] = e.mapped(&p.files[i], v.Link)
	}
	if asHTML {
		return p.writeHTML(w, hrefs)
	}
	return p.writeJSON(w, hrefs)
}

// mapped returns the link to a file with its fragment, absolute, because a base tag is lost
// when a page is written anew. What this ecosystem does not know is not served at the native
// endpoint, so it is linked to where it is.
func (e *Ecosystem) mapped(f *file, link func(string) string) string {
	if f.url == "" {
		return f.href
	}
	target := f.url
	if link != nil && e.knows(f.url) {
		target = link(f.url)
	}
	if _, fragment, ok := strings.Cut(f.href, "#"); ok {
		target += "#" + fragment
	}
	return target
}

// hide drops the files that are not to be shown, and the versions that have no others. It
// returns how many files it dropped.
func (p *page) hide(project string, v ecosystem.View) int {
	gone, left := map[string]bool{}, map[string]bool{}
	before := len(p.files)
	p.files = slices.DeleteFunc(p.files, func(f file) bool {
		version := f.version(project)
		show := v.Show(version, f.published())
		if show {
			left[plain(version)] = true
		} else {
			gone[plain(version)] = true
		}
		return !show
	})
	var versions []string
	if len(p.files) < before && json.Unmarshal(p.members["versions"], &versions) == nil {
		versions = slices.DeleteFunc(versions, func(s string) bool { return gone[plain(s)] && !left[plain(s)] })
		p.members["versions"] = value(append([]string{}, versions...))
	}
	return before - len(p.files)
}

// plain writes a version so that its usual spellings in names of files and on pages are alike.
func plain(version string) string {
	return strings.NewReplacer("-", ".", "_", ".").Replace(strings.ToLower(version))
}

// writeJSON writes the page as JSON; hrefs are those of its files, in their order.
func (p *page) writeJSON(w io.Writer, hrefs []string) error {
	files := make([]map[string]json.RawMessage, len(p.files))
	for i := range p.files {
		m := p.files[i].members
		href := hrefs[i]
		if p.html {
			href, _, _ = strings.Cut(href, "#") // it states the digest, which has its own member
		}
		m["url"] = value(href)
		if said := p.files[i].coreMetadata(); said != nil {
			m["core-metadata"] = said
			delete(m, "dist-info-metadata") // some old releases of pip misread it
		}
		files[i] = m
	}
	p.members["files"] = value(files)
	return json.NewEncoder(w).Encode(p.members)
}
