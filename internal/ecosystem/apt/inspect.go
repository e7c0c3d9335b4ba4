package apt

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"sutler/internal/ecosystem"
	"sutler/internal/pgp"
	"sutler/internal/unpack"
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
	return ecosystem.Evidence{}, unpack.CheckShape(pl.name, doc)
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

// checkSignature refuses a Release.gpg that holds no signature.
func checkSignature(doc ecosystem.Body) error {
	b, err := readSmall(doc)
	if err != nil {
		return err
	}
	return pgp.CheckSignature(b)
}

// readSmall returns the bytes of a document that must not be large.
func readSmall(doc ecosystem.Body) ([]byte, error) {
	if doc.Size > maxSmall {
		return nil, invalid("%d bytes are too many for a document of this kind", doc.Size)
	}
	return io.ReadAll(doc.Reader())
}

// invalid returns an error that wraps ecosystem.ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ecosystem.ErrInvalid, fmt.Errorf(format, args...))
}
