package apt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/apt"
)

const (
	sum      = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	suite    = "http://repo.example/debian/dists/stable/"
	packages = suite + "main/binary-amd64/Packages"
)

// document returns bytes as the body of what a URL means.
func document(tb testing.TB, e *apt.Ecosystem, raw string, b []byte) ecosystem.Body {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	if err != nil {
		tb.Fatalf("Classify(%s): %v", raw, err)
	}
	return ecosystem.Body{Resource: res, ReaderAt: bytes.NewReader(b), Size: int64(len(b))}
}

// inspect returns the URLs of the files that a document claims, without scheme and host.
func inspect(tb testing.TB, e *apt.Ecosystem, doc ecosystem.Body, src ecosystem.Source) ([]string, ecosystem.Evidence, error) {
	tb.Helper()
	var paths []string
	ev, err := e.Inspect(tb.Context(), doc, src, func(c ecosystem.Claim) error {
		paths = append(paths, strings.TrimPrefix(c.URL, "http://repo.example"))
		return nil
	})
	if err != nil && len(paths) > 0 && !errors.Is(err, ecosystem.ErrInvalid) {
		tb.Errorf("Inspect: %v", err)
	}
	return paths, ev, err
}

// siblings is a Source, by URL.
type siblings map[string]string

// Document returns a sibling.
func (s siblings) Document(_ context.Context, res ecosystem.Resource) (ecosystem.Body, error) {
	b, ok := s[res.URL]
	if !ok {
		return ecosystem.Body{}, fmt.Errorf("no such document: %s", res.URL)
	}
	return ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(b), Size: int64(len(b))}, nil
}

const stanza = "Package: a\nFilename: pool/a/a_1_all.deb\nSize: 12\nSHA256: " + sum + "\n"

func TestIndex(t *testing.T) {
	const deb = "/debian/pool/a/a_1_all.deb"
	swap := func(old, with string) string { return strings.Replace(stanza, old, with, 1) }
	source := "Package: h\nChecksums-Sha256:\n " + sum + " 5 h_1.dsc\n " + sum + " 6 h_1.tar.xz\nDirectory: pool/h\n"
	for _, tt := range []struct {
		name, text string
		want       string // paths claimed, or "invalid: " and a part of the error
	}{
		{"one", stanza, deb},
		{"two, the last without newline", stanza + "\n\n" + strings.TrimSuffix(stanza, "\n"), deb + " " + deb},
		{"carriage returns", strings.ReplaceAll(stanza, "\n", "\r\n"), deb},
		{"other case of field names", swap("SHA256", "sha256"), deb},
		{"upper-case digest", swap(sum, strings.ToUpper(sum)), deb},
		{"dot before the name", swap("pool/", "./././pool/"), deb},
		{"dot inside of the name", swap("pool/a/", "pool/./a/"), deb},
		{"no size", swap("Size: 12\n", ""), deb},
		{"SHA-512 only", swap("SHA256: "+sum, "SHA512: "+sum+sum), deb},
		{"weak digests only", swap("SHA256: "+sum, "SHA1: "+sum[:40]+"\nMD5sum: "+sum[:32]), ""},
		{"no file", swap("Filename: pool/a/a_1_all.deb\n", ""), ""},
		{"continuation that looks like a field", swap("Size", "Description: x\n Filename: pool/b.deb\nSize"), deb},
		{"fields of one stanza do not leak into the next", stanza + "\nPackage: b\nFilename: pool/b.deb\n", deb},
		{"characters that are encoded", swap("a_1_", "a_1+b~c d%3a?#[_"), "/debian/pool/a/a_1%2bb%7ec%20d%253a%3f%23%5b_all.deb"},
		{"a line of 900 KB", "Depends: " + strings.Repeat("x", 900<<10) + "\n" + stanza, deb},
		{"source, directory last", source, "/debian/pool/h/h_1.dsc /debian/pool/h/h_1.tar.xz"},
		{"source in the root", strings.Replace(source, "Directory: pool/h\n", "", 1), "/debian/h_1.dsc /debian/h_1.tar.xz"},

		{"a longer line", "Depends: " + strings.Repeat("x", 2<<20) + "\n" + stanza, "invalid: a line of more than"},
		{"a line without end", strings.Repeat("x", 3<<20), "invalid: a line of more than"},
		{"climbing", swap("pool/a", "../../etc"), "invalid: outside"},
		{"climbing in the middle", swap("pool/a", "pool/../../etc"), "invalid: outside"},
		{"climbing, encoded", swap("pool/a", "pool/%2e%2e/etc"), "invalid: outside"},
		{"climbing, backslash", swap("pool/a", `pool\..\..`), "invalid: outside"},
		{"absolute", swap("pool/a", "/pool/a"), "invalid: outside"},
		{"folder", swap("a_1_all.deb", "."), "invalid: outside"},
		{"control character", swap("a_1", "a\x011"), "invalid: outside"},
		{"digest too short", swap(sum, sum[1:]), "invalid: digest"},
		{"digest not hexadecimal", swap(sum, "zz"+sum[2:]), "invalid: digest"},
		{"negative size", swap("12", "-12"), "invalid: size"},
		{"size that overflows", swap("12", "99999999999999999999"), "invalid: size"},
		{"source, climbing directory", strings.Replace(source, "pool/h", "..", 1), "invalid: outside"},
		{"source, climbing file", strings.Replace(source, "h_1.dsc", "../h_1.dsc", 1), "invalid: another folder"},
		{"source, line cut short", strings.Replace(source, " 5 h_1.dsc", " 5", 1), "invalid: not digest, size and name"},
		{"login page", "<!DOCTYPE html>\n<a href=\"http://login.example\">\n", "invalid: login page"},
		{"binary garbage", "\x00\x01\x02: x\n\xff\n", "invalid: not a field"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := apt.New(apt.Options{})
			paths, _, err := inspect(t, e, document(t, e, packages, []byte(tt.text)), nil)
			part, bad := strings.CutPrefix(tt.want, "invalid: ")
			switch {
			case bad && (!errors.Is(err, ecosystem.ErrInvalid) || !strings.Contains(err.Error(), part)):
				t.Errorf("Inspect = %q, %v; want ErrInvalid because of %q", paths, err, part)
			case !bad && (err != nil || strings.Join(paths, " ") != tt.want):
				t.Errorf("Inspect = %q, %v; want %q", paths, err, tt.want)
			}
		})
	}
}

// TestPacked checks that indexes are read however they are packed, and that a few bytes
// cannot make Inspect unpack, or keep, more than an index has.
func TestPacked(t *testing.T) {
	zeros := bytes.Repeat([]byte("Tag: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"), 900<<10) // 50 MB
	good := []byte(stanza)
	hugeWindow := pack(t, good, toXZ)
	hugeWindow[12+2+2] = 40 // the dictionary of the first block: 4 GiB
	for _, tt := range []struct {
		name, url string
		body      []byte
		want      string // a part of the error, "" for one claim
	}{
		{"gzip", packages + ".gz", pack(t, good, toGzip), ""},
		{"xz", packages + ".xz", pack(t, good, toXZ), ""},
		{"zstd", packages + ".zst", pack(t, good, toZstd), ""},
		{"xz in two streams", packages + ".xz", append(pack(t, good, toXZ), pack(t, []byte("\n"), toXZ)...), ""},
		{"by digest: the name does not tell", suite + "main/binary-amd64/by-hash/SHA256/" + sum, pack(t, good, toXZ), ""},
		{"gzip bomb", packages + ".gz", pack(t, zeros, toGzip), "unpacks to too much"},
		{"xz bomb", packages + ".xz", pack(t, zeros, toXZ), "unpacks to too much"},
		{"zstd bomb", packages + ".zst", pack(t, zeros, toZstd), "unpacks to too much"},
		{"xz with a huge dictionary", packages + ".xz", hugeWindow, "unpacking"},
		{"truncated gzip", packages + ".gz", pack(t, good, toGzip)[:40], "unpacking"},
		{"truncated xz", packages + ".xz", pack(t, good, toXZ)[:60], "unpacking"},
		{"truncated zstd", packages + ".zst", pack(t, good, toZstd)[:40], "unpacking"},
		{"damaged gzip", packages + ".gz", flip(pack(t, good, toGzip), 30), "unpacking"},
		{"damaged xz", packages + ".xz", flip(pack(t, good, toXZ), 40), "unpacking"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := apt.New(apt.Options{})
			paths, _, err := inspect(t, e, document(t, e, tt.url, tt.body), nil)
			switch {
			case tt.want == "" && (err != nil || len(paths) != 1):
				t.Errorf("Inspect = %q, %v; want one claim", paths, err)
			case tt.want != "" && (!errors.Is(err, ecosystem.ErrInvalid) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("Inspect = %v, want ErrInvalid because it is %q", err, tt.want)
			}
		})
	}
}

// flip changes one bit.
func flip(b []byte, at int) []byte {
	b[at] ^= 1
	return b
}

// TestUnreadable checks that a document is not called invalid because of the disk it lies on.
func TestUnreadable(t *testing.T) {
	e := apt.New(apt.Options{})
	full := pack(t, index(2000), toGzip)
	for _, name := range []string{packages, packages + ".gz", suite + "InRelease", suite + "main/i18n/Translation-en"} {
		doc := document(t, e, name, full)
		doc.ReaderAt = broken{}
		if _, err := e.Inspect(t.Context(), doc, nil, func(ecosystem.Claim) error { return nil }); !errors.Is(err, errDisk) || errors.Is(err, ecosystem.ErrInvalid) {
			t.Errorf("Inspect(%s) = %v, want the error of the disk", name, err)
		}
	}
	doc := document(t, e, packages+".gz", full)
	doc.ReaderAt = broken{readable: full[:len(full)/2]}
	if _, err := e.Inspect(t.Context(), doc, nil, func(ecosystem.Claim) error { return nil }); !errors.Is(err, errDisk) || errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("Inspect, broken in the middle = %v, want the error of the disk", err)
	}
}

var errDisk = errors.New("input/output error")

// A broken file can be read up to a point.
type broken struct{ readable []byte }

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b.readable)) {
		return 0, errDisk
	}
	n := copy(p, b.readable[off:])
	if n < len(p) {
		return n, errDisk
	}
	return n, nil
}

func TestCancelled(t *testing.T) {
	e := apt.New(apt.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err := e.Inspect(ctx, document(t, e, packages, index(10_000)), nil, func(ecosystem.Claim) error {
		n++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || n > 4096 {
		t.Errorf("Inspect went on for %d claims after its context was cancelled, and returned %v", n, err)
	}
}

// TestShape checks what is refused of documents that make no claims.
func TestShape(t *testing.T) {
	const translation = suite + "main/i18n/Translation-en"
	for _, tt := range []struct {
		name, url, text string
		ok              bool
	}{
		{"plain", translation, "Package: a\n", true},
		{"empty", translation + ".bz2", "", true},
		{"bzip2", translation + ".bz2", "BZh91AY&SY", true},
		{"not bzip2", translation + ".bz2", "Package: a\n", false},
		{"login page", translation, "\n <!DOCTYPE HTML PUBLIC>", false},
		{"login page, compressed name", suite + "Contents-amd64.gz", "<html>", false},
		{"patches that are none", packages + ".diff/Index", "nothing\n", false},
		{"patches, climbing", packages + ".diff/Index", "SHA256-Download:\n " + sum + " 1 ../x.gz\n", false},
		{"sums, climbing", suite + "main/installer-amd64/current/images/SHA256SUMS", sum + "  ../../x\n", false},
		{"sums, no digest", suite + "main/installer-amd64/current/images/SHA256SUMS", "<html>\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := apt.New(apt.Options{})
			_, _, err := inspect(t, e, document(t, e, tt.url, []byte(tt.text)), nil)
			if tt.ok && err != nil || !tt.ok && !errors.Is(err, ecosystem.ErrInvalid) {
				t.Errorf("Inspect = %v, want success %v", err, tt.ok)
			}
		})
	}
}
