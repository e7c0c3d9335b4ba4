package apt_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/apt"
	"sutler/internal/pgp"
)

const releaseText = "Origin: Example\nSuite: stable\nDate: Sat, 01 Nov 2025 10:00:00 UTC\nValid-Until: Sat, 08 Nov 2025 10:00:00 UTC\nAcquire-By-Hash: yes\n" +
	"MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/weak\nSHA256:\n " + sum + " 4 main/binary-amd64/Packages.xz\n"

// signed is when the releases of the tests were signed.
var signed = time.Date(2025, 11, 1, 10, 0, 0, 0, time.UTC)

// at returns a configuration for something done at a time.
func at(when time.Time) *packet.Config {
	return &packet.Config{Time: func() time.Time { return when }, Algorithm: packet.PubKeyAlgoEdDSA}
}

// newKey makes a key on a day of October 2025; with a lifetime if that is not zero.
func newKey(t *testing.T, name string, lifetime time.Duration) *openpgp.Entity {
	t.Helper()
	config := at(time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC))
	config.KeyLifetimeSecs = uint32(lifetime / time.Second)
	e, err := openpgp.NewEntity(name, "", "archive@repo.example", config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ring returns a binary keyring.
func ring(t *testing.T, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, k := range keys {
		if err := k.Serialize(&b); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// clear returns a text clearsigned by some keys.
func clear(t *testing.T, config *packet.Config, text string, keys ...*openpgp.Entity) string {
	t.Helper()
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.PrivateKey)
	}
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, private, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// TestInRelease checks whose signature counts, and that only what it signs is read.
func TestInRelease(t *testing.T) {
	known, second, stranger := newKey(t, "Known", 0), newKey(t, "Second", 90*24*time.Hour), newKey(t, "Stranger", 0)
	expired, revoked, later := newKey(t, "Expired", 24*time.Hour), newKey(t, "Revoked", 0), newKey(t, "Revoked later", 0)
	revoke(t, revoked, signed.Add(-24*time.Hour), packet.NoReason)
	revoke(t, later, signed.Add(24*time.Hour), packet.KeySuperseded)
	e := apt.New(apt.Options{Keyrings: [][]byte{ring(t, known, expired, revoked, later), []byte("garbage"), ring(t, second)}})
	good := clear(t, at(signed), releaseText, known)
	for _, tt := range []struct {
		name, text string
		want       string // name of the signer; or "unsigned: " or "invalid: " and a part of why
	}{
		{"by a known key", good, "Known"},
		{"by a key of the second keyring", clear(t, at(signed), releaseText, second), "Second"},
		{"by a stranger", clear(t, at(signed), releaseText, stranger), "unsigned: no known key"},
		{"by a stranger and a known key", clear(t, at(signed), releaseText, stranger, known), "Known"},
		{"by an expired and a known key", clear(t, at(signed), releaseText, expired, known), "Known"},
		{"by a revoked and a known key", clear(t, at(signed), releaseText, revoked, known), "Known"},
		{"by two known keys: the one that is good for longer", clear(t, at(signed), releaseText, second, known), "Known"},
		{"by a key that had expired", clear(t, at(signed), releaseText, expired), "unsigned: expired"},
		{"by a revoked key", clear(t, at(signed), releaseText, revoked), "invalid: revoked"},
		{"by a key revoked after the date of the signature", clear(t, at(signed), releaseText, later), "invalid: revoked"},
		{"carriage returns", strings.ReplaceAll(good, "\n", "\r\n"), "Known"},

		{"tampered", strings.Replace(good, sum, "00"+sum[2:], 1), "invalid: signature"},
		{"tampered, also by a stranger", strings.Replace(clear(t, at(signed), releaseText, stranger, known), sum, "00"+sum[2:], 1), "invalid: signature"},
		{"text before", "SHA256:\n " + sum + " 1 main/evil\n" + good, "invalid: no signed message at its start"},
		{"newline before", "\n" + good, "invalid: no signed message at its start"},
		{"text behind", good + "SHA256:\n " + sum + " 1 main/evil\n", "invalid: text behind"},
		{"second message behind", good + good, "invalid: text behind"},
		{"unknown armor header", strings.Replace(good, "Hash: ", "Comment: x\nHash: ", 1), "invalid: not complete"},
		{"signature cut off", good[:strings.Index(good, "-----BEGIN PGP SIGNATURE-----")], "invalid: not complete"},
		{"signature cut short", good[:len(good)-40], "invalid: not complete"},
		{"not signed", releaseText, "invalid: login page"},
		{"login page", "<html>", "invalid: login page"},
		{"empty", "", "invalid: login page"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			paths, ev, err := inspect(t, e, document(t, e, suite+"InRelease", []byte(tt.text)), nil)
			if part, ok := strings.CutPrefix(tt.want, "invalid: "); ok {
				if !errors.Is(err, ecosystem.ErrInvalid) || !strings.Contains(err.Error(), part) || len(paths) > 0 {
					t.Errorf("Inspect = %q, %v; want no claims, and ErrInvalid because of %q", paths, err, part)
				}
				return
			}
			if err != nil || len(paths) != 1 || paths[0] != "/debian/dists/stable/main/binary-amd64/Packages.xz" {
				t.Fatalf("Inspect = %q, %v; want one claim", paths, err)
			}
			if part, ok := strings.CutPrefix(tt.want, "unsigned: "); ok {
				if ev.Signer != "" || !strings.Contains(ev.Note, part) {
					t.Errorf("evidence %+v, want no signer because of %q", ev, part)
				}
			} else if !strings.HasSuffix(ev.Signer, tt.want+" <archive@repo.example>") {
				t.Errorf("evidence %+v, want signer %q", ev, tt.want)
			}
			if !ev.Dated.Equal(signed) || !ev.Expires.Equal(signed.Add(7*24*time.Hour)) {
				t.Errorf("evidence %+v, want the dates of the release", ev)
			}
		})
	}
}

// revoke revokes a key at a time.
func revoke(t *testing.T, key *openpgp.Entity, when time.Time, why packet.ReasonForRevocation) {
	t.Helper()
	if err := key.RevokeKey(why, "test", at(when)); err != nil {
		t.Fatal(err)
	}
}

// TestWeak checks that a signature over a weak hash counts for nothing.
func TestWeak(t *testing.T) {
	// Ed25519 signatures cannot be made over SHA-1 by the library, an RSA key of 1024 bits can.
	config := at(signed.Add(-time.Hour))
	config.Algorithm, config.RSABits = packet.PubKeyAlgoRSA, 1024
	weak, err := openpgp.NewEntity("Weak", "", "archive@repo.example", config)
	if err != nil {
		t.Fatal(err)
	}
	e := apt.New(apt.Options{Keyrings: [][]byte{ring(t, weak)}})
	_, ev, err := inspect(t, e, document(t, e, suite+"InRelease", []byte(clear(t, at(signed), releaseText, weak))), nil)
	if err != nil || ev.Signer != "" || !strings.Contains(ev.Note, "1024 bits") {
		t.Errorf("Inspect = %+v, %v; want no signer because of 1024 bits", ev, err)
	}
}

// TestKeyExpires checks that the expiry of the key bounds how long its signature counts.
func TestKeyExpires(t *testing.T) {
	key := newKey(t, "Known", 90*24*time.Hour)
	want := time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC).Add(90 * 24 * time.Hour)
	text := strings.Replace(releaseText, "Valid-Until: Sat, 08 Nov 2025 10:00:00 UTC\n", "", 1)
	e := apt.New(apt.Options{Keyrings: [][]byte{ring(t, key)}})
	_, ev, err := inspect(t, e, document(t, e, suite+"InRelease", []byte(clear(t, at(signed), text, key))), nil)
	if err != nil || !ev.Expires.Equal(want) {
		t.Errorf("Inspect = %+v, %v; want it to expire with its key at %s", ev, err, want)
	}
}

// TestCopies checks that of several copies of a key the last expiry and each revocation count.
func TestCopies(t *testing.T) {
	key := newKey(t, "Known", 24*time.Hour)
	old := ring(t, key)
	id := key.PrimaryIdentity()
	forever := uint32(0)
	id.SelfSignature.KeyLifetimeSecs = &forever
	id.SelfSignature.CreationTime = signed.Add(-time.Hour)
	if err := id.SelfSignature.SignUserId(id.UserId.Id, key.PrimaryKey, key.PrivateKey, at(signed)); err != nil {
		t.Fatal(err)
	}
	extended := ring(t, key)
	revoke(t, key, signed.Add(-time.Hour), packet.KeyCompromised)
	gone := ring(t, key)
	text := clear(t, at(signed), releaseText, key)
	for _, tt := range []struct {
		name  string
		rings [][]byte
		want  bool
	}{
		{"the old copy alone", [][]byte{old}, false},
		{"old, then extended", [][]byte{old, extended}, true},
		{"extended, then old", [][]byte{extended, old}, true},
		{"extended, then revoked", [][]byte{extended, gone}, false},
		{"revoked, then extended", [][]byte{gone, extended}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := apt.New(apt.Options{Keyrings: tt.rings})
			_, ev, err := inspect(t, e, document(t, e, suite+"InRelease", []byte(text)), nil)
			if got := err == nil && ev.Signer != ""; got != tt.want {
				t.Errorf("Inspect = %+v, %v; want signed: %v", ev, err, tt.want)
			}
		})
	}
}

// TestDetached checks Release with Release.gpg.
func TestDetached(t *testing.T) {
	known, stranger := newKey(t, "Known", 0), newKey(t, "Stranger", 0)
	e := apt.New(apt.Options{Keyrings: [][]byte{ring(t, known)}})
	detach := func(key *openpgp.Entity, sign func(io.Writer, *openpgp.Entity, io.Reader, *packet.Config) error) string {
		var b bytes.Buffer
		if err := sign(&b, key, strings.NewReader(releaseText), at(signed)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	damaged := []byte(detach(known, openpgp.DetachSign))
	flip(damaged, len(damaged)-1)
	for _, tt := range []struct {
		name, signature string
		want            string
	}{
		{"armored", detach(known, openpgp.ArmoredDetachSign), "Known"},
		{"binary", detach(known, openpgp.DetachSign), "Known"},
		{"two in one file", detach(stranger, openpgp.DetachSign) + detach(known, openpgp.DetachSign), "Known"},
		{"by a stranger", detach(stranger, openpgp.ArmoredDetachSign), "unsigned: no known key"},
		{"none", "", "unsigned: no such document"},
		{"of another file", strings.Replace(clear(t, at(signed), "x", known), "x", "y", 1), "invalid: not an OpenPGP signature"},
		{"damaged", string(damaged), "invalid: signature"},
		{"cut short", detach(known, openpgp.DetachSign)[:50], "invalid: signature"},
		{"a key beside it", detach(known, openpgp.DetachSign) + string(ring(t, known)), "invalid: something else"},
		{"login page", "<html>", "invalid: signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := siblings{}
			if tt.signature != "" {
				src[suite+"Release.gpg"] = tt.signature
			}
			_, ev, err := inspect(t, e, document(t, e, suite+"Release", []byte(releaseText)), src)
			part, bad := strings.CutPrefix(tt.want, "invalid: ")
			why, unsigned := strings.CutPrefix(tt.want, "unsigned: ")
			switch {
			case bad && (!errors.Is(err, ecosystem.ErrInvalid) || !strings.Contains(err.Error(), part)):
				t.Errorf("Inspect = %v, want ErrInvalid because of %q", err, part)
			case unsigned && (err != nil || ev.Signer != "" || !strings.Contains(ev.Note, why)):
				t.Errorf("Inspect = %+v, %v; want no signer because of %q", ev, err, why)
			case !bad && !unsigned && (err != nil || !strings.Contains(ev.Signer, tt.want)):
				t.Errorf("Inspect = %+v, %v; want signer %q", ev, err, tt.want)
			}
		})
	}
}

// TestReleaseText checks what is made of the text of a release, signed or not.
func TestReleaseText(t *testing.T) {
	const file = "/debian/dists/stable/main/binary-amd64/Packages.xz"
	swap := func(old, with string) string { return strings.Replace(releaseText, old, with, 1) }
	for _, tt := range []struct{ name, text, want string }{
		{"good", releaseText, file},
		{"SHA-512 only", swap("SHA256:\n "+sum, "SHA512:\n "+sum+sum), file},
		{"weak digests only", swap("SHA256:\n "+sum, "SHA1:\n "+sum[:40]), ""},
		{"no digests at all", "Suite: stable\n", ""},
		{"one digit in the day", swap("01 Nov", " 1 Nov"), file},
		{"numeric zone", swap("UTC\nValid", "+0000\nValid"), file},
		{"no Valid-Until", swap("Valid-Until: Sat, 08 Nov 2025 10:00:00 UTC\n", ""), file},
		{"unknown zone", swap("UTC\nValid", "CEST\nValid"), "invalid: not a date"},
		{"no date", swap("Sat, 01 Nov 2025 10:00:00 UTC", "yesterday"), "invalid: not a date"},
		{"climbing", swap("main/binary", "../../binary"), "invalid: outside"},
		{"climbing, encoded", swap("main/binary", "%2e%2e/binary"), "invalid: outside"},
		{"absolute", swap("main/binary", "/main/binary"), "invalid: outside"},
		{"short digest", swap(sum, sum[1:]), "invalid: under SHA256"},
		{"negative size", swap(" 4 ", " -4 "), "invalid: under SHA256"},
		{"name with a space", swap("Packages.xz", "Packages .xz"), "invalid: under SHA256"},
		{"not a release", "Package: a\n", "invalid: no field of a release"},
		{"login page", "<html>\n<body>\n", "invalid: login page"},
		{"empty", "", "invalid: no field of a release"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := apt.New(apt.Options{})
			paths, ev, err := inspect(t, e, document(t, e, suite+"Release", []byte(tt.text)), siblings{})
			part, bad := strings.CutPrefix(tt.want, "invalid: ")
			switch {
			case bad && (!errors.Is(err, ecosystem.ErrInvalid) || !strings.Contains(err.Error(), part)):
				t.Errorf("Inspect = %q, %v; want ErrInvalid because of %q", paths, err, part)
			case !bad && (err != nil || strings.Join(paths, " ") != tt.want):
				t.Errorf("Inspect = %q, %v; want %q", paths, err, tt.want)
			case !bad && tt.want == "" && !strings.Contains(ev.Note, "states no SHA-256"):
				t.Errorf("evidence %+v does not say that digests are missing", ev)
			}
		})
	}
}

func TestCheckKeyring(t *testing.T) {
	a, b := newKey(t, "A", 0), newKey(t, "B", 0)
	armored := func(key *openpgp.Entity) []byte {
		var out bytes.Buffer
		w, err := armor.Encode(&out, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(ring(t, key)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return append(out.Bytes(), '\n')
	}
	for _, tt := range []struct {
		name string
		ring []byte
		want int
	}{
		{"binary", ring(t, a, b), 2},
		{"armored", armored(a), 1},
		{"armored, one behind the other", append(armored(a), armored(b)...), 2},
		{"empty", nil, 0},
		{"garbage", []byte("KBXf garbage"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := pgp.Check(tt.ring)
			if n != tt.want || (err == nil) != (tt.want > 0) {
				t.Errorf("Check = %d, %v; want %d keys", n, err, tt.want)
			}
		})
	}
}
