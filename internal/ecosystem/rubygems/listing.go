package rubygems

import (
	"fmt"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/textdoc"
)

// maxDocument is the size in bytes that no list exceeds. The public one has about 25 MB.
const maxDocument = 1 << 30

// headerEnd separates what precedes the lines of a part of the compact index. There may be
// no header.
const headerEnd = "---"

// A release is one line of an info file.
type release struct {
	version  string // with the platform, if there is one
	checksum digest.Digest
	created  time.Time // zero if not stated
}

// invalid returns an error that wraps ecosystem.ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ecosystem.ErrInvalid, fmt.Sprintf(format, args...))
}

// entries calls entry for each line after the header, without its newline.
func entries(doc ecosystem.Body, entry func(line string) error) error {
	number, header := 0, false
	err := textdoc.Lines(doc, maxDocument, func(b []byte) error {
		line := strings.TrimSuffix(string(b), "\n")
		number++
		switch {
		case line == headerEnd:
			header = false
			return nil
		case number == 1 && strings.HasPrefix(line, "created_at:"):
			header = true
		}
		if header {
			return nil
		}
		if err := entry(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		return nil
	})
	if err == nil && header {
		return invalid("its header has no end")
	}
	return err
}

// checkList checks the lines of /versions ("name 1.0.0,1.1.0,-1.0.0 MD5") or /names.
func checkList(doc ecosystem.Body) error {
	versions := strings.HasSuffix(doc.Resource.URL, "/versions")
	return entries(doc, func(line string) error {
		if !versions {
			return check(validName(line), line)
		}
		name, rest, _ := strings.Cut(line, " ")
		released, sum, ok := strings.Cut(rest, " ")
		return check(ok && validName(name) && released != "" && len(sum) == 32 && strings.Trim(sum, "0123456789abcdefABCDEF") == "", line)
	})
}

// check returns an error about a line that is not in order.
func check(ok bool, line string) error {
	if ok {
		return nil
	}
	return invalid("%.80q", line)
}

// readInfo reads the lines of an info file.
func readInfo(doc ecosystem.Body) ([]release, error) {
	var out []release
	seen := make(map[string]digest.Digest)
	err := entries(doc, func(line string) error {
		r, err := readRelease(line)
		if err != nil {
			return err
		}
		before, twice := seen[r.version]
		switch {
		case twice && before != r.checksum:
			return invalid("version %s stands twice", r.version)
		case !twice:
			seen[r.version] = r.checksum
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// readRelease reads a line "1.0.0-java rack:>= 1&< 3,rake:>= 0|checksum:SHA256,ruby:>= 2".
func readRelease(line string) (release, error) {
	version, rest, ok := strings.Cut(line, " ")
	if !ok || !validVersion(version) {
		return release{}, check(false, line)
	}
	r := release{version: version}
	_, requirements, ok := strings.Cut(rest, "|")
	if !ok {
		return release{}, check(false, line)
	}
	for field := range strings.SplitSeq(requirements, ",") {
		key, value, _ := strings.Cut(field, ":")
		switch key {
		case "checksum":
			d, err := digest.New(digest.SHA256, value)
			if err != nil || r.checksum != "" {
				return release{}, check(false, line)
			}
			r.checksum = d
		case "created_at":
			if t, err := time.Parse(time.RFC3339, value); err == nil {
				r.created = t
			}
		}
	}
	return r, nil
}
