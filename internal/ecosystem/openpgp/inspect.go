package openpgp

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // fingerprints of version 4 and names of mailboxes are made of it
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"sutler/internal/ecosystem"
)

// Limits of what is read: keys with many signatures have some megabytes.
const (
	maxKey     = 16 << 20
	maxPackets = 200_000
)

// alphabet is that of z-base-32, which writes the hashes of mailboxes.
const alphabet = "ybndrfg8ejkmcpqxot1uwisza345h769"

// mailbox returns the hash by which a Web Key Directory names a mailbox.
func mailbox(local string) string {
	sum := sha1.Sum([]byte(strings.ToLower(local))) //nolint:gosec // as above
	return base32.NewEncoding(alphabet).WithPadding(base32.NoPadding).EncodeToString(sum[:])
}

// Inspect checks that a document is one key and nothing else, and the one that was asked
// for. It claims nothing, and does not use src.
func (e *Ecosystem) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, _ func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	if doc.Size > maxKey {
		return ecosystem.Evidence{}, invalid(doc, fmt.Errorf("%d bytes, more than %d", doc.Size, maxKey))
	}
	text, err := io.ReadAll(doc.Reader())
	if err != nil {
		return ecosystem.Evidence{}, err
	}
	c, err := read(text)
	if err != nil {
		return ecosystem.Evidence{}, invalid(doc, err)
	}
	u, err := url.Parse(doc.Resource.URL)
	if err != nil {
		return ecosystem.Evidence{}, invalid(doc, err)
	}
	evidence, err := c.check(doc.Resource.Package, u.Query().Get("l"))
	if err != nil {
		return ecosystem.Evidence{}, invalid(doc, err)
	}
	return evidence, nil
}

// invalid returns err as that of a document that must not be kept.
func invalid(doc ecosystem.Body, err error) error {
	return fmt.Errorf("%w: %s: %w", ecosystem.ErrInvalid, doc.Resource.URL, err)
}

// A certificate is what is read of a key.
type certificate struct {
	primary string   // fingerprint, in upper case
	subkeys []string // likewise
	users   []string
}

// check returns why the certificate is believed to be the one of that name or mailbox.
func (c certificate) check(name, local string) (ecosystem.Evidence, error) {
	switch {
	case name == "":
		if !slices.ContainsFunc(c.users, func(user string) bool { return ofMailbox(user, local) }) {
			return ecosystem.Evidence{}, fmt.Errorf("the key %s is not that of the mailbox %q", c.primary, local)
		}
		return ecosystem.Evidence{Note: "the key " + c.primary + ", which nothing but its origin ties to the name"}, nil
	case name == c.primary:
		return ecosystem.Evidence{Signer: strings.TrimSpace(c.primary + " " + c.user()), Note: "the key has the fingerprint that was asked for"}, nil
	case slices.Contains(c.subkeys, name):
		return ecosystem.Evidence{Note: "the key " + c.primary + " has the subkey that was asked for, which anybody may add to a key"}, nil
	case len(name) == idLength && (id(c.primary) == name || slices.ContainsFunc(c.subkeys, func(s string) bool { return id(s) == name })):
		return ecosystem.Evidence{Note: "the key " + c.primary + " has the id that was asked for, but 64 bits can be forged"}, nil
	}
	return ecosystem.Evidence{}, fmt.Errorf("the key is %s", c.primary)
}

// user returns the first user name, if it is fit to be shown.
func (c certificate) user() string {
	if len(c.users) == 0 || len(c.users[0]) > 200 || strings.ContainsFunc(c.users[0], func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return ""
	}
	return c.users[0]
}

// ofMailbox reports whether a user name, "Name <local@domain>", is that of a mailbox.
func ofMailbox(user, local string) bool {
	if i := strings.LastIndexByte(user, '<'); i >= 0 {
		user, _, _ = strings.Cut(user[i+1:], ">")
	}
	i := strings.LastIndexByte(user, '@')
	return i > 0 && strings.EqualFold(user[:i], local)
}

// id returns the key id of a fingerprint: its end for version 4, its beginning later.
func id(fingerprint string) string {
	if len(fingerprint) == v4Length {
		return fingerprint[v4Length-idLength:]
	}
	return fingerprint[:idLength]
}

// read reads one key, armoured or binary. Anything around it, and a second key, makes it
// invalid: a client that imports the whole would get keys that nobody asked for.
func read(text []byte) (certificate, error) {
	const begin, end = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
	trimmed := bytes.TrimSpace(text)
	if !bytes.HasPrefix(trimmed, []byte(begin)) {
		return packets(bytes.NewReader(text))
	}
	if bytes.Count(trimmed, []byte("-----")) != 4 || !bytes.HasSuffix(trimmed, []byte(end)) {
		return certificate{}, errors.New("more than a key")
	}
	block, err := armor.Decode(bytes.NewReader(trimmed))
	if err != nil {
		return certificate{}, err
	}
	return packets(block.Body)
}

// packets reads the packets of one key. They are taken as they are, because many keys have
// parts by algorithms that no library reads, and clients that do.
func packets(r io.Reader) (certificate, error) {
	var c certificate
	o := packet.NewOpaqueReader(r)
	for n := 0; ; n++ {
		p, err := o.Next()
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return c, nil
		case err != nil:
			return c, err
		case n > maxPackets:
			return c, errors.New("too many packets")
		}
		if err := c.add(n == 0, p); err != nil {
			return c, err
		}
	}
}

// The tags of packets that keys consist of, RFC 9580 section 5.
const (
	tagSignature = 2
	tagPrimary   = 6
	tagMarker    = 10
	tagTrust     = 12
	tagUser      = 13
	tagSubkey    = 14
	tagAttribute = 17
	tagPadding   = 21
)

// add takes in a packet; the first must be the key itself, and only that.
func (c *certificate) add(first bool, p *packet.OpaquePacket) error {
	switch {
	case first != (p.Tag == tagPrimary):
		return fmt.Errorf("a packet of type %d where a key should be, or a second key", p.Tag)
	case p.Tag == tagPrimary || p.Tag == tagSubkey:
		f, err := fingerprint(p.Contents)
		if err != nil {
			return err
		}
		if first {
			c.primary = f
			return nil
		}
		c.subkeys = append(c.subkeys, f)
	case p.Tag == tagUser:
		c.users = append(c.users, strings.ToValidUTF8(string(p.Contents), "\uFFFD"))
	case !slices.Contains([]uint8{tagSignature, tagMarker, tagTrust, tagAttribute, tagPadding}, p.Tag):
		return fmt.Errorf("a packet of type %d, which is no part of a key", p.Tag)
	}
	return nil
}

// fingerprint returns the hash of a key packet, RFC 9580 section 5.5.4.
func fingerprint(body []byte) (string, error) {
	if len(body) == 0 || len(body) > 1<<16-1 {
		return "", fmt.Errorf("a key of %d bytes", len(body))
	}
	switch body[0] {
	case 4:
		h := sha1.New() //nolint:gosec // as above
		h.Write(binary.BigEndian.AppendUint16([]byte{0x99}, uint16(len(body))))
		h.Write(body)
		return strings.ToUpper(hex.EncodeToString(h.Sum(nil))), nil
	case 5, 6:
		h := sha256.New()
		h.Write(binary.BigEndian.AppendUint32([]byte{0x95 + body[0]}, uint32(len(body))))
		h.Write(body)
		return strings.ToUpper(hex.EncodeToString(h.Sum(nil))), nil
	}
	return "", fmt.Errorf("a key of version %d", body[0])
}
