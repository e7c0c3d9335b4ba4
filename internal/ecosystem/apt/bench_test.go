package apt_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/apt"
)

// stanzaCount is how many packages Debian's main archive has for one architecture.
const stanzaCount = 63_000

// index returns an index of n packages, with about 840 bytes each.
func index(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "Package: package-%d\nSource: source-%[1]d\nVersion: 1.0+b%[1]d-1\nInstalled-Size: %[2]d\n"+
			"Maintainer: Somebody Else <somebody%[1]d@repo.example>\nArchitecture: amd64\n"+
			"Depends: libc6 (>= 2.34), libgcc-s1 (>= 3.0), libstdc++6 (>= 11), zlib1g (>= 1:1.2.0), lib%[3]d (= 1.%[2]d)\n"+
			"Description: something that is useful for %[3]x\nMulti-Arch: foreign\nHomepage: https://repo.example/%[3]x\n"+
			"Description-md5: %[4]032x\nTag: devel::library, implemented-in::c++, role::plugin,\n uitoolkit::none, works-with::%[3]x,\n%[5]s"+
			"Section: libs\nPriority: optional\nFilename: pool/main/p/package-%[1]d/package-%[1]d_1.0+b%[1]d-1_amd64.deb\n"+
			"Size: %[2]d\nMD5sum: %[4]032x\nSHA256: %064[4]x\n\n",
			i, i*7919%1_000_000, i*104_729, i*15_485_863, " use::"+strings.Repeat("programming, use::", i%12)+"checking\n")
	}
	return b.Bytes()
}

// pack compresses b.
func pack(tb testing.TB, b []byte, create func(io.Writer) (io.WriteCloser, error)) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := create(&out)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func toGzip(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
func toXZ(w io.Writer) (io.WriteCloser, error)   { return xz.NewWriter(w) }
func toZstd(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }

// BenchmarkInspectPackages reads an index as large as that of Debian's main archive. The
// goal is 0.5 s and 64 MiB, unpacking not counted.
func BenchmarkInspectPackages(b *testing.B) {
	text := index(stanzaCount)
	e := apt.New(apt.Options{})
	for _, form := range []struct {
		ext    string
		create func(io.Writer) (io.WriteCloser, error)
	}{{"", nil}, {".gz", toGzip}, {".zst", toZstd}, {".xz", toXZ}} {
		b.Run("Packages"+form.ext, func(b *testing.B) {
			packed := text
			if form.create != nil {
				packed = pack(b, text, form.create)
			}
			doc := document(b, e, "http://repo.example/debian/dists/stable/main/binary-amd64/Packages"+form.ext, packed)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				_, err := e.Inspect(b.Context(), doc, nil, func(ecosystem.Claim) error {
					n++
					return nil
				})
				if err != nil || n != stanzaCount {
					b.Fatalf("%d claims, %v", n, err)
				}
			}
		})
	}
}

func BenchmarkClassify(b *testing.B) {
	e := apt.New(apt.Options{})
	for _, c := range []struct{ name, url string }{
		{"deb", "http://repo.example/debian/pool/main/c/curl/curl_7.88.1-10_amd64.deb"},
		{"deb encoded", "http://repo.example/debian/pool/main/c/curl/curl_7.88.1-10%2bdeb12u12_amd64.deb"},
		{"by-hash", "http://repo.example/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/" + sum},
		{"InRelease", "http://repo.example/debian/dists/bookworm/InRelease"},
		{"foreign", "https://repo.example/left-pad/-/left-pad-1.3.0.tgz"},
	} {
		b.Run(c.name, func(b *testing.B) {
			u, err := url.Parse(c.url)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_, err = e.Classify(ecosystem.Request{Method: "GET", URL: u})
			}
			if (err != nil) != (c.name == "foreign") {
				b.Errorf("Classify: %v", err)
			}
		})
	}
}
