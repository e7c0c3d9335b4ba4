package apt

import (
	"bytes"
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/pgp"
	"sutler/internal/urlpath"
)

// release checks a release and emits what it lists.
func (e *Ecosystem) release(ctx context.Context, in inspection, src ecosystem.Source) (ecosystem.Evidence, error) {
	raw, err := readSmall(in.doc)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	text, signed := raw, pgp.Verdict{}
	if in.name == "InRelease" {
		text, signed, err = e.keys.Clearsigned(raw)
	} else {
		signed, err = e.keys.Beside(ctx, raw, src, in.signature(in.dir, in.root))
	}
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	stated, err := parseRelease(text)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	evidence := ecosystem.Evidence{Signer: signed.Signer, Note: signed.Note, Dated: stated.dated,
		Expires: pgp.Earliest(stated.validUntil, signed.Expires)}
	if len(stated.files) == 0 {
		evidence.Note = strings.TrimPrefix(evidence.Note+"; it states no SHA-256 or SHA-512", "; ")
	}
	return evidence, in.list(stated)
}

// list emits the files of a release, and their names by digest if it has them.
func (in inspection) list(stated statement) error {
	for _, f := range stated.files {
		c := ecosystem.Claim{Digest: f.digest, Size: f.size}
		name, ok := urlpath.Append([]byte(in.origin+in.dir), []byte(f.name))
		if !ok {
			return invalid("a file outside of the release's folder: %q", f.name)
		}
		c.URL = string(name)
		if stated.byHash {
			folder := c.URL[:strings.LastIndexByte(c.URL, '/')+1]
			c.Via = folder + "by-hash/" + f.section + "/" + f.digest.Hex()
		}
		if err := in.emit(c); err != nil {
			return err
		}
	}
	return nil
}

// A statement is what a release says.
type statement struct {
	dated, validUntil time.Time
	byHash            bool
	known             int // fields that only releases have
	files             []listedFile
}

// A listedFile is a line of a section with digests.
type listedFile struct {
	section, name string
	digest        digest.Digest
	size          int64
}

// parseRelease reads the text of a release.
func parseRelease(text []byte) (statement, error) {
	var s statement
	section := ""
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		var err error
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
			err = s.file(section, line)
		} else if len(line) > 0 {
			section, err = s.field(line)
		}
		if err != nil {
			return s, err
		}
	}
	if s.known == 0 {
		return s, invalid("no field of a release (a login page?)")
	}
	return s, nil
}

// field reads the first line of a field, and returns its name.
func (s *statement) field(line []byte) (string, error) {
	name, value, ok := strings.Cut(string(line), ":")
	if !ok || strings.ContainsAny(name, " \t<") {
		return "", invalid("%.60q is not a field of a release (a login page?)", line)
	}
	value = strings.TrimSpace(value)
	var err error
	switch name {
	case "Date":
		s.dated, err = parseDate(value)
	case "Valid-Until":
		s.validUntil, err = parseDate(value)
	case "Acquire-By-Hash":
		s.byHash = value == "yes"
	case "Suite", "Codename", "Components", "Architectures", "Origin", "Label", "MD5Sum", "SHA1", "SHA256", "SHA512":
	default:
		return name, nil
	}
	s.known++
	return name, err
}

// file reads a continuation line: a file, if the section lists digests that count. Debian
// lists MD5 sums as well.
func (s *statement) file(section string, line []byte) error {
	if section != "SHA256" && section != "SHA512" {
		return nil
	}
	f := strings.Fields(string(line))
	if len(f) != 3 {
		return invalid("%.120q under %s is not digest, size and name", line, section)
	}
	d, err := digest.New(hashName(section), f[0])
	size, sizeErr := strconv.ParseInt(f[1], 10, 64)
	if err = cmp.Or(err, sizeErr); err != nil || size < 0 {
		return invalid("%.120q under %s: %v", line, section, err)
	}
	s.files = append(s.files, listedFile{section: section, name: f[2], digest: d, size: size})
	return nil
}

// parseDate reads a date as releases write it: RFC 1123, always in UTC.
func parseDate(s string) (time.Time, error) {
	for _, layout := range [...]string{"Mon, _2 Jan 2006 15:04:05 MST", time.RFC1123Z, time.RFC1123} {
		t, err := time.Parse(layout, strings.Replace(s, "  ", " ", 1))
		if err != nil {
			continue
		}
		if zone, offset := t.Zone(); offset == 0 && zone != "UTC" && zone != "GMT" && zone != "Z" && zone != "" && zone[0] != '+' {
			continue // an abbreviation that Go does not know counts as UTC, which it is not
		}
		return t.UTC(), nil
	}
	return time.Time{}, invalid("%.60q is not a date", s)
}
