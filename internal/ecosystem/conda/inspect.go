package conda

import (
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/jsondoc"
	"sutler/internal/urlpath"
)

// The limits of repodata. The largest public one unpacks to some 400 MB.
const (
	maxUnpacked = 2 << 30
	maxWindow   = 128 << 20 // of a zstd stream: it is kept in memory
)

// A pkg is what repodata states about a file.
type pkg struct {
	SHA256 string `json:"sha256"`
	MD5    string `json:"md5"`
	Size   *int64 `json:"size"`
}

// Inspect emits the digest of each package that repodata lists. It reads the document as a
// stream, because that may be far larger than memory. src is not used.
func (e *Ecosystem) Inspect(ctx context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	evidence := ecosystem.Evidence{Note: "not signed"}
	r, done, err := unpack(doc)
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	defer done()
	base := doc.Resource.URL[:strings.LastIndexByte(doc.Resource.URL, '/')]
	files := !strings.HasSuffix(doc.Resource.URL, "/channeldata.json")
	d := jsondoc.NewDecoder(r)
	err = d.Object(func(key string) error {
		if !files || key != "packages" && key != "packages.conda" {
			return d.Skip()
		}
		return d.Object(func(file string) error {
			var p pkg
			if err := errors.Join(ctx.Err(), d.Decode(&p)); err != nil {
				return err
			}
			if c, ok := p.claim(base, file); ok {
				return emit(c)
			}
			return nil
		})
	})
	if err == nil {
		err = d.End()
	}
	if err != nil {
		return ecosystem.Evidence{}, fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	return evidence, nil
}

// claim returns what is stated about a file of the folder base.
func (p pkg) claim(base, file string) (ecosystem.Claim, bool) {
	d, err := digest.New(digest.SHA256, p.SHA256)
	if err != nil {
		d, err = digest.New(digest.MD5, p.MD5)
	}
	if err != nil || !urlpath.Plain(file) {
		return ecosystem.Claim{}, false
	}
	c := ecosystem.Claim{URL: urlpath.Join(base, file), Digest: d, Size: -1}
	if p.Size != nil && *p.Size >= 0 {
		c.Size = *p.Size
	}
	return c, true
}

// unpack returns a reader of the JSON in a document, and what must be called after it.
// What does not unpack is invalid; what cannot be read is not.
func unpack(doc ecosystem.Body) (io.Reader, func(), error) {
	in := &tracked{r: doc.Reader()}
	switch {
	case strings.HasSuffix(doc.Resource.URL, ".zst"):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return &unpacked{r: io.LimitReader(z, maxUnpacked), in: in}, z.Close, nil
	case strings.HasSuffix(doc.Resource.URL, ".bz2"):
		return &unpacked{r: io.LimitReader(bzip2.NewReader(in), maxUnpacked), in: in}, func() {}, nil
	}
	return in, func() {}, nil
}

// A tracked reader remembers why reading failed.
type tracked struct {
	r   io.Reader
	err error
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}

// An unpacked reader tells what is malformed from what could not be read.
type unpacked struct {
	r  io.Reader
	in *tracked
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	switch {
	case err == nil || err == io.EOF: //nolint:errorlint // the bare io.EOF only is the end
		return n, err
	case u.in.err != nil:
		return n, u.in.err
	}
	return n, fmt.Errorf("%w: %w", ecosystem.ErrInvalid, err)
}
