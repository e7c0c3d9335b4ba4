package maven

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// Limits of what is read.
const (
	maxSum    = 4 << 10 // bytes of a checksum file
	maxProof  = 1 << 20 // bytes of a signature
	maxList   = 32 << 20
	maxModule = 32 << 20
	maxDepth  = 32 // of elements
)

// Inspect checks that a document is what its name says, and emits what checksum files and
// module files state about the artifacts beside them. src is not used.
func (e *Ecosystem) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	u, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return ecosystem.Evidence{}, invalid(doc, err)
	}
	steps, ok := decode(u.EscapedPath())
	if !ok {
		return ecosystem.Evidence{}, invalid(doc, errors.New("no path of a repository"))
	}
	rest, _ := e.cut(u, steps)
	p, ok := parse(rest)
	if !ok {
		return ecosystem.Evidence{}, invalid(doc, errors.New("no file of a repository"))
	}
	var claims []ecosystem.Claim
	switch {
	case p.sum != "":
		claims, err = e.checksum(doc, p.sum)
	case p.signed:
		err = signature(doc)
	case p.file == metadataName:
		err = list(doc)
	case p.tail == ".module":
		claims, err = e.module(doc)
	}
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	for _, c := range claims {
		if err := emit(c); err != nil {
			return ecosystem.Evidence{}, err
		}
	}
	return ecosystem.Evidence{Note: "not signed"}, nil
}

// invalid returns err as that of a document that must not be kept.
func invalid(doc ecosystem.Body, err error) error {
	return fmt.Errorf("%w: %s: %w", ecosystem.ErrInvalid, doc.Resource.URL, err)
}

// read returns the whole document, if it is no longer than that.
func read(doc ecosystem.Body, limit int64) ([]byte, error) {
	if doc.Size > limit {
		return nil, invalid(doc, fmt.Errorf("%d bytes, more than %d", doc.Size, limit))
	}
	return io.ReadAll(doc.Reader())
}

// checksum reads a file that states the digest of the one that it is named after: the
// digest alone, or with the file's name before or behind it.
func (e *Ecosystem) checksum(doc ecosystem.Body, algorithm string) ([]ecosystem.Claim, error) {
	text, err := read(doc, maxSum)
	if err != nil {
		return nil, err
	}
	var found digest.Digest
	for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return r <= ' ' || r == '=' || r == 0xfeff }) {
		d, err := digest.New(algorithm, word)
		switch {
		case err != nil:
			continue
		case found != "" && found != d:
			return nil, invalid(doc, errors.New("two digests"))
		}
		found = d
	}
	if found == "" {
		return nil, invalid(doc, fmt.Errorf("states no digest by %s", algorithm))
	}
	return e.claim(doc.Resource.URL, strings.TrimSuffix(doc.Resource.URL, "."+algorithm), found, -1), nil
}

// claim returns the claim that the file at a URL has a digest, if the file names the
// document as its voucher.
func (e *Ecosystem) claim(by, target string, d digest.Digest, size int64) []ecosystem.Claim {
	u, err := url.Parse(target)
	if err != nil {
		return nil
	}
	res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	if err != nil || res.URL != target || !slices.ContainsFunc(res.VouchedBy, func(v ecosystem.Resource) bool { return v.URL == by }) {
		return nil
	}
	return []ecosystem.Claim{{URL: target, Digest: d, Size: size}}
}

// signature checks that a document looks like an armoured signature.
func signature(doc ecosystem.Body) error {
	text, err := read(doc, maxProof)
	if err == nil && !bytes.Contains(text, []byte("-----BEGIN PGP ")) {
		err = invalid(doc, errors.New("no armoured signature"))
	}
	return err
}

// list checks that a document is XML with the right root, and none that could grow when it
// is read.
func list(doc ecosystem.Body) error {
	if doc.Size > maxList {
		return invalid(doc, fmt.Errorf("%d bytes, more than %d", doc.Size, maxList))
	}
	fault := &faulty{Reader: doc.Reader()}
	d := xml.NewDecoder(fault)
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // only names of elements matter
	depth, roots := 0, 0
	for {
		token, err := d.Token()
		switch {
		case fault.err != nil:
			return fault.err
		case errors.Is(err, io.EOF) && depth == 0 && roots == 1:
			return nil
		case err != nil:
			return invalid(doc, err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return invalid(doc, errors.New("has a document type"))
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			if depth++; depth > maxDepth || roots > 1 || depth == 1 && t.Name.Local != "metadata" {
				return invalid(doc, fmt.Errorf("element %q at depth %d", t.Name.Local, depth))
			}
		case xml.EndElement:
			depth--
		}
	}
}

// faulty remembers why it could not be read on.
type faulty struct {
	io.Reader
	err error
}

// Read reads, and remembers an error other than the end.
func (f *faulty) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// A moduleFile is what is read of a Gradle module file.
type moduleFile struct {
	FormatVersion string `json:"formatVersion"`
	Variants      []struct {
		Files []moduleEntry `json:"files"`
	} `json:"variants"`
}

// A moduleEntry is what a module file says of one file.
type moduleEntry struct {
	URL    string `json:"url"`
	Size   *int64 `json:"size"`
	SHA512 string `json:"sha512"`
	SHA256 string `json:"sha256"`
}

// module reads the digests of the files beside a module file. A file of which it says two
// things is one of which it says nothing.
func (e *Ecosystem) module(doc ecosystem.Body) ([]ecosystem.Claim, error) {
	text, err := read(doc, maxModule)
	if err != nil {
		return nil, err
	}
	var m moduleFile
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, invalid(doc, err)
	}
	if m.FormatVersion == "" {
		return nil, invalid(doc, errors.New("no module file"))
	}
	var all []ecosystem.Claim
	for _, v := range m.Variants {
		for _, f := range v.Files {
			all = append(all, e.entry(doc.Resource.URL, f)...)
		}
	}
	return agreed(all), nil
}

// entry returns what an entry of the module file at a URL claims, if anything.
func (e *Ecosystem) entry(module string, f moduleEntry) []ecosystem.Claim {
	d, err := digest.New(digest.SHA256, f.SHA256)
	if err != nil {
		d, err = digest.New(digest.SHA512, f.SHA512)
	}
	name, escapeErr := url.PathUnescape(f.URL)
	if err != nil || escapeErr != nil || strings.Contains(name, "/") {
		return nil
	}
	size := int64(-1)
	if f.Size != nil && *f.Size >= 0 {
		size = *f.Size
	}
	dir := module[:strings.LastIndexByte(module, '/')+1]
	return e.claim(module, dir+url.PathEscape(name), d, size)
}

// agreed returns one claim for each file, and none for those with different digests.
func agreed(claims []ecosystem.Claim) []ecosystem.Claim {
	var out []ecosystem.Claim
	at := map[string]int{} // by URL: where in out
	for _, c := range claims {
		i, ok := at[c.URL]
		switch {
		case !ok:
			at[c.URL] = len(out)
			out = append(out, c)
		case out[i].Digest != c.Digest:
			out[i].Digest = ""
		}
	}
	return slices.DeleteFunc(out, func(c ecosystem.Claim) bool { return c.Digest == "" })
}
