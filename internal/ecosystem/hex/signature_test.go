package hex

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"sutler/internal/ecosystem"
)

func TestPublicKey(t *testing.T) {
	if k := publicKey(); k == nil || k.N.BitLen() != 2048 {
		t.Errorf("the public repository's key is %+v", k)
	}
}

// field appends a field that holds bytes.
func field(b []byte, num protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// signed returns a document with that payload, signed by key.
func signed(t *testing.T, key *rsa.PrivateKey, payload []byte) string {
	t.Helper()
	sum := sha512.Sum512(payload)
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA512, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return packed(t, field(field(nil, 1, string(payload)), 2, string(sig)))
}

func packed(t *testing.T, b []byte) string {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// releasesOf is the list of one release of pad.
func releasesOf(repository string) []byte {
	sum := sha256.Sum256(nil)
	r := field(field(nil, 1, "1.0.0"), 5, string(sum[:]))
	r = protowire.AppendVarint(protowire.AppendTag(r, 9, protowire.VarintType), 7) // a field that we do not know
	return field(field(field(nil, 1, string(r)), 2, "pad"), 3, repository)
}

func TestSignature(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e := New(Options{Hosts: []string{"mirror.example"}})
	e.key = &key.PublicKey
	public, mirror := e.Profile().Mounts[0].Origin, "https://mirror.example/"
	forged := field(field(nil, 1, string(releasesOf(publicName))), 2, strings.Repeat("x", 256))
	for _, tt := range []struct {
		name, url, text, signer string
		ok                      bool
		claims                  int
	}{
		{"public", public + "packages/pad", signed(t, key, releasesOf(publicName)), publicName, true, 1},
		{"mirror of it", mirror + "packages/pad", signed(t, key, releasesOf(publicName)), publicName, true, 1},
		{"another key", mirror + "packages/pad", signed(t, other, releasesOf(publicName)), "", false, 0},
		{"no signature", mirror + "packages/pad", packed(t, field(nil, 1, string(releasesOf(publicName)))), "", false, 0},
		{"forged", public + "packages/pad", packed(t, forged), "", false, 0},
		{"another repository", mirror + "packages/pad", signed(t, other, releasesOf("acme")), "", true, 1},
		{"an organisation", public + "repos/acme/packages/pad", signed(t, key, releasesOf("acme")), "", true, 1},
		{"another repository in its place", public + "packages/pad", signed(t, other, releasesOf("acme")), "", false, 0},
		{"no repository", mirror + "packages/pad", signed(t, key, releasesOf("")), "", false, 0},
		{"names", public + "names", signed(t, key, field(nil, 2, publicName)), publicName, true, 0},
		{"versions, another key", public + "versions", signed(t, other, field(nil, 2, publicName)), "", false, 0},
		{"not compressed", public + "versions", "<html>", "", false, 0},
		{"no message", public + "versions", packed(t, []byte{0xff}), "", false, 0},
		{"bomb", public + "versions", packed(t, make([]byte, maxUnpacked+1)), "", false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
			if err != nil {
				t.Fatal(err)
			}
			claims := 0
			ev, err := e.Inspect(t.Context(), ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(tt.text), Size: int64(len(tt.text))}, nil,
				func(ecosystem.Claim) error { claims++; return nil })
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, ecosystem.ErrInvalid) || claims != tt.claims {
				t.Errorf("Inspect = %v, %d claims; want ok %t, %d", err, claims, tt.ok, tt.claims)
			}
			if !strings.HasPrefix(ev.Signer, tt.signer) || tt.signer == "" && ev.Signer != "" {
				t.Errorf("Signer = %q, want %q", ev.Signer, tt.signer)
			}
		})
	}
}
