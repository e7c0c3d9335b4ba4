// Package pgp checks OpenPGP signatures against keyrings: who signed, and how long that counts.
//
// One good signature by one known key is enough. Weak digests and keys, keys that had
// expired when they signed and revoked keys never count.
package pgp

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A Keyring holds the keys whose signatures count, each once. The zero value has none.
type Keyring struct{ entities openpgp.EntityList }

// Check returns how many keys an OpenPGP keyring holds that can be used, binary or
// armored. The error says why there are none.
func Check(b []byte) (keys int, err error) {
	entities, err := readKeyring(b)
	if err == nil && len(entities) == 0 {
		err = fmt.Errorf("no OpenPGP keys")
	}
	return len(entities), err
}

// readKeyring reads a keyring, binary or armored. Keys of kinds not known are left out.
func readKeyring(b []byte) (openpgp.EntityList, error) {
	if bytes.Contains(b, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
		return readArmored(b)
	}
	return openpgp.ReadKeyRing(bytes.NewReader(b))
}

// readArmored reads all armored blocks of a file: people append them to each other.
func readArmored(b []byte) (openpgp.EntityList, error) {
	const begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	var all openpgp.EntityList
	for at := bytes.Index(b, []byte(begin)); at >= 0; {
		b = b[at:]
		next := bytes.Index(b[len(begin):], []byte(begin))
		block := b
		if next >= 0 {
			next += len(begin)
			block = b[:next]
		}
		entities, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(block))
		if err != nil {
			return all, err
		}
		all = append(all, entities...)
		at = next
	}
	return all, nil
}

// New merges keyrings, binary or armored. What Check refuses adds no keys. Systems often have several copies of a key, of which one
// has its expiry extended, or was revoked: the latest expiry and every revocation count.
func New(rings [][]byte) Keyring {
	var k Keyring
	known := map[string]*openpgp.Entity{}
	for _, ring := range rings {
		entities, _ := readKeyring(ring) // what was read before an error counts; see Check
		for _, e := range entities {
			id := string(e.PrimaryKey.Fingerprint)
			if have := known[id]; have != nil {
				merge(have, e)
				continue
			}
			known[id] = e
			k.entities = append(k.entities, e)
		}
	}
	return k
}

// merge adds to a key what another copy of it says.
func merge(have, other *openpgp.Entity) {
	have.Revocations = append(have.Revocations, other.Revocations...)
	if newer(other, have) {
		have.Identities, have.Signatures, have.SelfSignature = other.Identities, other.Signatures, other.SelfSignature
	}
	for _, sub := range other.Subkeys {
		at := slices.IndexFunc(have.Subkeys, func(s openpgp.Subkey) bool {
			return bytes.Equal(s.PublicKey.Fingerprint, sub.PublicKey.Fingerprint)
		})
		if at < 0 {
			have.Subkeys = append(have.Subkeys, sub)
			continue
		}
		mine := &have.Subkeys[at]
		mine.Revocations = append(mine.Revocations, sub.Revocations...)
		if sub.Sig != nil && (mine.Sig == nil || sub.Sig.CreationTime.After(mine.Sig.CreationTime)) {
			mine.Sig = sub.Sig
		}
	}
}

// newer reports whether the owner of a key signed copy a of it after copy b.
func newer(a, b *openpgp.Entity) bool {
	sa, _ := a.PrimarySelfSignature()
	sb, _ := b.PrimarySelfSignature()
	return sa != nil && (sb == nil || sa.CreationTime.After(sb.CreationTime))
}

// isRevoked reports whether a key must not be believed any more, whenever it signed: who
// has it can date a signature as they like.
func isRevoked(key openpgp.Key) bool {
	return len(key.Entity.Revocations) > 0 || len(key.Revocations) > 0
}

// expiry returns when a key ends to be good, zero for never: with its own lifetime or
// that of its primary key, whichever is shorter.
func expiry(key openpgp.Key) time.Time {
	primary, _ := key.Entity.PrimarySelfSignature()
	return Earliest(lifetime(key.Entity.PrimaryKey, primary), lifetime(key.PublicKey, key.SelfSignature))
}

// lifetime returns when a key ends to be good, by one signature on it.
func lifetime(key *packet.PublicKey, sig *packet.Signature) time.Time {
	if sig == nil || sig.KeyLifetimeSecs == nil || *sig.KeyLifetimeSecs == 0 {
		return time.Time{}
	}
	return key.CreationTime.Add(time.Duration(*sig.KeyLifetimeSecs) * time.Second).UTC()
}
