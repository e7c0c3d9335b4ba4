package apk

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// Bounds of an index, in bytes. That of Alpine's community has 12 MiB unpacked.
const (
	maxIndex = 512 << 20 // unpacked
	maxLine  = 4 << 20   // lines list what a package provides: thousands of names
)

// Inspect checks the signature of an index and emits the packages that it lists.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	u, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return ecosystem.Evidence{}, invalid("URL: %v", err)
	}
	dir, name := path.Split(u.EscapedPath())
	in := inspection{location: location{origin: u.Scheme + "://" + u.Host, dir: dir}, emit: emit}
	in.base = in.location.base()
	disk := &faulty{ReaderAt: doc.ReaderAt}
	doc.ReaderAt = disk
	read := in.index
	if name != index2 {
		read = in.index3
	}
	evidence, err := read(ctx, e.keys, doc)
	switch {
	case disk.err != nil:
		return evidence, disk.err
	case in.failed != nil:
		return evidence, in.failed
	case err != nil && ctx.Err() != nil:
		return evidence, ctx.Err()
	case err != nil:
		return evidence, invalid("%w", err)
	}
	return evidence, nil
}

// An inspection is of one index.
type inspection struct {
	location
	base   string
	emit   func(ecosystem.Claim) error
	failed error // what emit returned
}

// index checks an index, and emits what it lists.
func (in *inspection) index(ctx context.Context, keys keyring, doc ecosystem.Body) (evidence ecosystem.Evidence, err error) {
	signatures, start, err := readSignatures(doc)
	if err != nil {
		return evidence, err
	}
	evidence.Signer, evidence.Note, err = keys.verify(signatures, io.NewSectionReader(doc, start, doc.Size-start))
	if err != nil {
		return evidence, err
	}
	lists := 0
	for start < doc.Size {
		n, err := digest.TarMember(io.NewSectionReader(doc, start, doc.Size-start), maxIndex, func(h *tar.Header, content io.Reader) error {
			if h.Name != "APKINDEX" {
				return nil
			}
			if lists++; lists > 1 {
				return errors.New("more than one APKINDEX")
			}
			// Some tools write no time; one that nobody signed would outlast all that are true.
			if evidence.Signer != "" && h.ModTime.Unix() > 0 && h.ModTime.UTC().Year() < 10_000 {
				evidence.Dated = h.ModTime.UTC()
			}
			return in.list(ctx, content)
		})
		if err != nil {
			return evidence, err
		}
		start += n
	}
	if lists == 0 {
		return evidence, errors.New("no APKINDEX in it")
	}
	return evidence, nil
}

// list reads the records of an index. Each ends in an empty line.
func (in *inspection) list(ctx context.Context, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	rec := record{size: -1}
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if err := in.claim(ctx, rec); err != nil {
				return err
			}
			rec = record{size: -1}
			continue
		}
		if err := rec.field(line); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return in.claim(ctx, rec)
}

// A record is what an index says of one package, as far as it matters here.
type record struct {
	name, version, arch string
	digest              digest.Digest
	size                int64 // -1 if it is not stated
}

// field reads one line.
func (r *record) field(line string) (err error) {
	if len(line) < 2 || line[1] != ':' {
		return fmt.Errorf("%.60q is no line of an index", line)
	}
	value := line[2:]
	switch line[0] {
	case 'C':
		r.digest, err = parseChecksum(value)
	case 'P':
		r.name = value
	case 'V':
		r.version = value
	case 'A':
		r.arch = value
	case 'S':
		if r.size, err = strconv.ParseInt(value, 10, 64); err != nil || r.size < 0 {
			return fmt.Errorf("%.60q is no size", value)
		}
	}
	return err
}

// parseChecksum reads "Q1BASE64" or "Q2BASE64": SHA-1 or SHA-256 of the control member. Of
// other notations it makes none.
func parseChecksum(s string) (digest.Digest, error) {
	if len(s) < 2 || s[0] != 'Q' {
		return "", nil
	}
	raw, err := base64.StdEncoding.DecodeString(s[2:])
	switch {
	case err != nil:
		return "", fmt.Errorf("checksum %.60q: %w", s, err)
	case s[1] == '1':
		return digest.New(digest.APK, hex.EncodeToString(raw))
	case s[1] == '2':
		return digest.New(digest.APK256, hex.EncodeToString(raw))
	}
	return "", nil
}

// claim emits what a record says. apk asks for a package in the folder of the package's own
// architecture, which is mostly that of the index.
func (in *inspection) claim(ctx context.Context, r record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.digest == "" || r.name == "" && r.version == "" {
		return nil
	}
	file, ok := escapeElement(r.name + "-" + r.version + ".apk")
	if !ok || r.name == "" || r.version == "" {
		return fmt.Errorf("%.60q in version %.60q is no package", r.name, r.version)
	}
	c := ecosystem.Claim{URL: in.origin + in.dir + file, Digest: r.digest, Size: r.size}
	if in.failed = in.emit(c); in.failed != nil || r.arch == "" {
		return in.failed
	}
	arch, ok := escapeElement(r.arch)
	if !ok {
		return fmt.Errorf("%.60q is no architecture", r.arch)
	}
	elsewhere := in.base + arch + "/" + file
	if elsewhere == c.URL {
		return nil
	}
	c.URL = elsewhere
	in.failed = in.emit(c)
	return in.failed
}

// A faulty reader notes why it could not be read, which is no fault of the document's.
type faulty struct {
	io.ReaderAt
	err error
}

// ReadAt reads from the document.
func (f *faulty) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.ReaderAt.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// invalid returns an error that wraps ecosystem.ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ecosystem.ErrInvalid, fmt.Errorf(format, args...))
}
