package upstream

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxDecoded is the size of the largest document that is unpacked, in bytes. The largest of
// public registries have less than a tenth.
const maxDecoded = 1 << 30

// encodings maps content codings to the endings of names that some servers wrongly state
// them for: the file is compressed, not its transfer, and clients want it as it is.
func encodings(coding string) []string {
	switch coding {
	case "gzip", "x-gzip":
		return []string{".gz", ".tgz"}
	case "bzip2", "x-bzip2":
		return []string{".bz2", ".tbz2"}
	case "xz", "x-xz":
		return []string{".xz", ".txz"}
	case "compress", "x-compress":
		return []string{".z"}
	case "zstd":
		return []string{".zst"}
	}
	return nil
}

// packed reports whether the body must be unpacked, or refuses it if it is encoded although
// identity was asked for. Digests are over the bytes as the origin keeps them, so those of
// artifacts are never decoded; documents come compressed from some origins whoever asks.
func (a ask) packed(got *http.Response) (bool, error) {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(got.Header.Values("Content-Encoding"), ",")))
	if coding == "" || coding == "identity" {
		return false, nil
	}
	for _, u := range []*url.URL{a.url, got.Request.URL} {
		for _, end := range encodings(coding) {
			if strings.HasSuffix(strings.ToLower(u.Path), end) {
				return false, nil
			}
		}
	}
	if a.decodes && (coding == "gzip" || coding == "x-gzip") {
		return true, nil
	}
	return false, fmt.Errorf("%w: %s: content encoding %q, though identity was asked for", ErrInvalid, Redact(a.url.String()), coding)
}

// A decoded reads what the body of an answer unpacks to.
type decoded struct {
	from    io.ReadCloser
	subject string
	left    int64 // bytes that it may still unpack to
	z       *gzip.Reader
}

// Read implements io.Reader. Errors other than io.EOF wrap ErrUnavailable or ErrInvalid.
func (d *decoded) Read(p []byte) (n int, err error) {
	if d.z == nil {
		if d.z, err = gzip.NewReader(d.from); err != nil {
			d.z = nil
			return 0, d.blame(err)
		}
	}
	n, err = d.z.Read(p)
	if d.left -= int64(n); d.left < 0 {
		return 0, fmt.Errorf("%w: %s: unpacks to more than %d bytes", ErrInvalid, d.subject, maxDecoded)
	}
	if err == io.EOF { //nolint:errorlint // only the bare io.EOF is an end
		return n, err
	}
	return n, d.blame(err)
}

// blame returns err, as invalid unless the body itself could not be read.
func (d *decoded) blame(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrBlocked) || errors.Is(err, errClosed) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalid, d.subject, err)
}

// Close gives up what is not read. It returns nil.
func (d *decoded) Close() error { return d.from.Close() }
