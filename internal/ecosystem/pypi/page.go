package pypi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// Limits of what is read of a document. The largest pages known have 10 MB.
const (
	maxPage  = 64 << 20 // bytes
	maxDepth = 64
	maxParts = 3 << 20   // of JSON: names, values and brackets
	maxFiles = 256 << 10 // links of HTML
)

// A page is a project page, whatever its representation: what is HTML is read into the JSON
// that says the same.
type page struct {
	html    bool                       // as it is stored
	members map[string]json.RawMessage // of the page, but its files
	files   []file
}

// A file is one distribution on a page.
type file struct {
	members map[string]json.RawMessage
	href    string // as it stands there, with its fragment
	url     string // absolute, without fragment; "" if it is none that can be fetched
}

// readPage reads a document, after checking its form if it is a new one. What it returns for
// documents that are no pages has no files. Errors wrap ErrInvalid unless reading failed.
func readPage(doc ecosystem.Body, fresh bool) (*page, error) {
	if doc.Size > maxPage {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ecosystem.ErrInvalid, doc.Size, maxPage)
	}
	b, err := io.ReadAll(doc.Reader())
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return nil, err
	}
	p := &page{}
	b = bytes.TrimPrefix(bytes.TrimSpace(b), []byte("\ufeff"))
	if isPage(doc.Resource) && bytes.HasPrefix(b, []byte("<")) {
		p, err = readHTML(b, base, doc.Resource.Package)
	} else {
		if fresh {
			err = wellFormed(b)
		}
		if err == nil {
			err = p.readJSON(b, base)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ecosystem.ErrInvalid, err)
	}
	return p, nil
}

// readJSON reads a page that is JSON; links are relative to base.
func (p *page) readJSON(b []byte, base *url.URL) error {
	if err := json.Unmarshal(b, &p.members); err != nil || p.members == nil {
		return fmt.Errorf("no object: %w", err)
	}
	var files []map[string]json.RawMessage
	if raw, ok := p.members["files"]; ok {
		if err := json.Unmarshal(raw, &files); err != nil {
			return fmt.Errorf("files: %w", err)
		}
	}
	delete(p.members, "files")
	for _, m := range files {
		href := text(m["url"])
		if href == "" || text(m["filename"]) == "" {
			return errors.New("a file without name or URL")
		}
		p.files = append(p.files, file{members: m, href: href, url: resolve(base, href)})
	}
	return nil
}

// wellFormed checks that b is one JSON value, not nested too deep, in which no object has two
// members of one name: readers differ in which of them they believe.
func wellFormed(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var names []map[string]bool // of the objects around, nil for a list
	key := false                // a name comes next, if not the end
	for parts := 0; ; parts++ {
		if parts > maxParts {
			return fmt.Errorf("more than %d names and values", maxParts)
		}
		t, err := d.Token()
		if errors.Is(err, io.EOF) && len(names) == 0 {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch name, isText := t.(string); {
		case t == json.Delim('{'), t == json.Delim('['):
			if len(names) == maxDepth {
				return errors.New("nested too deep")
			}
			names = append(names, nil)
			if t == json.Delim('{') {
				names[len(names)-1] = map[string]bool{}
			}
			key = t == json.Delim('{')
			continue
		case t == json.Delim('}'), t == json.Delim(']'):
			names = names[:len(names)-1]
		case key && isText:
			around := names[len(names)-1]
			if around[name] {
				return fmt.Errorf("%q stands twice", name)
			}
			around[name], key = true, false
			continue
		}
		if len(names) == 0 {
			if _, err := d.Token(); !errors.Is(err, io.EOF) {
				return errors.New("more than one value")
			}
			return nil
		}
		key = names[len(names)-1] != nil
	}
}

// resolve returns the absolute URL of a link, without its fragment, or "" if that is no URL
// of the web.
func resolve(base *url.URL, href string) string {
	u, err := base.Parse(strings.TrimSpace(href))
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}

// text returns the string that a JSON value is, or "".
func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// texts returns the object of strings that a JSON value is, or nil.
func texts(raw json.RawMessage) map[string]string {
	var m map[string]string
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// value writes v, which consists of strings, truths, lists and maps, as JSON.
func value(v any) json.RawMessage {
	b, _ := json.Marshal(v) // such values can all be written
	return b
}

// name returns the name of the file, which is the last step of its URL.
func (f *file) name() string {
	if u, err := url.Parse(f.url); err == nil && f.url != "" {
		return path.Base(u.Path)
	}
	return text(f.members["filename"])
}

// hashes returns the digests stated of the file, by algorithm.
func (f *file) hashes() map[string]string { return texts(f.members["hashes"]) }

// metadata returns the digests stated of the file's metadata, by algorithm.
func (f *file) metadata() map[string]string { return texts(f.coreMetadata()) }

// coreMetadata returns what is said about the file's metadata, by its present or first name.
func (f *file) coreMetadata() json.RawMessage {
	if raw, ok := f.members["core-metadata"]; ok {
		return raw
	}
	return f.members["dist-info-metadata"]
}

// size returns the size of the file in bytes, -1 if it is not stated.
func (f *file) size() int64 {
	n := int64(-1)
	if json.Unmarshal(f.members["size"], &n) != nil || n < 0 {
		return -1
	}
	return n
}

// published returns when the file was uploaded; zero if that is not stated.
func (f *file) published() time.Time {
	t, err := time.Parse(time.RFC3339Nano, text(f.members["upload-time"]))
	if err != nil {
		return time.Time{}
	}
	return t
}

// version returns the version of the project that the file is of, or "".
func (f *file) version(project string) string {
	all := releases(f.name())
	for _, r := range all {
		if r.project == project {
			return r.version
		}
	}
	return ""
}
