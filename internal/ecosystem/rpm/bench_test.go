package rpm_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/rpm"
)

// packageCount is how many packages a distribution's largest repository has.
const packageCount = 35_000

// primaryIndex returns an index of n packages, with about 3 KB each, as createrepo_c writes it.
func primaryIndex(n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata xmlns=\"http://linux.duke.edu/metadata/common\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\" packages=\"%d\">\n", n)
	for i := range n {
		fmt.Fprintf(&b, "<package type=\"rpm\">\n  <name>package-%[1]d</name>\n  <arch>x86_64</arch>\n  <version epoch=\"0\" ver=\"1.%[1]d\" rel=\"1\"/>\n"+
			"  <checksum type=\"sha256\" pkgid=\"YES\">%064[2]x</checksum>\n  <summary>something useful</summary>\n  <description>%[3]s</description>\n"+
			"  <packager>Somebody</packager>\n  <url>https://repo.example/</url>\n  <time file=\"%[4]d\" build=\"%[4]d\"/>\n"+
			"  <size package=\"%[1]d\" installed=\"300000\" archive=\"300256\"/>\n  <location href=\"Packages/p/package-%[1]d-1.%[1]d-1.x86_64.rpm\"/>\n"+
			"  <format>\n    <rpm:license>MIT</rpm:license>\n    <rpm:requires>\n%[5]s    </rpm:requires>\n  </format>\n</package>\n",
			i, i*15_485_863, strings.Repeat("It does what it says. ", 20), 1_767_571_200+i,
			strings.Repeat("      <rpm:entry name=\"libc.so.6(GLIBC_2.34)(64bit)\" flags=\"GE\" epoch=\"0\" ver=\"2.34\" rel=\"1\"/>\n", 20))
	}
	b.WriteString("</metadata>\n")
	return b.Bytes()
}

// document returns what lies at a URL.
func document(tb testing.TB, e *rpm.Ecosystem, raw string, b []byte) ecosystem.Body {
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

// BenchmarkInspectPrimary reads an index as large as that of a big distribution.
func BenchmarkInspectPrimary(b *testing.B) {
	text := primaryIndex(packageCount)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	e := rpm.New(rpm.Options{})
	doc := document(b, e, "https://repo.example/os/repodata/primary.xml.gz", packed.Bytes())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		_, err := e.Inspect(b.Context(), doc, nil, func(ecosystem.Claim) error {
			n++
			return nil
		})
		if err != nil || n != packageCount {
			b.Fatalf("%d claims, %v", n, err)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	e := rpm.New(rpm.Options{})
	for _, c := range []struct{ name, url string }{
		{"package", "https://repo.example/os/Packages/t/tool%2bx-1.0-1.noarch.rpm"},
		{"index", "https://repo.example/os/repodata/" + strings.Repeat("0a", 32) + "-primary.xml.gz"},
		{"repomd", "https://repo.example/os/repodata/repomd.xml"},
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
