package gomod

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/tlog"

	"sutler/internal/ecosystem"
)

// maxDocument is the size in bytes that no document exceeds: the largest are lists of
// versions and tiles of records.
const maxDocument = 32 << 20

// Inspect checks that a document is what its URL says. From the record of a version, which
// must be in the signed tree of its database, it emits the hashes of the files.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, src ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	a, text, err := e.read(doc)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	evidence := ecosystem.Evidence{Note: "not signed"}
	switch a.what {
	case list:
		err = checkList(text)
	case latest, info, query:
		err = checkInfo(a, text)
	case tile:
		err = checkTile(a.tile, text)
	case head:
		_, evidence, err = e.tree(a, text)
	case lookup:
		evidence, err = e.record(ctx, a, text, src, emit)
	}
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	return evidence, nil
}

// read returns the address and the text of a document.
func (e *Ecosystem) read(doc ecosystem.Body) (address, []byte, error) {
	u, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return address{}, nil, fmt.Errorf("%w: %w", ecosystem.ErrInvalid, err)
	}
	path, _ := decode(u.EscapedPath())
	a, ok := e.locate(u, path)
	if !ok {
		return a, nil, fmt.Errorf("%w: not one of a proxy", ecosystem.ErrInvalid)
	}
	if doc.Size > maxDocument {
		return a, nil, fmt.Errorf("%w: %d bytes are more than %d", ecosystem.ErrInvalid, doc.Size, maxDocument)
	}
	text, err := io.ReadAll(doc.Reader())
	return a, text, err
}

// checkList checks that a list names versions. What else stands in a line the go command
// ignores, but a page that names none was never a list.
func checkList(text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if semver.IsValid(listed(line)) {
			return nil
		}
	}
	return fmt.Errorf("%w: no line names a version", ecosystem.ErrInvalid)
}

// listed returns the version that a line of a list names.
func listed(line string) string {
	v, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	return v
}

// checkInfo checks the description of a version, as the go command does.
func checkInfo(a address, text []byte) error {
	var described struct{ Version string }
	if err := json.Unmarshal(text, &described); err != nil {
		return fmt.Errorf("%w: %w", ecosystem.ErrInvalid, err)
	}
	switch v := described.Version; {
	case !semver.IsValid(v):
		return fmt.Errorf("%w: %q is no version", ecosystem.ErrInvalid, v)
	case a.what == info && v != a.version:
		return fmt.Errorf("%w: it describes %q", ecosystem.ErrInvalid, v)
	}
	return nil
}

// checkTile checks that a tile has its size. Whether its hashes are right turns out when a
// record is proven by it.
func checkTile(t tlog.Tile, data []byte) error {
	if want := t.W * tlog.HashSize; t.L >= 0 && len(data) != want {
		return fmt.Errorf("%w: a tile of %d bytes, want %d", ecosystem.ErrInvalid, len(data), want)
	}
	return nil
}
