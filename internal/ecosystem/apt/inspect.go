package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"sutler/internal/ecosystem"
)

// Inspect checks the signature of a release, and emits what releases and indexes list.
// Other documents make no claims; they are only refused if they are no such file at all.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, src ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	u, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return ecosystem.Evidence{}, invalid("URL: %v", err)
	}
	l := location{origin: u.Scheme + "://" + u.Host}
	pl, ok := locate(u.EscapedPath())
	if !ok {
		return ecosystem.Evidence{}, invalid("not a file of a repository")
	}
	switch pl.kind {
	case release:
		return e.release(ctx, inspection{l, pl, doc, emit}, src)
	case signature:
		return ecosystem.Evidence{}, checkSignature(doc)
	case stanzas:
		return ecosystem.Evidence{}, inspection{l, pl, doc, emit}.stanzas(ctx)
	case patches:
		return ecosystem.Evidence{}, inspection{l, pl, doc, emit}.patches()
	case sums:
		return ecosystem.Evidence{}, inspection{l, pl, doc, emit}.sums()
	}
	return ecosystem.Evidence{}, checkShape(pl.name, doc)
}

// An inspection is of one document that lies at a place.
type inspection struct {
	location
	place
	doc  ecosystem.Body
	emit func(ecosystem.Claim) error
}

// maxSmall bounds documents that are read as a whole, in bytes: the release of a whole
// distribution has 300 KB.
const maxSmall = 16 << 20

// readSmall returns the bytes of a document that must not be large.
func readSmall(doc ecosystem.Body) ([]byte, error) {
	if doc.Size > maxSmall {
		return nil, invalid("%d bytes are too many for a document of this kind", doc.Size)
	}
	return io.ReadAll(doc.Reader())
}

// magics are how compressed files start, by the ends of their names.
var magics = [...]struct{ ext, start string }{
	{".gz", "\x1f\x8b"},
	{".xz", "\xfd7zXZ\x00"},
	{".bz2", "BZh"},
	{".zst", "\x28\xb5\x2f\xfd"},
}

// checkShape refuses what cannot be a file of that name: a login page, above all.
func checkShape(name string, doc ecosystem.Body) error {
	var buf [256]byte
	n, err := doc.ReadAt(buf[:min(int64(len(buf)), doc.Size)], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head := buf[:n]
	for _, m := range magics {
		if n > 0 && strings.HasSuffix(name, m.ext) && !bytes.HasPrefix(head, []byte(m.start)) {
			return invalid("%s is not compressed as its name says (a login page?)", name)
		}
	}
	text := bytes.ToLower(bytes.TrimLeft(head, "\ufeff \t\r\n"))
	if bytes.HasPrefix(text, []byte("<!doctype html")) || bytes.HasPrefix(text, []byte("<html")) {
		return invalid("%s is a web page (a login page?)", name)
	}
	return nil
}

// invalid returns an error that wraps ecosystem.ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ecosystem.ErrInvalid, fmt.Errorf(format, args...))
}
