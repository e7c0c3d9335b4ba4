package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ulikunitz/xz"

	"sutler/internal/ecosystem"
)

const sum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func classify(t *testing.T, method, raw string) (ecosystem.Resource, error) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{}).Classify(ecosystem.Request{Method: method, URL: u})
}

func TestClassify(t *testing.T) {
	const host = "http://archive.example"
	for _, tt := range []struct {
		name, url     string
		want          string // canonical URL; "" for ErrUnknown
		kind          ecosystem.Kind
		repository    string
		vouchedBy     string // first
		pkg, version  string
		root, claimed bool
	}{
		{"InRelease", host + "/debian/dists/bookworm/InRelease", host + "/debian/dists/bookworm/InRelease", ecosystem.Document, host + "/debian", "", "", "", true, false},
		{"Release.gpg", host + "/debian/dists/bookworm/Release.gpg", host + "/debian/dists/bookworm/Release.gpg", ecosystem.Document, host + "/debian", "", "", "", false, false},
		{"Packages", host + "/debian/dists/bookworm/main/binary-amd64/Packages.xz", host + "/debian/dists/bookworm/main/binary-amd64/Packages.xz", ecosystem.Document, host + "/debian", host + "/debian/dists/bookworm/InRelease", "", "", false, false},
		{"suite with a slash", host + "/debian/dists/stable/updates/main/binary-amd64/Packages.gz", host + "/debian/dists/stable/updates/main/binary-amd64/Packages.gz", ecosystem.Document, host + "/debian", host + "/debian/dists/stable/updates/InRelease", "", "", false, false},
		{"by-hash", host + "/debian/dists/bookworm/main/i18n/by-hash/SHA256/" + sum, host + "/debian/dists/bookworm/main/i18n/by-hash/SHA256/" + sum, ecosystem.Document, host + "/debian", host + "/debian/dists/bookworm/InRelease", "", "", false, true},
		{"by-hash, weak", host + "/debian/dists/bookworm/main/i18n/by-hash/MD5Sum/d41d8cd98f00b204e9800998ecf8427e", host + "/debian/dists/bookworm/main/i18n/by-hash/MD5Sum/d41d8cd98f00b204e9800998ecf8427e", ecosystem.Document, host + "/debian", host + "/debian/dists/bookworm/InRelease", "", "", false, false},
		{"Contents", host + "/debian/dists/bookworm/main/Contents-amd64.gz", host + "/debian/dists/bookworm/main/Contents-amd64.gz", ecosystem.Document, host + "/debian", host + "/debian/dists/bookworm/InRelease", "", "", false, false},
		{"deb", host + "/debian/pool/main/c/curl/curl_7.88.1-10+deb12u12_amd64.deb", host + "/debian/pool/main/c/curl/curl_7.88.1-10+deb12u12_amd64.deb", ecosystem.Artifact, host + "/debian", "", "curl", "7.88.1-10+deb12u12", false, false},
		{"deb as apt spells it", host + "/debian/pool/main/a/a/a_1%2bb%7ec_all.deb", host + "/debian/pool/main/a/a/a_1+b~c_all.deb", ecosystem.Artifact, host + "/debian", "", "a", "1+b~c", false, false},
		{"source", host + "/debian/pool/main/h/hello/hello_2.10.orig.tar.gz", host + "/debian/pool/main/h/hello/hello_2.10.orig.tar.gz", ecosystem.Artifact, host + "/debian", "", "hello", "2.10", false, false},
		{"flat", host + "/repo/InRelease", host + "/repo/InRelease", ecosystem.Document, host + "/repo", "", "", "", true, false},
		{"flat Packages", host + "/repo/Packages.gz", host + "/repo/Packages.gz", ecosystem.Document, host + "/repo", host + "/repo/InRelease", "", "", false, false},
		{"deb elsewhere is not ours", host + "/downloads/tool.deb", "", 0, "", "", "", "", false, false},
		{"foreign", host + "/left-pad", "", 0, "", "", "", "", false, false},
		{"up", host + "/debian/pool/../../etc/x.deb", "", 0, "", "", "", "", false, false},
		{"query", host + "/debian/dists/bookworm/InRelease?x=1", "", 0, "", "", "", "", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, err := classify(t, "GET", tt.url)
			if tt.want == "" {
				if !errors.Is(err, ecosystem.ErrUnknown) {
					t.Fatalf("Classify = %+v, %v; want ErrUnknown", res, err)
				}
				return
			}
			if err != nil || res.URL != tt.want || res.Kind != tt.kind || res.Repository != tt.repository || res.Root != tt.root ||
				res.Package != tt.pkg || res.Version != tt.version || (len(res.Claims) > 0) != tt.claimed {
				t.Errorf("Classify = %+v, %v", res, err)
			}
			if first := ""; tt.vouchedBy != "" {
				if len(res.VouchedBy) > 0 {
					first = res.VouchedBy[0].URL
				}
				if first != tt.vouchedBy {
					t.Errorf("vouched by %q, want %q", first, tt.vouchedBy)
				}
			}
			if again, err := classify(t, "GET", res.URL); err != nil || again.Key() != res.Key() {
				t.Errorf("the canonical URL classifies to %q, %v", again.Key(), err)
			}
		})
	}
	if _, err := classify(t, "PUT", host+"/debian/pool/main/a/a/a_1_all.deb"); !errors.Is(err, ecosystem.ErrRefused) {
		t.Errorf("PUT: %v, want ErrRefused", err)
	}
}

// A signer signs releases for tests.
type signer struct {
	entity *openpgp.Entity
	ring   []byte
}

func newSigner(t *testing.T, config *packet.Config) signer {
	t.Helper()
	e, err := openpgp.NewEntity("Archive", "", "archive@test.example", config)
	if err != nil {
		t.Fatal(err)
	}
	var ring bytes.Buffer
	if err := e.Serialize(&ring); err != nil {
		t.Fatal(err)
	}
	return signer{e, ring.Bytes()}
}

func (s signer) sign(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, s.entity.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String() + "\n"
}

// inspect runs Inspect on a document of a URL.
func inspect(t *testing.T, a *Apt, raw, text string) ([]ecosystem.Claim, ecosystem.Evidence, error) {
	t.Helper()
	res, err := classify(t, "GET", raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims []ecosystem.Claim
	ev, err := a.Inspect(t.Context(), ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(text), Size: int64(len(text))}, noSource{},
		func(c ecosystem.Claim) error { claims = append(claims, c); return nil })
	return claims, ev, err
}

type noSource struct{}

func (noSource) Document(context.Context, ecosystem.Resource) (ecosystem.Body, error) {
	return ecosystem.Body{}, errors.New("no such document")
}

const release = "Origin: Test\nSuite: stable\nDate: Sat, 01 Nov 2025 10:00:00 UTC\nValid-Until: Sat, 08 Nov 2025 10:00:00 UTC\nAcquire-By-Hash: yes\n" +
	"MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/weak\nSHA256:\n " + sum + " 4 main/binary-amd64/Packages.xz\n"

func TestRelease(t *testing.T) {
	const url = "http://archive.example/debian/dists/stable/InRelease"
	known, other := newSigner(t, nil), newSigner(t, nil)
	past := time.Now().Add(-48 * time.Hour)
	expired := newSigner(t, &packet.Config{Time: func() time.Time { return past }, KeyLifetimeSecs: 3600})
	a := New(Options{Keyrings: [][]byte{known.ring, expired.ring, []byte("garbage")}})
	good := known.sign(t, release)
	for _, tt := range []struct {
		name, text string
		invalid    bool
		signed     bool
	}{
		{"signed by a known key", good, false, true},
		{"signed by an unknown key", other.sign(t, release), false, false},
		{"tampered", strings.Replace(good, sum, strings.Replace(sum, "9f", "00", 1), 1), true, false},
		{"text before", "evil\n" + good, true, false},
		{"text behind", good + "evil\n", true, false},
		{"expired key", expired.sign(t, release), true, false},
		{"login page", "<html>", true, false},
		{"empty", "", true, false},
		{"path that leaves the suite", known.sign(t, strings.Replace(release, "main/binary-amd64", "../../evil", 1)), true, false},
		{"short digest", known.sign(t, strings.Replace(release, sum, sum[:20], 1)), true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims, ev, err := inspect(t, a, url, tt.text)
			if tt.invalid {
				if !errors.Is(err, ecosystem.ErrInvalid) {
					t.Errorf("Inspect = %v, want ErrInvalid", err)
				}
				return
			}
			if err != nil || (ev.Signer != "") != tt.signed || len(claims) != 1 {
				t.Fatalf("Inspect = %+v, %+v, %v", claims, ev, err)
			}
			c := claims[0]
			if c.URL != "http://archive.example/debian/dists/stable/main/binary-amd64/Packages.xz" || c.Digest != "sha256:"+sum || c.Size != 4 ||
				c.Via != "http://archive.example/debian/dists/stable/main/binary-amd64/by-hash/SHA256/"+sum {
				t.Errorf("claim = %+v", c)
			}
			if ev.Dated.Day() != 1 || ev.Expires.Day() != 8 {
				t.Errorf("evidence = %+v", ev)
			}
		})
	}
}

func TestPackages(t *testing.T) {
	const url = "http://archive.example/debian/dists/stable/main/binary-amd64/Packages"
	stanza := "Package: a\nFilename: pool/main/a/a/a_1+b~c_all.deb\nDescription: x\n long\nSize: 12\nSHA256: " + sum + "\n\n"
	sources := "Package: h\nDirectory: pool/main/h\nChecksums-Sha256:\n " + sum + " 5 h_1.dsc\n " + sum + " 6 h_1.tar.xz\nFiles:\n d41d8cd98f00b204e9800998ecf8427e 5 h_1.dsc\n"
	for _, tt := range []struct {
		name, url, text string
		claims          []string
		invalid         bool
	}{
		{"packages", url, stanza + stanza, []string{"pool/main/a/a/a_1+b~c_all.deb", "pool/main/a/a/a_1+b~c_all.deb"}, false},
		{"sources", "http://archive.example/debian/dists/stable/main/source/Sources", sources, []string{"pool/main/h/h_1.dsc", "pool/main/h/h_1.tar.xz"}, false},
		{"xz", url + ".xz", pack(t, stanza), []string{"pool/main/a/a/a_1+b~c_all.deb"}, false},
		{"no digest", url, "Package: a\nFilename: pool/a.deb\nSize: 3\n", nil, false},
		{"path that leaves", url, strings.Replace(stanza, "pool/main/a/a/", "../../", 1), nil, true},
		{"login page", url, "<html>\n", nil, true},
		{"truncated xz", url + ".xz", pack(t, stanza)[:40], nil, true},
		{"endless line", url, strings.Repeat("x", 3<<20), nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims, _, err := inspect(t, New(Options{}), tt.url, tt.text)
			if tt.invalid != errors.Is(err, ecosystem.ErrInvalid) {
				t.Fatalf("Inspect = %v", err)
			}
			if tt.invalid {
				return
			}
			var got []string
			for _, c := range claims {
				got = append(got, strings.TrimPrefix(c.URL, "http://archive.example/debian/"))
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.claims) || err != nil {
				t.Errorf("claims = %q, %v; want %q", got, err, tt.claims)
			}
		})
	}
}

func pack(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// FuzzClassify checks that a resource never leaves the origin that was asked for, and that
// its URL means the same when asked for again.
func FuzzClassify(f *testing.F) {
	for _, s := range []string{"/debian/dists/x/InRelease", "/debian/dists/x/main/by-hash/SHA256/" + sum, "/pool/a_1.deb", "//dists//", "/a%2fdists/%2e%2e/x.deb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		u, err := url.Parse("http://archive.example" + p)
		if err != nil || u.Host != "archive.example" {
			t.Skip()
		}
		a := New(Options{})
		res, err := a.Classify(ecosystem.Request{Method: "GET", URL: u})
		if err != nil {
			return
		}
		v, err := url.Parse(res.URL)
		if err != nil || v.Scheme != u.Scheme || v.Host != u.Host {
			t.Fatalf("Classify(%q) left its origin: %q", u, res.URL)
		}
		if again, err := a.Classify(ecosystem.Request{Method: "GET", URL: v}); err != nil || again.Key() != res.Key() {
			t.Errorf("Classify(%q) = %q, %v", res.URL, again.Key(), err)
		}
	})
}

// FuzzInspect checks that claims stay below the repository.
func FuzzInspect(f *testing.F) {
	f.Add("Package: a\nFilename: pool/a.deb\nSize: 3\nSHA256: " + sum + "\n")
	f.Add("Package: a\nDirectory: ../..\nChecksums-Sha256:\n " + sum + " 1 x\n")
	f.Fuzz(func(t *testing.T, text string) {
		const root = "http://archive.example/debian"
		res := ecosystem.Resource{Ecosystem: "apt", URL: root + "/dists/x/main/binary-amd64/Packages", Kind: ecosystem.Document, Repository: root}
		_, err := New(Options{}).Inspect(t.Context(), ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(text), Size: int64(len(text))}, nil,
			func(c ecosystem.Claim) error {
				if !strings.HasPrefix(c.URL, root+"/") || strings.Contains(c.URL, "/../") {
					t.Errorf("claim about %q", c.URL)
				}
				return nil
			})
		if err != nil && !errors.Is(err, ecosystem.ErrInvalid) {
			t.Errorf("error %v is not ErrInvalid", err)
		}
	})
}

// BenchmarkInspectPackages reads an index as large as that of Debian's main archive.
func BenchmarkInspectPackages(b *testing.B) {
	var text strings.Builder
	for i := range 63_000 {
		fmt.Fprintf(&text, "Package: package-%d\nVersion: 1.0-%d\nInstalled-Size: 100\nMaintainer: Somebody <somebody@archive.example>\nArchitecture: amd64\n"+
			"Depends: libc6 (>= 2.34), libgcc-s1 (>= 3.0), libstdc++6 (>= 11), zlib1g\nDescription: %s\nDescription-md5: d41d8cd98f00b204e9800998ecf8427e\n"+
			"Homepage: https://archive.example/\nTag: %s\nSection: libs\nPriority: optional\nFilename: pool/main/p/package-%d/package-%d_1.0-%d_amd64.deb\n"+
			"Size: 12345\nMD5sum: d41d8cd98f00b204e9800998ecf8427e\nSHA256: %s\n\n", i, i, strings.Repeat("text ", 12), strings.Repeat("role::library, ", 12), i, i, i, sum)
	}
	res := ecosystem.Resource{URL: "http://archive.example/debian/dists/x/main/binary-amd64/Packages", Repository: "http://archive.example/debian"}
	a := New(Options{})
	for _, form := range []struct{ name, text string }{{"plain", text.String()}, {"xz", pack(b, text.String())}} {
		b.Run(form.name, func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				_, err := a.Inspect(b.Context(), ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(form.text), Size: int64(len(form.text))}, nil,
					func(ecosystem.Claim) error { n++; return nil })
				if err != nil || n != 63_000 {
					b.Fatalf("%d claims, %v", n, err)
				}
			}
		})
	}
}

func BenchmarkClassify(b *testing.B) {
	u, err := url.Parse("http://archive.example/debian/pool/main/c/curl/curl_7.88.1-10+deb12u12_amd64.deb")
	if err != nil {
		b.Fatal(err)
	}
	a := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Classify(ecosystem.Request{Method: "GET", URL: u}); err != nil {
			b.Fatal(err)
		}
	}
}
