package apk

import (
	"archive/tar"
	"crypto"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// Bounds on what is read before it is verified, in bytes.
const (
	maxSignatures = 128 << 10 // packed
	maxUnpacked   = 4 << 20
	maxSignature  = 64 << 10 // of one signature; the limit of apk itself
)

// A signature is what an index starts with: one of all that follows.
type signature struct {
	hash crypto.Hash
	key  string // name of the key's file
	sum  []byte
}

// readSignatures returns the signatures that an index starts with, and where what they sign
// starts.
func readSignatures(doc ecosystem.Body) (found []signature, start int64, err error) {
	for start < maxSignatures {
		others := 0
		n, err := digest.TarMember(io.NewSectionReader(doc, start, doc.Size-start), maxUnpacked, func(h *tar.Header, content io.Reader) error {
			if !strings.HasPrefix(h.Name, ".SIGN.") {
				others++
				return errStop
			}
			s, err := readSignature(h, content)
			if s != nil {
				found = append(found, *s)
			}
			return err
		})
		if errors.Is(err, errStop) && others > 0 {
			return found, start, nil
		}
		if err != nil {
			return nil, 0, err
		}
		start += n
	}
	return nil, 0, fmt.Errorf("more than %d bytes of signatures", maxSignatures)
}

// errStop ends the reading of a member early.
var errStop = errors.New("stop")

// readSignature reads one signature; nil if it is of a kind that is not known.
func readSignature(h *tar.Header, content io.Reader) (*signature, error) {
	kind, key, _ := strings.Cut(strings.TrimPrefix(h.Name, ".SIGN."), ".")
	s := signature{key: key}
	switch kind {
	case "RSA":
		s.hash = crypto.SHA1
	case "RSA256":
		s.hash = crypto.SHA256
	case "RSA512":
		s.hash = crypto.SHA512
	default:
		return nil, nil
	}
	if h.Size > maxSignature {
		return nil, fmt.Errorf("a signature of %d bytes", h.Size)
	}
	var err error
	s.sum, err = io.ReadAll(content)
	return &s, err
}

// verify checks what follows the signatures. One good signature by a known key is enough. An
// error means that there are signatures by known keys, and that none of them holds.
func (k keyring) verify(found []signature, signed *io.SectionReader) (signer, note string, err error) {
	note = "not signed"
	for _, s := range found {
		keys := k.named(s.key)
		if len(keys) == 0 {
			note = fmt.Sprintf("signed by no known key, but by %.100q", s.key)
			continue
		}
		sum, hashErr := hashOf(s.hash, signed)
		if err = hashErr; err != nil {
			continue
		}
		for _, key := range keys {
			if err = rsa.VerifyPKCS1v15(key.rsa, s.hash, sum, s.sum); err == nil {
				return key.fingerprint + " " + key.name, "", nil
			}
		}
		err = fmt.Errorf("the signature by %s does not hold: %w", s.key, err)
	}
	return "", note, err
}

// hashOf returns the hash of what is signed. SHA-1 is refused for bytes made to collide.
func hashOf(h crypto.Hash, signed *io.SectionReader) ([]byte, error) {
	r := io.NewSectionReader(signed, 0, signed.Size())
	if h == crypto.SHA1 {
		sum, err := digest.SafeSHA1(r)
		if err != nil {
			return nil, err
		}
		return hex.DecodeString(sum)
	}
	w := h.New()
	_, err := io.Copy(w, r)
	return w.Sum(nil), err
}
