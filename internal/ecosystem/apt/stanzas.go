package apt

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/unpack"
	"sutler/internal/urlpath"
)

// maxListed bounds the files of one source package, in bytes of the lines that list them.
const maxListed = 1 << 20

// stanzas emits the files that a Packages or Sources index lists, one by one: an index of
// 50 MB takes no more memory than one of its lines and its decoder.
func (in inspection) stanzas(ctx context.Context) error {
	text, err := unpack.Text(in.doc)
	if err != nil {
		return err
	}
	defer text.Close() //nolint:errcheck // nothing can be lost by it
	s := stanza{roots: in.roots(), emit: in.emit}
	lines := newLineReader(text)
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return s.end()
		}
		if err != nil {
			return err
		}
		if err := s.line(line); err != nil {
			return err
		}
	}
}

// A root is a folder that names in an index may start from.
type root struct {
	url    []byte // ends in a slash
	prefix []byte // only names that start like this are meant
}

// roots returns what names in the index may be relative to: the root of the archive. In a
// flat repository that is the folder of the index, or one above it if the name then starts
// with the folders in between ("deb URI folder/"). Never is it a folder beside that of the
// index: on hosts that many share, it would belong to somebody else.
func (in inspection) roots() []root {
	roots := []root{{url: []byte(in.origin + in.owner())}}
	if !in.flat {
		return roots
	}
	for at := strings.LastIndexByte(strings.TrimSuffix(in.dir, "/"), '/'); at >= 0; at = strings.LastIndexByte(in.dir[:at], '/') {
		if below, ok := urlpath.Decode(in.dir[at+1:]); ok && len(below) > 0 {
			roots = append(roots, root{url: []byte(in.origin + in.dir[:at+1]), prefix: below})
		}
	}
	return roots
}

// A stanza collects the fields of one package that matter. Its buffers are used again for
// the next one.
type stanza struct {
	roots []root
	emit  func(ecosystem.Claim) error

	filename, directory, sha256, sha512, size []byte

	listed  []byte // lines of Checksums-Sha256
	listing bool   // the field at hand is that one
	buf     []byte
}

// line takes in one line.
func (s *stanza) line(line []byte) error {
	if len(line) == 0 {
		return s.end()
	}
	if line[0] == ' ' || line[0] == '\t' {
		if s.listing {
			s.listed = append(append(s.listed, line...), '\n')
		}
		if len(s.listed) > maxListed {
			return invalid("a source package of more than %d bytes of file names", maxListed)
		}
		return nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || line[0] == '<' || bytes.IndexByte(line[:colon], ' ') >= 0 {
		return invalid("%.60q is not a field of an index (a login page?)", line)
	}
	s.listing = false
	switch name := line[:colon]; len(name) {
	case len("Size"):
		s.keep(&s.size, name, "Size", line[colon+1:])
	case len("SHA256"):
		s.keep(&s.sha256, name, "SHA256", line[colon+1:])
		s.keep(&s.sha512, name, "SHA512", line[colon+1:])
	case len("Filename"):
		s.keep(&s.filename, name, "Filename", line[colon+1:])
	case len("Directory"):
		s.keep(&s.directory, name, "Directory", line[colon+1:])
	case len("Checksums-Sha256"):
		s.listing = bytes.EqualFold(name, []byte("Checksums-Sha256"))
	}
	return nil
}

// keep copies a value if the field is the one wanted.
func (s *stanza) keep(to *[]byte, name []byte, want string, value []byte) {
	if string(name) == want || strings.EqualFold(string(name), want) {
		*to = append((*to)[:0], bytes.TrimSpace(value)...)
	}
}

// end emits what the stanza says and makes it ready for the next.
func (s *stanza) end() error {
	if len(s.filename) > 0 {
		if err := s.binary(); err != nil {
			return err
		}
	}
	if len(s.listed) > 0 {
		if err := s.source(); err != nil {
			return err
		}
	}
	s.filename, s.directory, s.size = s.filename[:0], s.directory[:0], s.size[:0]
	s.sha256, s.sha512, s.listed, s.listing = s.sha256[:0], s.sha512[:0], s.listed[:0], false
	return nil
}

// binary emits the file of a binary package. One with nothing but weak digests is not claimed.
func (s *stanza) binary() error {
	algorithm, sum := digest.SHA256, s.sha256
	if len(sum) == 0 {
		algorithm, sum = digest.SHA512, s.sha512
	}
	if len(sum) == 0 {
		return nil
	}
	size := int64(-1)
	if len(s.size) > 0 {
		var err error
		if size, err = parseSize(s.size); err != nil {
			return err
		}
	}
	return s.claim(s.filename, algorithm, sum, size)
}

// source emits the files of a source package.
func (s *stanza) source() error {
	for line := range bytes.Lines(s.listed) {
		f := bytes.Fields(line)
		if len(f) != 3 {
			return invalid("%.120q is not digest, size and name", line)
		}
		size, err := parseSize(f[1])
		if err != nil {
			return err
		}
		if bytes.IndexByte(f[2], '/') >= 0 {
			return invalid("a part of a source package in another folder: %.120q", f[2])
		}
		name := f[2]
		if dir := bytes.TrimSuffix(s.directory, []byte("/")); len(dir) > 0 {
			name = bytes.Join([][]byte{dir, name}, []byte("/"))
		}
		if err := s.claim(name, digest.SHA256, f[0], size); err != nil {
			return err
		}
	}
	return nil
}

// claim emits a file under each root that its name may start from.
func (s *stanza) claim(name []byte, algorithm string, sum []byte, size int64) error {
	for bytes.HasPrefix(name, []byte("./")) {
		name = name[2:]
	}
	d, err := parseSum(algorithm, sum)
	if err != nil {
		return err
	}
	for _, r := range s.roots {
		rest := name
		if len(r.prefix) > 0 && !bytes.HasPrefix(rest, r.prefix) {
			continue
		}
		var ok bool
		if s.buf, ok = urlpath.Append(append(s.buf[:0], r.url...), rest); !ok {
			return invalid("a file outside of the repository: %.120q", name)
		}
		if err := s.emit(ecosystem.Claim{URL: string(s.buf), Digest: d, Size: size}); err != nil {
			return err
		}
	}
	return nil
}

// parseSum returns a digest. It takes a third of the time of digest.New, which matters
// for 60,000 of them.
func parseSum(algorithm string, sum []byte) (digest.Digest, error) {
	var raw [64]byte
	if algorithm != digest.SHA256 || len(sum) != 64 || bytes.ContainsAny(sum, "ABCDEF") {
		d, err := digest.New(algorithm, string(sum))
		if err != nil {
			return "", invalid("%w", err)
		}
		return d, nil
	}
	if _, err := hex.Decode(raw[:32], sum); err != nil {
		return "", invalid("digest %.80q: %w", sum, err)
	}
	var named [len(digest.SHA256) + 1 + 64]byte
	copy(named[copy(named[:], digest.SHA256+":"):], sum)
	return digest.Digest(named[:]), nil
}

// parseSize returns a size in bytes.
func parseSize(b []byte) (int64, error) {
	n, err := strconv.ParseUint(string(b), 10, 63)
	if err != nil {
		return 0, invalid("size %.40q: %w", b, err)
	}
	return int64(n), nil
}
