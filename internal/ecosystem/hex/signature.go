package hex

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/protobuf/encoding/protowire"

	"sutler/internal/ecosystem"
)

// The limits of a document. The largest, the list of all versions, has a few megabytes.
const (
	maxPacked   = 8 << 20
	maxUnpacked = 32 << 20
)

// publicName is how the public repository calls itself; no other may.
const publicName = "hexpm"

// publicPEM is the key of the public repository, the only one it ever had.
const publicPEM = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApqREcFDt5vV21JVe2QNB
Edvzk6w36aNFhVGWN5toNJRjRJ6m4hIuG4KaXtDWVLjnvct6MYMfqhC79HAGwyF+
IqR6Q6a5bbFSsImgBJwz1oadoVKD6ZNetAuCIK84cjMrEFRkELtEIPNHblCzUkkM
3rS9+DPlnfG8hBvGi6tvQIuZmXGCxF/73hU0/MyGhbmEjIKRtG6b0sJYKelRLTPW
XgK7s5pESgiwf2YC/2MGDXjAJfpfCd0RpLdvd4eRiXtVlE9qO9bND94E7PgQ/xqZ
J1i2xWFndWa6nfFnRxZmCStCOZWYYPlaxr+FZceFbpMwzTNs4g3d4tLNUcbKAIH4
0wIDAQAB
-----END PUBLIC KEY-----`

// publicKey returns the key of the public repository. TestPublicKey checks that it is read.
func publicKey() *rsa.PublicKey {
	block, _ := pem.Decode([]byte(publicPEM))
	if block == nil {
		return nil
	}
	key, _ := x509.ParsePKIXPublicKey(block.Bytes) // without a key nothing verifies
	public, _ := key.(*rsa.PublicKey)
	return public
}

// open unpacks a signed message, in which the field of that number names the repository,
// and checks its signature if the key is known.
func (e *Ecosystem) open(doc ecosystem.Body, repository protowire.Number) (message, ecosystem.Evidence, error) {
	none := ecosystem.Evidence{}
	invalid := func(err error) (message, ecosystem.Evidence, error) {
		return nil, none, fmt.Errorf("%w: %s: %w", ecosystem.ErrInvalid, doc.Resource.URL, err)
	}
	if doc.Size > maxPacked {
		return invalid(fmt.Errorf("%d bytes, more than %d", doc.Size, maxPacked))
	}
	packed, err := io.ReadAll(doc.Reader())
	if err != nil {
		return nil, none, fmt.Errorf("%s: %w", doc.Resource.URL, err)
	}
	text, err := unpack(packed)
	if err != nil {
		return invalid(err)
	}
	signed, err := parse(text)
	if err != nil {
		return invalid(err)
	}
	payload := signed.last(signedPayload)
	list, err := parse(payload)
	if err != nil {
		return invalid(err)
	}
	name := string(list.last(repository))
	if name != publicName {
		if name == "" || e.public(doc.Resource.URL) {
			return invalid(fmt.Errorf("of the repository %.100q", name))
		}
		return list, ecosystem.Evidence{Note: "the key of this repository is not known here"}, nil
	}
	if err := verify(e.key, payload, signed.last(signedSignature)); err != nil {
		return invalid(err)
	}
	return list, ecosystem.Evidence{Signer: publicName + " key SHA256:" + fingerprint(e.key)}, nil
}

// public reports whether a URL is of the public repository itself, not of an organisation.
func (e *Ecosystem) public(url string) bool {
	rest, ok := strings.CutPrefix(url, e.Profile().Mounts[0].Origin)
	return ok && !strings.HasPrefix(rest, "repos/")
}

// unpack returns what was compressed with gzip.
func unpack(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	if err == nil && len(text) > maxUnpacked {
		err = fmt.Errorf("unpacks to more than %d bytes", maxUnpacked)
	}
	return text, err
}

// verify checks a signature by the key, which is nil if it is not known.
func verify(key *rsa.PublicKey, payload, signature []byte) error {
	if key == nil {
		return errors.New("no key to verify with")
	}
	sum := sha512.Sum512(payload)
	return rsa.VerifyPKCS1v15(key, crypto.SHA512, sum[:], signature)
}

// fingerprint returns the SHA-256 of a key, in hexadecimal.
func fingerprint(key *rsa.PublicKey) string {
	sum := sha256.Sum256(x509.MarshalPKCS1PublicKey(key))
	return hex.EncodeToString(sum[:])
}
