package rpm

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"sutler/internal/ecosystem"
)

const (
	maxMirrors = 4096 // in a list; the longest have 300
	maxList    = 2 << 20
	shown      = 3 // mirrors that clients get: one, and two for when it fails
)

// A picker chooses the mirrors that clients get.
type picker struct {
	profile ecosystem.Profile
	host    string // of the list
	link    func(string) string
}

// A mirror is an entry of a list.
type mirror struct {
	url        string
	rank       int
	start, end int64 // where its element stands in a metalink
}

// canonicalArchives are where a list's host keeps what the mirrors copy, for lists that do
// not name it. What follows the folder of the release is the same everywhere.
var canonicalArchives = map[string]string{
	"mirrors.rockylinux.org": "https://dl.rockylinux.org/pub/rocky/",
	"mirrors.almalinux.org":  "https://repo.almalinux.org/almalinux/",
}

// rank says how good a mirror is for the cache, less is better. Connections to hosts that
// are not known are tunnelled, and nothing is kept of what they carry.
func (p picker) rank(raw string) (int, bool) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return 0, false
	}
	switch owned := p.profile.Owns(strings.ToLower(u.Hostname())); {
	case owned && u.Scheme == "https":
		return 0, true
	case owned:
		return 1, true
	case p.link(raw) != raw && u.Scheme == "https":
		return 2, true
	case u.Scheme == "http":
		return 3, true
	}
	return 4, true
}

// choose returns the best mirrors, best first. Those of one rank are ordered by name, so
// that builds ask the same ones whatever order the list has today.
func (p picker) choose(all []mirror) []mirror {
	all = slices.DeleteFunc(all, func(m mirror) bool { _, ok := p.rank(m.url); return !ok })
	for i := range all {
		all[i].rank, _ = p.rank(all[i].url)
	}
	slices.SortFunc(all, func(a, b mirror) int { return cmp.Or(a.rank-b.rank, strings.Compare(a.url, b.url)) })
	all = slices.CompactFunc(all, func(a, b mirror) bool { return a.url == b.url })
	return all[:min(len(all), shown)]
}

// list writes a list of one URL a line.
func (p picker) list(b []byte) ([]byte, error) {
	all, err := parseList(b)
	if err != nil {
		return nil, err
	}
	best := p.choose(all)
	if archive, ok := canonicalArchives[p.host]; ok && len(best) > 0 && best[0].rank > 1 {
		if tail, ok := released(best[0].url); ok {
			best = slices.Insert(best, 0, mirror{url: archive + tail})
		}
	}
	var out []byte
	for _, m := range best[:min(len(best), shown)] {
		out = append(append(out, p.link(m.url)...), '\n')
	}
	return out, nil
}

// released returns what follows the first folder of a URL that is named after a release.
func released(raw string) (string, bool) {
	_, rest, _ := strings.Cut(raw, "://")
	_, rest, _ = strings.Cut(rest, "/")
	for rest != "" {
		if rest[0] >= '0' && rest[0] <= '9' {
			return rest, true
		}
		_, rest, _ = strings.Cut(rest, "/")
	}
	return "", false
}

// parseList reads a list of one URL a line.
func parseList(b []byte) ([]mirror, error) {
	if len(b) > maxList {
		return nil, invalid("%d bytes are too many for a list of mirrors", len(b))
	}
	var all []mirror
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		u, err := url.Parse(string(line))
		if err != nil || u.Host == "" || len(all) == maxMirrors || bytes.ContainsAny(line, " \t<>\"") {
			return nil, invalid("%.80q is not the URL of a mirror (a login page?)", line)
		}
		all = append(all, mirror{url: string(line)})
	}
	return all, nil
}

// metalink writes a metalink in which only the best mirrors are left, the best preferred.
// All else stands as it was: the digests of repomd.xml above all, which the client checks.
func (p picker) metalink(b []byte) ([]byte, error) {
	all, err := parseMetalink(b)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	at := int64(0)
	for i, m := range all {
		out.Write(b[at:m.start])
		at = m.end
		if i > 0 {
			continue
		}
		for n, best := range p.choose(slices.Clone(all)) {
			if n > 0 {
				out.WriteByte('\n')
			}
			scheme, _, _ := strings.Cut(best.url, ":")
			fmt.Fprintf(&out, `<url protocol="%s" type="%[1]s" preference="%d">`, scheme, 100-n)
			if err := xml.EscapeText(&out, []byte(p.link(best.url))); err != nil {
				return nil, err
			}
			out.WriteString("</url>")
		}
	}
	out.Write(b[at:])
	return out.Bytes(), nil
}

// parseMetalink returns the mirrors that a metalink names, and where.
func parseMetalink(b []byte) ([]mirror, error) {
	if len(b) > maxList {
		return nil, invalid("%d bytes are too many for a metalink", len(b))
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	var all []mirror
	for depth, count := 0, 0; ; {
		start := d.InputOffset()
		t, err := d.RawToken()
		switch {
		case errors.Is(err, io.EOF) && depth == 0 && count > 0:
			return all, nil
		case err != nil:
			return nil, invalid("not a whole metalink: %w", err)
		}
		if _, ok := t.(xml.EndElement); ok {
			depth--
		}
		el, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if count++; depth == 0 && (count > 1 || el.Name.Local != "metalink") {
			return nil, invalid("<%.60s> is no metalink (a login page?)", el.Name.Local)
		}
		if el.Name.Local != "url" {
			depth++
			continue
		}
		text, err := urlText(d)
		if err != nil {
			return nil, err
		}
		if len(all) == maxMirrors {
			return nil, invalid("more than %d mirrors", maxMirrors)
		}
		if strings.HasSuffix(text, "/"+repodata+repomd) {
			all = append(all, mirror{url: text, start: start, end: d.InputOffset()})
		}
	}
}

// urlText returns the text of the element that just began, which holds nothing else.
func urlText(d *xml.Decoder) (string, error) {
	text := ""
	for {
		t, err := d.RawToken()
		if err != nil {
			return "", invalid("%w", err)
		}
		switch t := t.(type) {
		case xml.CharData:
			if text += string(t); len(text) > maxText {
				return "", invalid("a mirror of more than %d bytes", maxText)
			}
		case xml.EndElement:
			return strings.TrimSpace(text), nil
		default:
			return "", invalid("a mirror that is more than a URL")
		}
	}
}
