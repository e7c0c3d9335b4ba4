// Package digest names bytes and checks them.
//
// A digest is written "algorithm:hex", as in the OCI image specification, whatever
// notation the document that stated it used. SHA-256 names blobs in the store; the
// others only occur in claims. MD5 and SHA-1 are read but never count as
// verification: see [Digest.Strong].
package digest

import (
	"crypto/md5"  //nolint:gosec // stated by old indexes; never counts as verification
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// ErrMismatch means that bytes do not have the digest they were promised to have.
var ErrMismatch = errors.New("digest mismatch")

// ErrInvalid means that a string is not a digest that this package knows.
var ErrInvalid = errors.New("invalid digest")

// A Digest names bytes: "sha256:9f86d0…". The zero Digest names nothing.
type Digest string

// The algorithms that claims use, strongest first.
const (
	SHA512 = "sha512"
	SHA384 = "sha384"
	SHA256 = "sha256"
	SHA1   = "sha1"
	MD5    = "md5"

	// Digests of what a file contains, see Compute. They are hexadecimal here too.
	H1    = "h1"    // of the files in a zip: golang.org/x/mod/sumdb/dirhash
	H1Mod = "h1mod" // the same of a single go.mod

	// Digests of a package of apk version 2: of its control member, and they are those of no
	// file whose data are not what the control member states the SHA-256 of.
	APK    = "apk"    // SHA-1, and the control member is not half of a collision
	APK256 = "apk256" // SHA-256
	// ADB is the SHA-256 of the tree of a package of apk version 3. It is that of no file with
	// contents that are not what the tree states digests of.
	ADB = "adb"
)

// lengths maps an algorithm to the length of its hexadecimal form.
var lengths = map[string]int{SHA512: 128, SHA384: 96, SHA256: 64, SHA1: 40, MD5: 32, H1: 64, H1Mod: 64, APK: 40, APK256: 64, ADB: 64}

// Parse reads "algorithm:hex". It returns ErrInvalid for anything else.
func Parse(s string) (Digest, error) {
	alg, h, ok := strings.Cut(s, ":")
	if !ok {
		return "", fmt.Errorf("%w: %q: write algorithm:hex", ErrInvalid, s)
	}
	return New(alg, h)
}

// New returns the digest of the algorithm and hexadecimal form given, in lower case.
func New(alg, hexadecimal string) (Digest, error) {
	h := strings.ToLower(hexadecimal)
	if n := lengths[alg]; n == 0 || len(h) != n {
		return "", fmt.Errorf("%w: %s:%s", ErrInvalid, alg, hexadecimal)
	}
	if _, err := hex.DecodeString(h); err != nil {
		return "", fmt.Errorf("%w: %s:%s", ErrInvalid, alg, hexadecimal)
	}
	return Digest(alg + ":" + h), nil
}

// FromSRI reads a W3C Subresource Integrity string ("sha512-…= sha1-…=") and
// returns all digests it states of the strongest algorithm it names that is known.
func FromSRI(s string) ([]Digest, error) {
	var best []Digest
	for _, f := range strings.Fields(s) {
		f, _, _ = strings.Cut(f, "?") // options, reserved by the specification
		alg, b64, ok := strings.Cut(f, "-")
		raw, err := base64.StdEncoding.DecodeString(b64)
		if !ok || err != nil {
			return nil, fmt.Errorf("%w: integrity %q", ErrInvalid, f)
		}
		d, err := New(alg, hex.EncodeToString(raw))
		if err != nil {
			continue // an algorithm we do not know says nothing
		}
		switch {
		case len(best) == 0 || lengths[alg] > lengths[best[0].Algorithm()]:
			best = []Digest{d}
		case alg == best[0].Algorithm():
			best = append(best, d)
		}
	}
	if len(best) == 0 {
		return nil, fmt.Errorf("%w: integrity %q", ErrInvalid, s)
	}
	return best, nil
}

// Algorithm returns the part before the colon.
func (d Digest) Algorithm() string {
	alg, _, _ := strings.Cut(string(d), ":")
	return alg
}

// Hex returns the part after the colon.
func (d Digest) Hex() string {
	_, h, _ := strings.Cut(string(d), ":")
	return h
}

// Short returns the algorithm and the first twelve hexadecimal digits, for people.
func (d Digest) Short() string {
	if h := d.Hex(); len(h) > 12 {
		return d.Algorithm() + ":" + h[:12]
	}
	return string(d)
}

// Strong reports whether bytes that have this digest are verified by it.
// It is false for MD5 and SHA-1, for which collisions can be made. It is true for APK:
// its SHA-1 is of bytes in which the known ways to make a collision are looked for, and all
// else in the file hangs on a SHA-256 in them.
func (d Digest) Strong() bool {
	switch d.Algorithm() {
	case SHA256, SHA384, SHA512, H1, H1Mod, APK, APK256, ADB:
		return true
	}
	return false
}

// Of returns the SHA-256 digest of all that r holds, and its length in bytes.
func Of(r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return FromSum(h.Sum(nil)), n, err
}

// OfBytes returns the SHA-256 digest of b.
func OfBytes(b []byte) Digest {
	s := sha256.Sum256(b)
	return FromSum(s[:])
}

// FromSum returns the SHA-256 digest with this binary form.
func FromSum(sum []byte) Digest { return Digest(SHA256 + ":" + hex.EncodeToString(sum)) }

// A Key is the binary form of a SHA-256 digest: what tables of blobs are keyed by.
type Key [32]byte

// KeyOf returns the key of a SHA-256 digest. Anything else, upper case too, has none.
func KeyOf(d Digest) (k Key, ok bool) {
	const prefix = SHA256 + ":"
	if len(d) != len(prefix)+2*len(k) || d[:len(prefix)] != prefix {
		return k, false
	}
	h := d[len(prefix):]
	for i := range k {
		hi, lo := nibble(h[2*i]), nibble(h[2*i+1])
		if hi|lo > 15 {
			return k, false
		}
		k[i] = hi<<4 | lo
	}
	return k, true
}

// nibble returns the value of a lower-case hexadecimal digit, or 255.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// Digest returns the digest that k is the binary form of.
func (k Key) Digest() Digest { return FromSum(k[:]) }

// A Hasher computes the SHA-256 of what is written to it, and the other digests
// it was made for, in one pass. It is not safe for concurrent use.
type Hasher struct {
	sums map[string]hash.Hash
	w    io.Writer
	n    int64
}

// NewHasher returns a hasher for SHA-256 and the algorithms of wants, except those that
// only Compute knows.
func NewHasher(wants ...Digest) *Hasher {
	h := &Hasher{sums: map[string]hash.Hash{SHA256: sha256.New()}}
	h.Want(wants...)
	return h
}

// Want adds the algorithms of wants. It must be called before the first Write.
func (h *Hasher) Want(wants ...Digest) {
	for _, d := range wants {
		if alg := d.Algorithm(); h.sums[alg] == nil && structures[alg] == nil {
			h.sums[alg] = newHash(alg)
		}
	}
	all := make([]io.Writer, 0, len(h.sums))
	for _, s := range h.sums {
		all = append(all, s)
	}
	h.w = io.MultiWriter(all...)
}

// newHash returns a hash for a known algorithm.
func newHash(alg string) hash.Hash {
	switch alg {
	case SHA512:
		return sha512.New()
	case SHA384:
		return sha512.New384()
	case SHA1:
		return sha1.New() //nolint:gosec // read, never trusted
	case MD5:
		return md5.New() //nolint:gosec // read, never trusted
	}
	return sha256.New()
}

// Write adds p; it never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	h.n += int64(len(p))
	return h.w.Write(p)
}

// Size returns how many bytes were written so far.
func (h *Hasher) Size() int64 { return h.n }

// SHA256 returns the digest of what was written so far.
func (h *Hasher) SHA256() Digest { return FromSum(h.sums[SHA256].Sum(nil)) }

// Sum returns the digest in the algorithm given, or "" if the hasher was not made for it.
func (h *Hasher) Sum(alg string) Digest {
	s := h.sums[alg]
	if s == nil {
		return ""
	}
	return Digest(alg + ":" + hex.EncodeToString(s.Sum(nil)))
}
