package pypi

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	tokens "golang.org/x/net/html"
)

// maxToken is the longest tag or text accepted, in bytes.
const maxToken = 1 << 20

// readHTML reads a page that is HTML into what the JSON form would say. Links to what is no
// distribution are passed over, as clients do.
func readHTML(b []byte, base *url.URL, project string) (*page, error) {
	p := &page{html: true}
	h := head{meta: map[string]any{"api-version": "1.0"}, lists: map[string][]string{}, status: map[string]string{}}
	z := tokens.NewTokenizer(bytes.NewReader(b))
	z.SetMaxBuf(maxToken)
	for {
		switch z.Next() {
		case tokens.ErrorToken:
			p.members = h.members(project)
			if errors.Is(z.Err(), io.EOF) {
				return p, nil
			}
			return nil, z.Err()
		case tokens.StartTagToken, tokens.SelfClosingTagToken:
		default:
			continue
		}
		switch t := z.Token(); t.Data {
		case "base":
			if u, err := base.Parse(attribute(t, "href")); err == nil {
				base = u
			}
		case "meta":
			h.add(attribute(t, "name"), attribute(t, "content"))
		case "a":
			if f, ok := anchor(t, base); ok {
				if len(p.files) == maxFiles {
					return nil, fmt.Errorf("more than %d files", maxFiles)
				}
				p.files = append(p.files, f)
			}
		}
	}
}

// A head collects what the meta tags of a page say.
type head struct {
	meta   map[string]any      // member of that name
	lists  map[string][]string // by name of the tag
	status map[string]string
}

// add takes in a meta tag.
func (h *head) add(name, content string) {
	switch name = strings.TrimPrefix(name, "pypi:"); name {
	case "repository-version":
		h.meta["api-version"] = content
	case "tracks", "alternate-locations":
		h.lists[name] = append(h.lists[name], content)
	case "project-status":
		h.status["status"] = content
	case "project-status-reason":
		h.status["reason"] = content
	}
}

// members returns the members of the page in JSON.
func (h *head) members(project string) map[string]json.RawMessage {
	if l := h.lists["tracks"]; l != nil {
		h.meta["tracks"] = l
	}
	m := map[string]json.RawMessage{"name": value(project), "meta": value(h.meta)}
	if l := h.lists["alternate-locations"]; l != nil {
		m["alternate-locations"] = value(l)
	}
	if len(h.status) > 0 {
		m["project-status"] = value(h.status)
	}
	return m
}

// attribute returns the value of a tag's attribute, "" if it has none of that name.
func attribute(t tokens.Token, name string) string {
	v, _ := lookup(t, name)
	return v
}

// lookup is attribute that tells whether there is one.
func lookup(t tokens.Token, name string) (string, bool) {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// anchor reads a link to a distribution.
func anchor(t tokens.Token, base *url.URL) (file, bool) {
	f := file{href: attribute(t, "href"), members: map[string]json.RawMessage{}}
	f.url = resolve(base, f.href)
	name := f.name()
	if f.url == "" || len(releases(name)) == 0 {
		return file{}, false
	}
	_, fragment, _ := strings.Cut(f.href, "#")
	hashes := map[string]string{}
	for part := range strings.SplitSeq(fragment, "&") {
		if alg, hex, ok := strings.Cut(part, "="); ok && slices.Contains(algorithms(), alg) {
			hashes[alg] = hex
		}
	}
	f.members["filename"], f.members["hashes"] = value(name), value(hashes)
	for _, name := range [...]string{"requires-python", "provenance"} {
		if v, ok := lookup(t, "data-"+name); ok {
			f.members[name] = value(v)
		}
	}
	if reason, ok := lookup(t, "data-yanked"); ok {
		f.members["yanked"] = value(true)
		if reason != "" {
			f.members["yanked"] = value(reason)
		}
	}
	if sig, ok := lookup(t, "data-gpg-sig"); ok {
		f.members["gpg-sig"] = value(sig == "true")
	}
	if said := cmp.Or(attribute(t, "data-core-metadata"), attribute(t, "data-dist-info-metadata")); said != "" {
		f.members["core-metadata"] = value(said == "true")
		if alg, hex, ok := strings.Cut(said, "="); ok {
			f.members["core-metadata"] = value(map[string]string{alg: hex})
		}
	}
	return f, true
}

// writeHTML writes the page as HTML; hrefs are those of its files, in their order.
func (p *page) writeHTML(w io.Writer, hrefs []string) error {
	var meta struct {
		Version string   `json:"api-version"`
		Tracks  []string `json:"tracks"`
	}
	var alternates []string
	_ = json.Unmarshal(p.members["meta"], &meta)                      // what cannot be read is left out
	_ = json.Unmarshal(p.members["alternate-locations"], &alternates) // as above
	status := texts(p.members["project-status"])
	title := html.EscapeString("Links for " + text(p.members["name"]))
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "<!DOCTYPE html>\n<html>\n<head>\n")
	tag := func(name string, contents ...string) {
		for _, c := range contents {
			if c != "" {
				fmt.Fprintf(b, "<meta name=\"pypi:%s\" content=\"%s\">\n", name, html.EscapeString(c))
			}
		}
	}
	tag("repository-version", cmp.Or(meta.Version, "1.0"))
	tag("project-status", status["status"])
	tag("project-status-reason", status["reason"])
	tag("tracks", meta.Tracks...)
	tag("alternate-locations", alternates...)
	fmt.Fprintf(b, "<title>%s</title>\n</head>\n<body>\n<h1>%s</h1>\n", title, title)
	for i := range p.files {
		if p.files[i].url != "" { // else it is no link that belongs into a page for browsers
			p.files[i].writeHTML(b, hrefs[i])
		}
	}
	fmt.Fprint(b, "</body>\n</html>\n")
	return b.Flush()
}

// writeHTML writes the link to a file, whose fragment states its digest.
func (f *file) writeHTML(b *bufio.Writer, href string) {
	href, _, _ = strings.Cut(href, "#")
	if d, ok := strongest(f.hashes()); ok {
		href += "#" + d.Algorithm() + "=" + d.Hex()
	}
	fmt.Fprintf(b, "<a href=\"%s\"", html.EscapeString(href))
	attr := func(name, v string) { fmt.Fprintf(b, " data-%s=\"%s\"", name, html.EscapeString(v)) }
	for _, name := range [...]string{"requires-python", "provenance"} {
		if v := text(f.members[name]); v != "" {
			attr(name, v)
		}
	}
	if said := hashAttribute(f.coreMetadata()); said != "" {
		attr("core-metadata", said)
		attr("dist-info-metadata", said) // its first name, which pip before 23.3 reads
	}
	switch raw := f.members["yanked"]; {
	case string(raw) == "true":
		attr("yanked", "")
	case len(raw) > 0 && raw[0] == '"':
		attr("yanked", text(raw))
	}
	if raw, ok := f.members["gpg-sig"]; ok && string(raw) != "null" {
		attr("gpg-sig", string(value(string(raw) == "true")))
	}
	fmt.Fprintf(b, ">%s</a><br />\n", html.EscapeString(text(f.members["filename"])))
}

// hashAttribute writes what is said about metadata as an attribute: "true", "sha256=…", or ""
// if there is none.
func hashAttribute(raw json.RawMessage) string {
	if string(raw) == "true" {
		return "true"
	}
	hashes := texts(raw)
	if d, ok := strongest(hashes); ok {
		return d.Algorithm() + "=" + d.Hex()
	}
	for _, alg := range slices.Sorted(maps.Keys(hashes)) {
		return alg + "=" + hashes[alg]
	}
	return ""
}
