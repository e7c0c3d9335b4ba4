package apk

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"sutler/internal/adb"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
)

// The members of the tree of an index, and of each package in it.
const (
	indexPackages = 2
	indexNameSpec = 3

	infoName     = 1
	infoVersion  = 2
	infoHash     = 3
	infoArch     = 5
	infoFileSize = 13
)

// index3 checks an index of version 3, and emits what it lists.
func (in *inspection) index3(ctx context.Context, keys keyring, doc ecosystem.Body) (evidence ecosystem.Evidence, err error) {
	f, err := adb.NewReader(doc, doc.Size)
	if err != nil {
		return evidence, err
	}
	defer f.Close()
	switch {
	case f.Schema != adb.Index:
		return evidence, fmt.Errorf("it is no index, but %q", f.Schema)
	case f.HasData():
		return evidence, errors.New("an index with data")
	}
	if evidence.Signer, evidence.Note, err = keys.verify3(f); err != nil {
		return evidence, err
	}
	root := f.Tree.Root()
	if spec := root.At(indexNameSpec).Bytes(); spec != nil {
		evidence.Note = fmt.Sprintf("its packages are not known: they are named %.100q", spec)
		return evidence, nil
	}
	packages := root.At(indexPackages)
	for i := 1; i <= packages.Len(); i++ {
		if err := in.claim(ctx, recordOf(packages.At(i))); err != nil {
			return evidence, err
		}
	}
	return evidence, nil
}

// recordOf returns what an index says of one package. Those of version 2 of the format have
// the SHA-1 of their control member there.
func recordOf(info adb.Value) record {
	r := record{name: string(info.At(infoName).Bytes()), version: string(info.At(infoVersion).Bytes()),
		arch: string(info.At(infoArch).Bytes()), size: -1}
	if n := info.At(infoFileSize).Int(); n > 0 && n <= math.MaxInt64 {
		r.size = int64(n)
	}
	sum := hex.EncodeToString(info.At(infoHash).Bytes())
	var err error
	if r.digest, err = digest.New(digest.ADB, sum); err != nil {
		r.digest, _ = digest.New(digest.APK, sum) // "" for a digest of another length
	}
	return r
}

// A signature of version 3 has its version, the algorithm of the digest that it signs and
// the id of the key before it.
const (
	signatureHeader = 2 + 16
	digestSHA256    = 3
	digestSHA512    = 4
)

// verify3 checks the signatures of a tree, as verify does.
func (k keyring) verify3(f *adb.Reader) (signer, note string, err error) {
	note = "not signed"
	for _, s := range f.Signatures {
		if len(s) < signatureHeader || s[0] != 0 {
			continue
		}
		note = fmt.Sprintf("signed by no known key, but by that of id %x", s[2:signatureHeader])
		payload := payloadOf(f, s)
		for _, key := range k {
			if payload == nil || string(key.id[:]) != string(s[2:signatureHeader]) {
				continue
			}
			if key.verifies(payload, s[signatureHeader:]) {
				return key.fingerprint + " " + key.name, "", nil
			}
			err = fmt.Errorf("the signature by %s does not hold", key.name)
		}
	}
	return "", note, err
}

// payloadOf returns the SHA-512 of what a signature signs: schema, its own header and a
// digest of the tree; nil if it signs a digest that does not count.
func payloadOf(f *adb.Reader, s []byte) []byte {
	payload := append([]byte(f.Schema), s[:signatureHeader]...)
	switch s[1] {
	case digestSHA256:
		sum := sha256.Sum256(f.Tree)
		payload = append(payload, sum[:]...)
	case digestSHA512:
		sum := sha512.Sum512(f.Tree)
		payload = append(payload, sum[:]...)
	default:
		return nil
	}
	sum := sha512.Sum512(payload)
	return sum[:]
}

// verifies reports whether a signature of a SHA-512 is by the key.
func (p publicKey) verifies(sum, signature []byte) bool {
	if p.ecdsa != nil {
		return ecdsa.VerifyASN1(p.ecdsa, sum, signature)
	}
	return rsa.VerifyPKCS1v15(p.rsa, crypto.SHA512, sum, signature) == nil
}
