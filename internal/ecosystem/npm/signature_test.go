package npm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem"
)

// TestPublicKeys checks that the fixed keys have the ids that they are listed under: an id
// is the fingerprint that OpenSSH shows for the key.
func TestPublicKeys(t *testing.T) {
	keys := publicKeys()
	if len(keys) != 2 {
		t.Fatalf("%d keys are read, want 2", len(keys))
	}
	for id, key := range keys {
		point, err := key.public.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		var wire []byte
		for _, part := range [][]byte{[]byte("ecdsa-sha2-nistp256"), []byte("nistp256"), point} {
			wire = binary.BigEndian.AppendUint32(wire, uint32(len(part)))
			wire = append(wire, part...)
		}
		sum := sha256.Sum256(wire)
		if got := "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]); got != id {
			t.Errorf("key %s is listed as %s", got, id)
		}
	}
}

// real is a version as the public registry states it, with its signature.
func real() *listing {
	const integrity = "sha512-Ft/TASRTCMIR20eeGtXIx7W+TfAbw/LkG7D3Pw5rncxaF1LCei/WVgO2qxsJiOROZb7JABl6Z8N2pEHjNONt9A=="
	const key = "SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA"
	const sig = "MEUCIGBqTtBRc6/6dqmI2lc+kmJRw4bB5kGHp5dM0fQH3V5pAiEA18DczU8X1bgDIkckzUOYpzWgZZJeQnpbgdPp9WtLnwY="
	return &listing{
		name:     "is-even",
		releases: []release{{version: "0.1.2", integrity: integrity, signatures: []signature{{key, sig}}}},
		times:    map[string]string{"0.1.2": "2017-05-30T01:06:15.000Z"},
	}
}

func TestSignatureOfPublicRegistry(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*listing)
		signed bool
		err    error
	}{
		{"as published", func(*listing) {}, true, nil},
		{"no time stated", func(l *listing) { l.times = nil }, true, nil},
		{"published after the key ended", func(l *listing) { l.times["0.1.2"] = "2026-01-01T00:00:00Z" }, false, nil},
		{"unknown key", func(l *listing) { l.releases[0].signatures[0].key = "SHA256:other" }, false, nil},
		{"no signature", func(l *listing) { l.releases[0].signatures = nil }, false, nil},
		{"one of two versions", func(l *listing) { l.releases = append(l.releases, release{version: "2.0.0"}) }, false, nil},
		{"too many to check", func(l *listing) {
			l.releases[0].signatures[0].value = "MEUC"
			l.releases = slices.Repeat(l.releases, maxVerified+1)
		}, false, nil},
		{"no version", func(l *listing) { l.releases = nil }, false, nil},
		{"another package", func(l *listing) { l.name = "is-odd" }, false, ecosystem.ErrInvalid},
		{"another version", func(l *listing) { l.releases[0].version = "0.1.3" }, false, ecosystem.ErrInvalid},
		{"another integrity", func(l *listing) { l.releases[0].integrity = "sha512-AA==" }, false, ecosystem.ErrInvalid},
		{"damaged signature", func(l *listing) { l.releases[0].signatures[0].value = "MEUC" }, false, ecosystem.ErrInvalid},
		{"signature of another kind", func(l *listing) { l.releases[0].signatures[0].value = "?" }, false, ecosystem.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := real()
			tt.change(l)
			ev, err := publicKeys().check(t.Context(), l)
			if !errors.Is(err, tt.err) || (ev.Signer != "") != tt.signed {
				t.Errorf("check = %+v, %v, want signed %v, %v", ev, err, tt.signed, tt.err)
			}
		})
	}
}

// TestInspectSigned checks a whole packument, and that one bad signature spoils it.
func TestInspectSigned(t *testing.T) {
	const page = "https://registry.example/pad"
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const integrity = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
	sum := sha256.Sum256([]byte("pad@1.0.0:" + integrity))
	sig, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	text := `{"name":"pad","versions":{"1.0.0":{"dist":{"integrity":"` + integrity + `","tarball":"` + page + `/-/pad-1.0.0.tgz","signatures":[{"keyid":"k","sig":"` +
		base64.StdEncoding.EncodeToString(sig) + `"}]}}},"time":{"1.0.0":"2026-01-01T00:00:00Z"}}`
	e := New(Options{Hosts: []string{"registry.example"}})
	e.keys = keyring{"k": registryKey{public: &private.PublicKey}}
	doc := func(text string) ecosystem.Body {
		return ecosystem.Body{
			Resource: packument("https://registry.example/", "pad"), ReaderAt: strings.NewReader(text), Size: int64(len(text)),
		}
	}
	claims := 0
	count := func(c ecosystem.Claim) error {
		claims++
		if want := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); !c.Published.Equal(want) {
			t.Errorf("published %v, want %v", c.Published, want)
		}
		return nil
	}
	ev, err := e.Inspect(t.Context(), doc(text), nil, count)
	if err != nil || ev.Signer != "npm registry key k" || claims != 1 {
		t.Errorf("Inspect = %+v, %v, %d claims", ev, err, claims)
	}
	bad := strings.ReplaceAll(text, "z4PhNX7vuL3x", "z4PhNX7vuL3y")
	if _, err := e.Inspect(t.Context(), doc(bad), nil, count); !errors.Is(err, ecosystem.ErrInvalid) || claims != 1 {
		t.Errorf("Inspect with another integrity = %v, %d claims, want ErrInvalid before any claim", err, claims)
	}
}

func BenchmarkVerify(b *testing.B) {
	keys, l := publicKeys(), real()
	for b.Loop() {
		if _, err := keys.check(b.Context(), l); err != nil {
			b.Fatal(err)
		}
	}
}
