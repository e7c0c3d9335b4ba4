package cargo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/textdoc"
)

// Limits in bytes. The longest file of the public index has 30 MB.
const (
	maxConfig = 64 << 10
	maxIndex  = 256 << 20
)

// A release is one line of an index file.
type release struct {
	name, version string
	cksum         digest.Digest
	published     time.Time // zero if not stated
}

// at returns the URL that a template gives for the release.
func (r release) at(template string) string {
	return strings.NewReplacer("{crate}", r.name, "{version}", r.version, "{prefix}", prefix(r.name),
		"{lowerprefix}", prefix(strings.ToLower(r.name)), "{sha256-checksum}", r.cksum.Hex()).Replace(template)
}

// settings is what config.json says of a registry.
type settings struct {
	downloads string // URL, with or without marks
	api       string // URL, "" if there is none
}

// hasMark reports whether a download URL has marks that cargo replaces; to one without, it
// appends name and version.
func hasMark(template string) bool {
	for _, m := range [...]string{"{crate}", "{version}", "{prefix}", "{lowerprefix}", "{sha256-checksum}"} {
		if strings.Contains(template, m) {
			return true
		}
	}
	return false
}

// readConfig reads config.json.
func readConfig(doc ecosystem.Body) (settings, error) {
	if doc.Size > maxConfig {
		return settings{}, fmt.Errorf("%w: %d bytes", ecosystem.ErrInvalid, doc.Size)
	}
	text, err := io.ReadAll(doc.Reader())
	if err != nil {
		return settings{}, err
	}
	var c settings
	err = members(text, func(key string, value json.RawMessage) error {
		switch key {
		case "dl":
			return json.Unmarshal(value, &c.downloads)
		case "api":
			return json.Unmarshal(value, &c.api)
		}
		return nil
	})
	if err == nil && c.downloads == "" {
		err = errors.New("it does not say where crates are")
	}
	if err != nil {
		return settings{}, fmt.Errorf("%w: %w", ecosystem.ErrInvalid, err)
	}
	return c, nil
}

// readIndex reads the lines of an index file, which must be about the crate asked for.
func readIndex(doc ecosystem.Body) ([]release, error) {
	var out []release
	seen := make(map[string]bool)
	err := textdoc.Lines(doc, maxIndex, func(line []byte) error {
		if len(bytes.TrimSpace(line)) == 0 {
			return nil
		}
		r, err := readRelease(line)
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", ecosystem.ErrInvalid, err)
		case strings.ToLower(r.name) != doc.Resource.Package:
			return fmt.Errorf("%w: it is about the crate %q", ecosystem.ErrInvalid, r.name)
		case seen[r.version]:
			return fmt.Errorf("%w: version %s stands twice", ecosystem.ErrInvalid, r.version)
		}
		seen[r.version] = true
		out = append(out, r)
		return nil
	})
	return out, err
}

// readRelease reads one line.
func readRelease(line []byte) (release, error) {
	var r release
	var cksum, published string
	err := members(line, func(key string, value json.RawMessage) error {
		switch key {
		case "name":
			return json.Unmarshal(value, &r.name)
		case "vers":
			return json.Unmarshal(value, &r.version)
		case "cksum":
			return json.Unmarshal(value, &cksum)
		case "pubtime":
			return json.Unmarshal(value, &published)
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if !validName(r.name) || !validVersion(r.version) {
		return r, fmt.Errorf("crate %q of version %q", r.name, r.version)
	}
	if r.cksum, err = digest.New(digest.SHA256, cksum); err != nil {
		return r, fmt.Errorf("version %s: %w", r.version, err)
	}
	if t, err := time.Parse(time.RFC3339, published); err == nil {
		r.published = t
	}
	return r, nil
}

// members calls member for each member of a JSON object, which must be the whole text. Names
// are compared as cargo does, exactly, and none may stand twice: readers differ in which one
// counts then.
func members(text []byte, member func(key string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := make(map[string]bool)
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("member %q stands twice", name)
		}
		seen[name] = true
		if err := member(name, value); err != nil {
			return fmt.Errorf("member %q: %w", name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
