// Package apktest makes small signed repositories of apk version 2 for tests, byte for byte
// as abuild and apk index make them: what apk itself accepts.
package apktest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the format's own
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// A Key signs packages and indexes. Create it with NewKey.
type Key struct {
	Name    string // of its file in /etc/apk/keys
	private *rsa.PrivateKey
}

// NewKey makes a key.
func NewKey(t testing.TB, name string) Key {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return Key{name, private}
}

// Public returns the key's file, as it lies in /etc/apk/keys.
func (k Key) Public(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&k.private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Sign returns the signature member for what follows it. kind is RSA, RSA256 or RSA512.
func (k Key) Sign(t testing.TB, kind string, rest []byte) []byte {
	t.Helper()
	hash, sum := crypto.SHA1, sha1Sum(rest)
	switch kind {
	case "RSA256":
		s := sha256.Sum256(rest)
		hash, sum = crypto.SHA256, s[:]
	case "RSA512":
		s := sha512.Sum512(rest)
		hash, sum = crypto.SHA512, s[:]
	}
	sig, err := rsa.SignPKCS1v15(nil, k.private, hash, sum)
	if err != nil {
		t.Fatal(err)
	}
	return Member(t, false, File{Name: ".SIGN." + kind + "." + k.Name, Content: string(sig)})
}

// A File is one in an archive. A name that ends in a slash is a folder.
type File struct {
	Name, Content string
	Time          time.Time
	sum           bool // states its SHA-1, as files to install do
}

// Member returns a gzip member with files, which ends the archive or not.
func Member(t testing.TB, last bool, files ...File) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Content)), ModTime: f.Time, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if strings.HasSuffix(f.Name, "/") {
			h.Mode, h.Typeflag = 0o755, tar.TypeDir
		} else if f.sum {
			h.Format = tar.FormatPAX
			h.PAXRecords = map[string]string{"APK-TOOLS.checksum.SHA1": hex.EncodeToString(sha1Sum([]byte(f.Content)))}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.Content)); err != nil {
			t.Fatal(err)
		}
	}
	end := w.Flush
	if last {
		end = w.Close
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// A Package is one to build.
type Package struct {
	Name, Version, Arch string
	Files               map[string]string // by path
}

// File returns the name of the package's file.
func (p Package) File() string { return p.Name + "-" + p.Version + ".apk" }

// Data returns the data member.
func (p Package) Data(t testing.TB) []byte {
	t.Helper()
	var files []File
	folders := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		for i, c := range name {
			if folder := name[:i+1]; c == '/' && !folders[folder] {
				folders[folder] = true
				files = append(files, File{Name: folder})
			}
		}
		files = append(files, File{Name: name, Content: p.Files[name], sum: true})
	}
	return Member(t, true, files...)
}

// Control returns the control member for that data member.
func (p Package) Control(t testing.TB, data []byte) []byte {
	t.Helper()
	info := fmt.Sprintf("# made by a test\npkgname = %s\npkgver = %s\npkgdesc = a test\nurl = http://test.example\nbuilddate = 1700000000\nsize = 4096\narch = %s\norigin = %[1]s\nlicense = MIT\ndatahash = %[4]x\n",
		p.Name, p.Version, p.Arch, sha256.Sum256(data))
	return Member(t, false, File{Name: ".PKGINFO", Content: info})
}

// Build returns the package's file, signed, and its line in an index.
func (p Package) Build(t testing.TB, k Key) (file []byte, entry string) {
	t.Helper()
	data := p.Data(t)
	control := p.Control(t, data)
	file = bytes.Join([][]byte{k.Sign(t, "RSA", control), control, data}, nil)
	return file, p.Entry("Q1"+base64.StdEncoding.EncodeToString(sha1Sum(control)), len(file))
}

// Entry returns the package's stanza in an index.
func (p Package) Entry(checksum string, size int) string {
	return fmt.Sprintf("C:%s\nP:%s\nV:%s\nA:%s\nS:%d\nI:4096\nT:a test\nU:http://test.example\nL:MIT\no:%[2]s\nt:1700000000\n\n",
		checksum, p.Name, p.Version, p.Arch, size)
}

// Index returns an index of the entries, without a signature.
func Index(t testing.TB, made time.Time, entries ...string) []byte {
	t.Helper()
	return Member(t, true, File{Name: "DESCRIPTION", Content: "test", Time: made}, File{Name: "APKINDEX", Content: strings.Join(entries, ""), Time: made})
}

func sha1Sum(b []byte) []byte {
	s := sha1.Sum(b) //nolint:gosec // as above
	return s[:]
}
