package digest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"
)

// TestCompute compares with what the go command computes.
func TestCompute(t *testing.T) {
	var z bytes.Buffer
	w := zip.NewWriter(&z)
	for _, name := range []string{"example.org/m@v1.0.0/go.mod", "example.org/m@v1.0.0/a.go"} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(f, "in %s\n", name)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "m.zip")
	if err := os.WriteFile(file, z.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := dirhash.HashZip(file, dirhash.DefaultHash)
	if err != nil {
		t.Fatal(err)
	}
	want, err := FromH1(H1, sum)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Compute(H1, bytes.NewReader(z.Bytes()), int64(z.Len()))
	if err != nil || got != want {
		t.Errorf("Compute(zip) = %q, %v; want %q", got, err, want)
	}
	text := "module example.org/m\n"
	mod := fmt.Sprintf("%x  go.mod\n", sha256.Sum256([]byte(text)))
	want = Digest(fmt.Sprintf("h1mod:%x", sha256.Sum256([]byte(mod))))
	if got, err := Compute(H1Mod, strings.NewReader(text), int64(len(text))); err != nil || got != want {
		t.Errorf("Compute(go.mod) = %q, %v; want %q", got, err, want)
	}
	if _, err := Compute(H1, strings.NewReader(text), int64(len(text))); !errors.Is(err, ErrMismatch) {
		t.Errorf("Compute(no zip) = %v", err)
	}
	if got, err := Compute(SHA512, strings.NewReader(text), int64(len(text))); err != nil || got.Algorithm() != SHA512 {
		t.Errorf("Compute(sha512) = %q, %v", got, err)
	}
}

// TestComputeBomb checks that a zip which unpacks to more than any module has is not unpacked.
func TestComputeBomb(t *testing.T) {
	var z bytes.Buffer
	w := zip.NewWriter(&z)
	for i := range 3 {
		if _, err := w.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i), UncompressedSize64: 200 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Compute(H1, bytes.NewReader(z.Bytes()), int64(z.Len())); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("Compute = %v", err)
	}
}
