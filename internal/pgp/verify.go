package pgp

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"sutler/internal/ecosystem"
)

const (
	maxSignatures = 32   // in one release; Debian makes three
	minRSA        = 2048 // bits of a key that counts
	signatureTag  = 2    // of the packet, RFC 9580 section 5

	maxSignature = 16 << 20 // bytes of a detached one
)

// A Verdict says who signed a document, or why nobody known did.
type Verdict struct {
	Signer  string    // fingerprint and name, "" if no known key signed it
	Expires time.Time // when that key ends to be good, zero for never
	Note    string
}

// Clearsigned returns the text that a clearsigned document signs. Bytes beside the signed
// message make it invalid: its client would not read them, but something else might.
func (k Keyring) Clearsigned(raw []byte) ([]byte, Verdict, error) {
	if !bytes.HasPrefix(raw, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, Verdict{}, invalid("no signed message at its start (a login page?)")
	}
	block, rest := clearsign.Decode(raw)
	if block == nil || block.ArmoredSignature.Type != openpgp.SignatureType {
		return nil, Verdict{}, invalid("the signed message is not complete")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, Verdict{}, invalid("text behind the signed message")
	}
	packets, err := io.ReadAll(block.ArmoredSignature.Body)
	if err != nil {
		return nil, Verdict{}, invalid("signature: %w", err)
	}
	signed, err := k.verify(block.Bytes, packets)
	return block.Plaintext, signed, err
}

// dearmor returns the packets of a detached signature, armored or not.
func dearmor(b []byte) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN ")) {
		return b, nil
	}
	block, err := armor.Decode(bytes.NewReader(b))
	if err != nil || block.Type != openpgp.SignatureType {
		return nil, invalid("not an OpenPGP signature: %v", err)
	}
	packets, err := io.ReadAll(block.Body)
	if err != nil {
		return nil, invalid("signature: %w", err)
	}
	return packets, nil
}

// CheckSignature refuses a detached signature, armored or not, that is none.
func CheckSignature(b []byte) error {
	packets, err := dearmor(b)
	if err != nil {
		return err
	}
	_, err = split(packets)
	return err
}

// split returns the signatures in a sequence of packets, each as a sequence of its own.
func split(packets []byte) ([][]byte, error) {
	var all [][]byte
	for r := packet.NewOpaqueReader(bytes.NewReader(packets)); ; {
		p, err := r.Next()
		if errors.Is(err, io.EOF) && len(all) > 0 {
			return all, nil
		}
		var b bytes.Buffer
		if err == nil {
			err = p.Serialize(&b)
		}
		if err != nil {
			return nil, invalid("signature: %w", err)
		}
		if p.Tag != signatureTag || len(all) == maxSignatures {
			return nil, invalid("more than %d signatures, or something else beside them", maxSignatures)
		}
		all = append(all, b.Bytes())
	}
}

// Detached says who signed a message, by a detached signature, armored or not.
func (k Keyring) Detached(message, signature []byte) (Verdict, error) {
	packets, err := dearmor(signature)
	if err != nil {
		return Verdict{}, err
	}
	return k.verify(message, packets)
}

// Beside verifies a message by the detached signature that src has as another document.
// Without one it is unsigned, and the note says why.
func (k Keyring) Beside(ctx context.Context, message []byte, src ecosystem.Source, signature ecosystem.Resource) (Verdict, error) {
	body, err := src.Document(ctx, signature)
	switch {
	case ctx.Err() != nil:
		return Verdict{}, ctx.Err()
	case err != nil:
		return Verdict{Note: "not signed: " + err.Error()}, nil
	case body.Size > maxSignature:
		return Verdict{}, invalid("a signature of %d bytes", body.Size)
	}
	armored, err := io.ReadAll(body.Reader())
	if err != nil {
		return Verdict{}, err
	}
	return k.Detached(message, armored)
}

// verify says who signed a message. One good signature by a known key is enough. If there
// is none, a bad one by a known key, and one by a revoked key, make the message invalid.
func (k Keyring) verify(message, packets []byte) (Verdict, error) {
	signatures, err := split(packets)
	if err != nil {
		return Verdict{}, err
	}
	var best Verdict
	var notes []string
	var refusal error
	for _, sig := range signatures {
		v, err := k.one(message, sig)
		switch {
		case err != nil:
			refusal = err
		case v.Signer == "":
			notes = append(notes, v.Note)
		case best.Signer == "" || !best.Expires.IsZero() && (v.Expires.IsZero() || v.Expires.After(best.Expires)):
			best = v
		}
	}
	switch {
	case best.Signer != "":
		return best, nil
	case refusal != nil:
		return Verdict{}, refusal
	}
	return Verdict{Note: strings.Join(notes, "; ")}, nil
}

// one checks one signature. Whether a key has expired is asked for the time of the
// signature; whoever believes the verdict compares its expiry with the clock.
func (k Keyring) one(message, raw []byte) (Verdict, error) {
	p, err := packet.Read(bytes.NewReader(raw))
	sig, ok := p.(*packet.Signature)
	if err != nil || !ok || sig.IssuerKeyId == nil {
		return Verdict{Note: fmt.Sprintf("a signature that cannot be read (%v)", err)}, nil
	}
	keys := k.entities.KeysByIdUsage(*sig.IssuerKeyId, packet.KeyFlagSign)
	if len(keys) == 0 {
		return Verdict{Note: "signed by " + issuer(sig) + ", which is no known key"}, nil
	}
	if weak := weakness(sig, keys); weak != "" {
		return Verdict{Note: "signed by " + issuer(sig) + " with " + weak + ", which does not count"}, nil
	}
	at := &packet.Config{Time: func() time.Time { return sig.CreationTime }}
	_, signer, err := openpgp.VerifyDetachedSignature(k.entities, bytes.NewReader(message), bytes.NewReader(raw), at)
	for _, key := range keys {
		if err == nil && key.Entity == signer && isRevoked(key) {
			err = pgperrors.ErrKeyRevoked
		}
	}
	switch {
	case errors.Is(err, pgperrors.ErrKeyExpired), errors.Is(err, pgperrors.ErrSignatureExpired):
		return Verdict{Note: "signed by " + issuer(sig) + ", which had expired (" + err.Error() + ")"}, nil
	case err != nil:
		return Verdict{}, invalid("signature by %s: %w", issuer(sig), err)
	}
	return accepted(sig, signer, keys), nil
}

// accepted returns the verdict on a good signature.
func accepted(sig *packet.Signature, signer *openpgp.Entity, keys []openpgp.Key) Verdict {
	v := Verdict{Signer: fmt.Sprintf("%X", signer.PrimaryKey.Fingerprint)}
	if id := signer.PrimaryIdentity(); id != nil {
		v.Signer += " " + id.Name
	}
	for _, key := range keys {
		if key.Entity == signer {
			v.Expires = Earliest(v.Expires, expiry(key))
		}
	}
	if s := sig.SigLifetimeSecs; s != nil && *s > 0 {
		v.Expires = Earliest(v.Expires, sig.CreationTime.Add(time.Duration(*s)*time.Second).UTC())
	}
	return v
}

// weakness names what makes a signature count for nothing, "" if it counts.
func weakness(sig *packet.Signature, keys []openpgp.Key) string {
	switch sig.Hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
	default:
		return sig.Hash.String()
	}
	for _, key := range keys {
		bits, err := key.PublicKey.BitLength()
		switch a := key.PublicKey.PubKeyAlgo; {
		case err != nil:
		case a == packet.PubKeyAlgoDSA, (a == packet.PubKeyAlgoRSA || a == packet.PubKeyAlgoRSASignOnly) && bits < minRSA:
			return fmt.Sprintf("a key of %d bits", bits)
		}
	}
	return ""
}

// issuer names the key that a signature says it is by.
func issuer(sig *packet.Signature) string {
	if len(sig.IssuerFingerprint) > 0 {
		return fmt.Sprintf("%X", sig.IssuerFingerprint)
	}
	return fmt.Sprintf("%016X", *sig.IssuerKeyId)
}

// Earliest returns the earlier of two times, of which a zero one is never.
func Earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// invalid returns an error that wraps ecosystem.ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ecosystem.ErrInvalid, fmt.Errorf(format, args...))
}
