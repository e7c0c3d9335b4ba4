package npm

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// maxVerified is the number of versions up to which signatures are checked: at about 70 µs
// each, more would hold up the client for longer than the transfer does.
const maxVerified = 1000

// A keyring holds registry keys by their id, which is the SHA-256 fingerprint of the key as
// OpenSSH makes it.
type keyring map[string]registryKey

// A registryKey signs versions when they are published.
type registryKey struct {
	public  *ecdsa.PublicKey
	expires time.Time // of no use for versions published later; zero: never
}

// publicKeys returns the keys of the public registry that were in use until now. They are
// fixed here, and not read from the registry, because whoever can change a packument on
// its way could change the keys as well.
func publicKeys() keyring {
	k := make(keyring)
	for _, key := range []struct{ id, expires, spki string }{
		{
			"SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA", "2025-01-29T00:00:00Z",
			"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1Olb3zMAFFxXKHiIkQO5cJ3Yhl5i6UPp+IhuteBJbuHcA5UogKo0EWtlWwW6KSaKoTNEYL7JlCQiVnkhBktUgg==",
		},
		{
			"SHA256:DhQ8wR5APBvFHLF/+Tc+AYvPOdTpcIDqOhxsBHRwC7U", "",
			"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEY6Ya7W++7aUPzvMTrezH6Ycx3c+HOKYCcNGybJZSCJq/fd7Qa8uuAKtdIkUQtQiEKERhAmE5lMMJhP8OkDOa2g==",
		},
	} {
		// TestPublicKeys checks that each is read and has the id it is listed under.
		if public, err := parseKey(key.spki); err == nil {
			expires, _ := time.Parse(time.RFC3339, key.expires) // "" is the zero time: never
			k[key.id] = registryKey{public, expires}
		}
	}
	return k
}

// parseKey reads a public key as registries write it: SubjectPublicKeyInfo in base64.
func parseKey(spki string) (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(spki)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("not an ECDSA key")
	}
	return public, nil
}

// check verifies the signatures of all versions. The packument counts as signed if each
// version has one that holds, by a known key. One that does not hold is ErrInvalid.
func (k keyring) check(ctx context.Context, l *listing) (ecosystem.Evidence, error) {
	if n := k.candidates(l); n > maxVerified {
		return ecosystem.Evidence{Note: fmt.Sprintf("signatures of %d versions are too many to check", n)}, nil
	}
	signers := make(map[string]bool)
	unsigned := 0
	for i := range l.releases {
		if err := ctx.Err(); err != nil {
			return ecosystem.Evidence{}, err
		}
		id, err := k.verify(l, &l.releases[i])
		if err != nil {
			return ecosystem.Evidence{}, err
		}
		if id == "" {
			unsigned++
			continue
		}
		signers[id] = true
	}
	if n := len(l.releases); unsigned > 0 || n == 0 {
		return ecosystem.Evidence{Note: fmt.Sprintf("%d of %d versions have no signature by a known key", unsigned, n)}, nil
	}
	ids := slices.Sorted(maps.Keys(signers))
	return ecosystem.Evidence{Signer: "npm registry key " + strings.Join(ids, " ")}, nil
}

// candidates counts the versions that carry a signature by a known key.
func (k keyring) candidates(l *listing) int {
	n := 0
	for i := range l.releases {
		if slices.ContainsFunc(l.releases[i].signatures, func(s signature) bool { _, ok := k[s.key]; return ok }) {
			n++
		}
	}
	return n
}

// verify returns the id of a known key that signed the release, "" if none did.
func (k keyring) verify(l *listing, r *release) (string, error) {
	for _, sig := range r.signatures {
		key, ok := k[sig.key]
		if !ok || r.integrity == "" {
			continue
		}
		if !key.expires.IsZero() && l.published(r.version).After(key.expires) {
			continue
		}
		sum := sha256.Sum256([]byte(l.name + "@" + r.version + ":" + r.integrity))
		raw, err := base64.StdEncoding.DecodeString(sig.value)
		if err != nil || !ecdsa.VerifyASN1(key.public, sum[:], raw) {
			return "", fmt.Errorf("%w: the signature of %s@%s by %s does not hold", ecosystem.ErrInvalid, l.name, r.version, sig.key)
		}
		return sig.key, nil
	}
	return "", nil
}
