package apk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

// TestPublicKeys checks that every key that is part of the program can be used.
func TestPublicKeys(t *testing.T) {
	keys := publicKeys()
	if len(keys) != 18 {
		t.Errorf("%d keys, want the 18 of alpine-keys 2.5", len(keys))
	}
	for _, k := range keys {
		if err := CheckKey(k); err != nil {
			t.Errorf("%s: %v", k.Name, err)
		}
		if !strings.HasPrefix(k.Name, "alpine-devel@") || !strings.HasSuffix(k.Name, ".rsa.pub") {
			t.Errorf("%q is no name that signatures state", k.Name)
		}
	}
}

// file returns a public key as a file.
func file(t *testing.T, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// TestKeyring checks which keys count: two of one name both do.
func TestKeyring(t *testing.T) {
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := newKeyring(append(publicKeys(), Key{"a", file(t, &long.PublicKey)}, Key{publicKeys()[0].Name, file(t, &long.PublicKey)},
		Key{"short", file(t, &short.PublicKey)}, Key{"curve", file(t, &curve.PublicKey)},
		Key{"text", []byte("no key")}, Key{"empty", []byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")}))
	for name, want := range map[string]int{"a": 1, publicKeys()[0].Name: 2, publicKeys()[1].Name: 1, "short": 0, "curve": 0, "text": 0, "empty": 0} {
		if got := len(ring.named(name)); got != want {
			t.Errorf("%d keys named %s, want %d", got, name, want)
		}
	}
}
