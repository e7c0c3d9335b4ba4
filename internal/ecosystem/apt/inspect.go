package apt

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// Bounds of what is read: several times what the largest archives have.
const (
	maxRelease  = 8 << 20
	maxUnpacked = 2 << 30
	maxLine     = 1 << 20
)

// Inspect implements ecosystem.Ecosystem.
func (a *Apt) Inspect(ctx context.Context, doc ecosystem.Body, src ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	name := path.Base(doc.Resource.URL)
	dir := indexDir(path.Dir(doc.Resource.URL))
	switch {
	case doc.Resource.Root:
		return a.release(ctx, doc, src, emit)
	case isIndex(name), strings.Contains(doc.Resource.URL, "/by-hash/") && (strings.Contains(dir, "/binary-") || strings.HasSuffix(dir, "/source") || !strings.Contains(dir, "/dists/")):
		return ecosystem.Evidence{}, packages(doc, emit)
	}
	return ecosystem.Evidence{}, nil
}

// release checks the signature of a release and emits what it lists.
func (a *Apt) release(ctx context.Context, doc ecosystem.Body, src ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	if doc.Size > maxRelease {
		return ecosystem.Evidence{}, invalid("a release of %d bytes", doc.Size)
	}
	raw, err := io.ReadAll(doc.Reader())
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	var text []byte
	var ev ecosystem.Evidence
	if path.Base(doc.Resource.URL) == "InRelease" {
		text, ev, err = a.clearsigned(raw)
	} else {
		text = raw
		ev, err = a.detached(ctx, doc.Resource, raw, src)
	}
	if err != nil {
		return ev, err
	}
	return ev, listed(doc.Resource, text, &ev, emit)
}

// clearsigned returns the signed text of an InRelease file. Text outside of it is an error:
// apt would not read it, but others might.
func (a *Apt) clearsigned(raw []byte) ([]byte, ecosystem.Evidence, error) {
	block, rest := clearsign.Decode(raw)
	if block == nil {
		return nil, ecosystem.Evidence{}, invalid("no clearsigned message (a login page?)")
	}
	if !bytes.HasPrefix(raw, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) || len(bytes.TrimSpace(rest)) > 0 {
		return nil, ecosystem.Evidence{}, invalid("text outside the signed message")
	}
	ev, err := a.verify(block.Bytes, block.ArmoredSignature.Body)
	return block.Plaintext, ev, err
}

// detached checks Release against its sibling Release.gpg. Without one it is unsigned.
func (a *Apt) detached(ctx context.Context, res ecosystem.Resource, raw []byte, src ecosystem.Source) (ecosystem.Evidence, error) {
	sig := ecosystem.Resource{Ecosystem: "apt", URL: res.URL + ".gpg", Kind: ecosystem.Document, Sealed: true, Proof: true, Floor: floor, Repository: res.Repository}
	body, err := src.Document(ctx, sig)
	if err != nil {
		return ecosystem.Evidence{Note: "Release.gpg cannot be had: " + err.Error()}, nil
	}
	block, err := armor.Decode(io.LimitReader(body.Reader(), maxRelease))
	if err != nil {
		return ecosystem.Evidence{}, invalid("Release.gpg: %v", err)
	}
	return a.verify(raw, block.Body)
}

// verify accepts a message if any of its signatures is a good one by a known key.
func (a *Apt) verify(message []byte, signature io.Reader) (ecosystem.Evidence, error) {
	signer, err := openpgp.CheckDetachedSignature(a.keys, bytes.NewReader(message), signature, nil)
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return ecosystem.Evidence{Note: "signed by no known key"}, nil
	case err != nil:
		return ecosystem.Evidence{}, invalid("signature: %v", err)
	}
	name := ""
	if id := signer.PrimaryIdentity(); id != nil {
		name = " " + id.Name
	}
	return ecosystem.Evidence{Signer: fmt.Sprintf("%X%s", signer.PrimaryKey.Fingerprint, name)}, nil
}

// listed emits the files that a release lists and notes its dates.
func listed(res ecosystem.Resource, text []byte, ev *ecosystem.Evidence, emit func(ecosystem.Claim) error) error {
	base := res.URL[:len(res.URL)-len(path.Base(res.URL))-1]
	byHash, section, found := false, "", false
	if acquire := field(text, "Acquire-By-Hash"); acquire == "yes" {
		byHash = true
	}
	ev.Dated = date(field(text, "Date"))
	ev.Expires = date(field(text, "Valid-Until"))
	for line := range bytes.Lines(text) {
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			section = string(name)
			continue
		}
		if section != "SHA256" && section != "SHA512" {
			continue
		}
		c, err := listing(base, section, strings.Fields(string(line)), byHash)
		if err != nil {
			return err
		}
		found = true
		if err := emit(c); err != nil {
			return err
		}
	}
	if !found && field(text, "Date") == "" && field(text, "Suite") == "" && field(text, "Codename") == "" {
		return invalid("neither Date nor digests")
	}
	if !found {
		ev.Note = strings.TrimSpace(ev.Note + " states no SHA-256 or SHA-512")
	}
	return nil
}

// listing returns the claim that one line of a release makes.
func listing(base, section string, f []string, byHash bool) (ecosystem.Claim, error) {
	if len(f) != 3 {
		return ecosystem.Claim{}, invalid("line %q under %s", strings.Join(f, " "), section)
	}
	d, err := digest.New(strings.ToLower(section), f[0])
	size, sizeErr := strconv.ParseInt(f[1], 10, 64)
	if err != nil || sizeErr != nil || size < 0 || !plain(f[2]) {
		return ecosystem.Claim{}, invalid("line %q under %s", strings.Join(f, " "), section)
	}
	c := ecosystem.Claim{URL: base + "/" + escape(f[2]), Digest: d, Size: size}
	if byHash {
		c.Via = base + "/" + escape(path.Join(path.Dir(f[2]), "by-hash", section, d.Hex()))
	}
	return c, nil
}

// field returns the value of a one-line field.
func field(text []byte, name string) string {
	for line := range bytes.Lines(text) {
		if v, ok := bytes.CutPrefix(line, []byte(name+":")); ok {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// date reads a date of a release; zero if it is none.
func date(s string) time.Time {
	for _, layout := range [...]string{time.RFC1123, time.RFC1123Z, "Mon, _2 Jan 2006 15:04:05 MST", "Mon, _2 Jan 2006 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// plain reports whether a file name stays below its folder.
func plain(name string) bool {
	return name != "" && !strings.HasPrefix(name, "/") && path.Clean(name) == name && !strings.HasPrefix(name, "..") && !strings.ContainsAny(name, "\\\x00%?#")
}

// packages emits the files of a Packages or Sources index, however it is packed.
func packages(doc ecosystem.Body, emit func(ecosystem.Claim) error) error {
	r, closer, err := unpack(doc)
	if err != nil {
		return err
	}
	defer closer()
	p := &stanzas{root: doc.Resource.Repository, emit: emit}
	in := bufio.NewReaderSize(io.LimitReader(r, maxUnpacked), 256<<10)
	for {
		line, err := readLine(in)
		if len(line) > 0 || err == nil {
			if err := p.line(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return p.end()
		}
		if err != nil {
			return invalid("%v", err)
		}
	}
}

// readLine returns the next line without its end. Lines longer than the buffer are cut:
// none of the fields that matter is that long.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimRight(line, "\r\n"), err
	}
	kept := bytes.Clone(line[:64])
	for n := len(line); errors.Is(err, bufio.ErrBufferFull); {
		line, err = in.ReadSlice('\n')
		if n += len(line); n > maxLine {
			return nil, fmt.Errorf("line longer than %d bytes", maxLine)
		}
	}
	return kept, err
}

// unpack returns a reader of the plain text, by what the first bytes say.
func unpack(doc ecosystem.Body) (io.Reader, func(), error) {
	var magic [6]byte
	n, err := doc.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	head, none := magic[:n], func() {}
	var r io.Reader = doc.Reader()
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		r, err = gzip.NewReader(r)
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		r, err = xz.NewReader(bufio.NewReaderSize(r, 64<<10))
	case bytes.HasPrefix(head, []byte("BZh")):
		r = bzip2.NewReader(r)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, zerr := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if zerr != nil {
			return nil, nil, invalid("%v", zerr)
		}
		return z, z.Close, nil
	default:
		err = nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, invalid("%v", err)
	}
	return r, none, nil
}

// stanzas reads deb822 line by line and keeps four fields of a stanza.
type stanzas struct {
	root string
	emit func(ecosystem.Claim) error

	section   string // of a multi-line field that matters
	filename  string
	directory string
	sha256    string
	size      string
	sources   [][3]string // digest, size, name
}

// line takes one line.
func (p *stanzas) line(line []byte) error {
	if len(line) == 0 {
		return p.end()
	}
	if line[0] == ' ' || line[0] == '\t' {
		if p.section == "Checksums-Sha256" {
			f := strings.Fields(string(line))
			if len(f) != 3 {
				return invalid("line %q in Checksums-Sha256", line)
			}
			p.sources = append(p.sources, [3]string{f[0], f[1], f[2]})
		}
		return nil
	}
	i := bytes.IndexByte(line, ':')
	if i < 0 {
		return invalid("line %.80q has no colon", line)
	}
	p.section = ""
	value := bytes.TrimSpace(line[i+1:])
	switch string(line[:i]) {
	case "Filename":
		p.filename = string(value)
	case "SHA256":
		p.sha256 = string(value)
	case "Size":
		p.size = string(value)
	case "Directory":
		p.directory = string(value)
	case "Checksums-Sha256":
		p.section = "Checksums-Sha256"
	}
	return nil
}

// end emits what the stanza claims.
func (p *stanzas) end() error {
	if p.filename != "" && p.sha256 != "" {
		if err := p.claim(p.filename, p.sha256, p.size); err != nil {
			return err
		}
	}
	for _, s := range p.sources {
		if err := p.claim(path.Join(p.directory, s[2]), s[0], s[1]); err != nil {
			return err
		}
	}
	*p = stanzas{root: p.root, emit: p.emit, sources: p.sources[:0]}
	return nil
}

func (p *stanzas) claim(name, sum, size string) error {
	name = strings.TrimPrefix(name, "./")
	d, err := digest.New(digest.SHA256, sum)
	n, sizeErr := strconv.ParseInt(size, 10, 64)
	if err != nil || sizeErr != nil || n < 0 || !plain(name) {
		return invalid("stanza of %q: digest %q, size %q", name, sum, size)
	}
	return p.emit(ecosystem.Claim{URL: p.root + "/" + escape(name), Digest: d, Size: n})
}

// invalid returns an error that wraps ecosystem.ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ecosystem.ErrInvalid, fmt.Sprintf(format, args...))
}
