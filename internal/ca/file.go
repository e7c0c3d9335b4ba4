package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fileName is the one file of an authority: root, intermediate, key of the intermediate.
// One file, replaced by a rename, is always of one authority.
const fileName = "ca.pem"

// nextName is the file of the authority that signs next; it is there while a rotation runs.
const nextName = "next.pem"

// maxFile bounds what is read, bytes. 4,000 names take less than half of it.
const maxFile = 1 << 20

// namesHeader carries the list as given: the constraints alone do not tell "*.x" from "x".
const namesHeader = "Names"

// startsHeader says when the authority in nextName begins to sign.
const startsHeader = "Starts"

// openFolder opens dir, making it if it is absent, and refuses it if others than the
// owner of the process can look into it.
func openFolder(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of the local authority: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of the local authority: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%w: %s is not a directory", ErrLoose, dir)
	}
	if err := private(dir, info, "0700"); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// private returns an error wrapping ErrLoose unless the owner of the process owns the file
// and nobody else can reach it. want is the mode to suggest.
func private(path string, info fs.FileInfo, want string) error {
	if m := info.Mode().Perm(); m&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %04o; run: chmod %s %s", ErrLoose, path, m, want, path)
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to another user", ErrLoose, path)
	}
	return nil
}

// readKey returns a file's content, after the checks that private makes.
func readKey(folder *os.Root, name string) ([]byte, error) {
	info, err := folder.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrLoose, name)
	}
	if err := private(folder.Name()+string(os.PathSeparator)+name, info, "0600"); err != nil {
		return nil, err
	}
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing is lost
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// writeKey replaces a file by one that the owner alone can read, durably.
func writeKey(folder *os.Root, name string, text []byte) error {
	fresh := name + ".new"
	if err := folder.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := folder.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := folder.Rename(fresh, name); err != nil {
		return err
	}
	return syncFolder(folder)
}

// syncFolder makes renames in a folder durable.
func syncFolder(folder *os.Root) error {
	d, err := folder.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// promote makes the next authority the one that signs. destroy overwrites the key of the old
// one, whose file has lost its name by then, so that there is a whole authority at any time.
func promote(folder *os.Root) (destroy func() error, err error) {
	old, err := folder.OpenFile(fileName, os.O_WRONLY, 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := folder.Rename(nextName, fileName); err != nil {
		if old != nil {
			_ = old.Close() // nothing was written
		}
		return nil, err
	}
	return func() error {
		err := syncFolder(folder)
		if old == nil {
			return err
		}
		return errors.Join(err, wipe(old), old.Close())
	}, nil
}

// wipe overwrites a file with zeros. File systems that write elsewhere and disks that wear
// out evenly may keep the old bytes for a while; no program can help that.
func wipe(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, info.Size()), 0)
	return errors.Join(err, f.Sync())
}

// discardNext removes what is left of a rotation that cannot go on.
func discardNext(folder *os.Root) error {
	err := folder.Remove(nextName)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// encode returns the file of c.
func encode(c *signer) ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, err
	}
	issuer := &pem.Block{Type: "CERTIFICATE", Bytes: c.issuer.Raw,
		Headers: map[string]string{namesHeader: strings.Join(c.names, " ")}}
	if !c.starts.IsZero() {
		issuer.Headers[startsHeader] = c.starts.UTC().Format(time.RFC3339)
	}
	return slices.Concat(encodeCertificate(c.root), pem.EncodeToMemory(issuer),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), nil
}

// decode reads the file of an authority and checks that its three parts belong together
// and that it may issue for exactly the names it says.
func decode(text []byte) (*signer, error) {
	var blocks []*pem.Block
	for len(blocks) < 4 {
		b, rest := pem.Decode(text)
		if b == nil {
			break
		}
		blocks, text = append(blocks, b), rest
	}
	if len(blocks) != 3 {
		return nil, fmt.Errorf("%d PEM blocks, want 3", len(blocks))
	}
	root, err := x509.ParseCertificate(blocks[0].Bytes)
	if err != nil {
		return nil, err
	}
	issuer, err := x509.ParseCertificate(blocks[1].Bytes)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(blocks[2].Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(issuer.PublicKey) {
		return nil, errors.New("the key is not that of the intermediate")
	}
	names, err := Names(strings.Fields(blocks[1].Headers[namesHeader]))
	if err != nil {
		return nil, err
	}
	c := &signer{names: names, root: root, issuer: issuer, key: key}
	if text := blocks[1].Headers[startsHeader]; text != "" {
		if c.starts, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, err
		}
	}
	return c, c.consistent()
}

// consistent returns an error unless root signed the intermediate and both are constrained
// to the names, critically.
func (c *signer) consistent() error {
	if err := c.issuer.CheckSignatureFrom(c.root); err != nil {
		return err
	}
	if bytes.Equal(c.root.RawSubjectPublicKeyInfo, c.issuer.RawSubjectPublicKeyInfo) {
		return errors.New("the key of the root was kept")
	}
	want := constraints(c.names)
	for _, cert := range []*x509.Certificate{c.root, c.issuer} {
		if !cert.PermittedDNSDomainsCritical || !slices.Equal(cert.PermittedDNSDomains, want) {
			return fmt.Errorf("%q is not constrained to the names of the list", cert.Subject.CommonName)
		}
	}
	return nil
}
