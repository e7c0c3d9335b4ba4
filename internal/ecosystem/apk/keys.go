package apk

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// distributed holds the keys that Alpine's package alpine-keys installs, byte for byte: the
// checksums in its build recipe are those of these files.
//
//go:embed keys/*.rsa.pub
var distributed embed.FS

// A Key is a public key as it lies in /etc/apk/keys.
type Key struct {
	Name string // of the file: signatures name their key by it
	PEM  []byte
}

// CheckKey returns an error that says why a key cannot be used, if it cannot.
func CheckKey(k Key) error {
	_, err := parseKey(k)
	return err
}

// publicKeys returns the keys of Alpine Linux.
func publicKeys() []Key {
	var keys []Key
	names, err := fs.Glob(distributed, "keys/*")
	for _, name := range names {
		var b []byte
		b, err = distributed.ReadFile(name)
		keys = append(keys, Key{path.Base(name), b})
	}
	_ = err // nothing can fail in a file system that is part of the program
	return keys
}

// minBits is the least length of an RSA key that counts.
const minBits = 2048

// A publicKey is a key that was read.
type publicKey struct {
	name        string
	id          [16]byte // how signatures of version 3 name it
	fingerprint string   // SHA-256 of the key as PKIX
	rsa         *rsa.PublicKey
	ecdsa       *ecdsa.PublicKey // if it is no RSA key; then it signs only indexes of version 3
}

// parseKey reads a key.
func parseKey(k Key) (publicKey, error) {
	block, _ := pem.Decode(k.PEM)
	if block == nil {
		return publicKey{}, errors.New("no PEM block")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return publicKey{}, err
	}
	p := publicKey{name: k.Name, fingerprint: fmt.Sprintf("%x", sha256.Sum256(block.Bytes))}
	var raw []byte
	switch public := parsed.(type) {
	case *rsa.PublicKey:
		if n := public.N.BitLen(); n < minBits {
			return p, fmt.Errorf("an RSA key of %d bits, want at least %d", n, minBits)
		}
		p.rsa, raw = public, x509.MarshalPKCS1PublicKey(public)
	case *ecdsa.PublicKey:
		p.ecdsa = public
		if raw, err = public.Bytes(); err != nil {
			return p, err
		}
	default:
		return p, fmt.Errorf("%T is no kind of key that signs indexes", parsed)
	}
	sum := sha512.Sum512(raw)
	p.id = [16]byte(sum[:])
	return p, nil
}

// A keyring holds the keys whose signatures count. Two may have the same name.
type keyring []publicKey

// newKeyring reads keys. Those that cannot be used are left out.
func newKeyring(keys []Key) keyring {
	var ring keyring
	for _, k := range keys {
		if p, err := parseKey(k); err == nil {
			ring = append(ring, p)
		}
	}
	return ring
}

// named returns the RSA keys of that name.
func (k keyring) named(name string) (found []publicKey) {
	for _, p := range k {
		if p.name == name && p.rsa != nil {
			found = append(found, p)
		}
	}
	return found
}
