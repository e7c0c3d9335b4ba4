package digest

import (
	"archive/zip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"

	"sutler/internal/adb"
)

// structures are the algorithms that need the whole file at once.
var structures = map[string]func(r io.ReaderAt, size int64) (hexadecimal string, err error){
	H1:     zipTree,
	H1Mod:  goMod,
	APK:    apkSHA1,
	APK256: apkSHA256,
	ADB:    adbTree,
}

// Compute returns the digest of size bytes of r in the algorithm given, as a Hasher does,
// and also the digests of what a file contains. It returns an error wrapping ErrMismatch
// if the file is not of the kind that the algorithm is about.
func Compute(alg string, r io.ReaderAt, size int64) (Digest, error) {
	if of, ok := structures[alg]; ok {
		h, err := of(r, size)
		if err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrMismatch, alg, err)
		}
		return New(alg, h)
	}
	h := newHash(alg)
	if _, err := io.Copy(h, io.NewSectionReader(r, 0, size)); err != nil {
		return "", err
	}
	return Digest(alg + ":" + hex.EncodeToString(h.Sum(nil))), nil
}

// FromH1 reads "h1:BASE64", as go.sum has it, as a digest of the algorithm given, H1 or H1Mod.
func FromH1(alg, s string) (Digest, error) {
	sum, ok := strings.CutPrefix(s, "h1:")
	raw, err := base64.StdEncoding.DecodeString(sum)
	if !ok || err != nil {
		return "", fmt.Errorf("%w: %q: write h1: and base64", ErrInvalid, s)
	}
	return New(alg, hex.EncodeToString(raw))
}

// adbTree returns the ADB of a package of apk version 3.
func adbTree(r io.ReaderAt, size int64) (string, error) {
	f, err := adb.NewReader(r, size)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := f.Check(); err != nil {
		return "", err
	}
	return OfBytes(f.Tree).Hex(), nil
}

// zipTree returns the H1 of a zip file.
func zipTree(r io.ReaderAt, size int64) (string, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return "", err
	}
	files := make([]string, 0, len(z.File))
	byName := make(map[string]*zip.File, len(z.File))
	for _, f := range z.File {
		files = append(files, f.Name)
		byName[f.Name] = f
	}
	return hash1(files, func(name string) (io.ReadCloser, error) { return byName[name].Open() })
}

// goMod returns the H1 of a tree that has this file only, as go.mod.
func goMod(r io.ReaderAt, size int64) (string, error) {
	return hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(r, 0, size)), nil
	})
}

// hash1 returns dirhash.Hash1 in hexadecimal form.
func hash1(files []string, open func(string) (io.ReadCloser, error)) (string, error) {
	s, err := dirhash.Hash1(files, open)
	if err != nil {
		return "", err
	}
	d, err := FromH1(H1, s)
	return d.Hex(), err
}
