package ca

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBundle(t *testing.T) {
	at := &clock{t: start}
	c := open(t, folder(t), at.now, "registry.example")
	other := open(t, folder(t), at.now, "other.example")
	for _, system := range []string{"", string(other.Root()), strings.TrimSuffix(string(other.Root()), "\n")} {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(c.Bundle([]byte(system))) {
			t.Fatal("no certificate in the bundle")
		}
		want := x509.NewCertPool()
		want.AppendCertsFromPEM([]byte(system))
		want.AddCert(c.root)
		if !pool.Equal(want) {
			t.Errorf("Bundle(%d bytes) is not system and root", len(system))
		}
	}
}

func TestSystemRoots(t *testing.T) {
	dir := t.TempDir()
	at := &clock{t: start}
	c := open(t, folder(t), at.now, "registry.example")
	good, junk, none := filepath.Join(dir, "good"), filepath.Join(dir, "junk"), filepath.Join(dir, "none")
	if err := errors.Join(os.WriteFile(good, c.Root(), 0o600), os.WriteFile(junk, []byte("no PEM"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, first string
		files       []string
		want        string
	}{
		{"the environment comes first", good, []string{junk}, good},
		{"files without roots are passed over", none, []string{junk, good}, good},
		{"none", "", []string{none, junk}, EmbeddedRoots},
	} {
		roots, source := systemRoots(tt.first, tt.files)
		if source != tt.want {
			t.Errorf("%s: source = %s, want %s", tt.name, source, tt.want)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(roots) {
			t.Errorf("%s: no certificate in %d bytes", tt.name, len(roots))
		}
	}
	if n := bytes.Count(embeddedRoots(), []byte("BEGIN CERTIFICATE")); n < 80 {
		t.Errorf("%d embedded roots, want the public ones", n)
	}
}

func TestInfoHoldsNoSecret(t *testing.T) {
	at := &clock{t: start}
	dir := folder(t)
	i := open(t, dir, at.now, "registry.example", "*.files.example").Info()
	if i.Path != filepath.Join(dir, fileName) || !i.Created.Equal(start) || !i.Expires.Equal(start.Add(issuerLife)) || len(i.Fingerprint) != 64 {
		t.Errorf("Info = %+v", i)
	}
	if !slices.Equal(i.Names, []string{"*.files.example", "registry.example"}) {
		t.Errorf("Names = %q", i.Names)
	}
}
