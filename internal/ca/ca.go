// Package ca is the local certificate authority that lets sutler answer for the hosts of
// package registries, and for nothing else.
//
// A root, valid for ten years, signs one intermediate, valid for one year. Both are
// constrained to the same list of DNS names, critically, and to no IP address; the key of
// the root is dropped as soon as it has signed, and never written. What is on the disk can
// therefore impersonate the listed hosts, for at most a year, to clients that were told to
// trust it. The constraint is on the intermediate too because some verifiers (Java's) do
// not apply those of a trust anchor.
//
// The list cannot grow: another name means another authority, and [Open] says so. Leaves
// are made on demand, for one name each, live two days, and stay in memory.
package ca

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

var (
	// ErrLoose means that others than the owner can reach the directory or the key file.
	ErrLoose = errors.New("permissions are too loose")
	// ErrName means that a name is not one that the authority may answer for.
	ErrName = errors.New("name is outside the authority's list")
	// ErrExpired means that the authority ended while the process ran; a restart makes another.
	ErrExpired = errors.New("local authority has expired")
)

// errUnusable is wrapped by reasons for which the authority in the directory is replaced.
var errUnusable = errors.New("unusable")

// A CA issues certificates for a fixed list of names. It is safe for concurrent use.
type CA struct {
	now    func() time.Time
	path   string
	made   string
	names  []string
	root   *x509.Certificate
	issuer *x509.Certificate
	key    *ecdsa.PrivateKey

	mu     sync.RWMutex
	leaves map[string]*tls.Certificate
	minted singleflight.Group
}

// Open returns the authority kept in dir for hosts: exact names, or "*.name" for all names
// below. If there is none, or it is about to expire, or its list lacks one of hosts, it
// makes another, which clients must be told to trust anew; [CA.Made] says why. Directory
// and file are made for the owner alone; if others can reach them, the error wraps
// [ErrLoose]. If now is nil, time.Now is used.
func Open(dir string, hosts []string, now func() time.Time) (*CA, error) {
	if now == nil {
		now = time.Now
	}
	names, err := Names(hosts)
	if err != nil {
		return nil, err
	}
	folder, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }() // a directory handle: nothing is lost
	c, err := load(folder, names, now())
	if errors.Is(err, errUnusable) {
		c, err = create(folder, names, now(), err)
	}
	if err != nil {
		return nil, fmt.Errorf("local authority in %s: %w", dir, err)
	}
	c.now, c.leaves = now, make(map[string]*tls.Certificate)
	return c, nil
}

// load returns the authority in the folder. The error wraps errUnusable if another must
// be made.
func load(folder *os.Root, names []string, now time.Time) (*CA, error) {
	text, err := readKey(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: there was none", errUnusable)
	}
	if err != nil {
		return nil, err
	}
	c, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the old one cannot be read: %w", errUnusable, err)
	}
	c.path = folder.Name() + string(os.PathSeparator) + fileName
	for _, n := range names {
		if !slices.Contains(c.names, n) {
			return nil, fmt.Errorf("%w: the old one does not cover %s", errUnusable, n)
		}
	}
	if now.Before(c.issuer.NotBefore) {
		return nil, fmt.Errorf("%w: the old one is valid from %s only: the clock went back", errUnusable, c.issuer.NotBefore.Format(time.RFC3339))
	}
	if end := c.issuer.NotAfter; now.Add(leafLife).After(end) {
		return nil, fmt.Errorf("%w: the old one ends on %s", errUnusable, end.Format(time.RFC3339))
	}
	return c, nil
}

// Made says why Open made a new authority, as a clause ("the old one does not cover
// registry.example"), or "" if it found a usable one.
func (c *CA) Made() string { return c.made }

// Root returns the root certificate as PEM: what clients must trust. The intermediate is
// sent in each handshake.
func (c *CA) Root() []byte { return encodeCertificate(c.root) }

// Bundle returns what a client's list of roots is replaced by: system, which is PEM, and
// the root.
func (c *CA) Bundle(system []byte) []byte {
	b := slices.Clone(system)
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	b = append(b, "\n# "+c.root.Subject.CommonName+"\n"...)
	return append(b, c.Root()...)
}

// Info describes an authority. It holds no secret.
type Info struct {
	Path        string    `json:"path"` // the file with certificates and key
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint"` // SHA-256 of the root, lower-case hexadecimal
	Names       []string  `json:"names"`       // as given to Open, sorted
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`     // of the intermediate: nothing is issued after that
	RootExpires time.Time `json:"rootExpires"` // how long trust stores keep the root
}

// Info returns what people want to know of the authority.
func (c *CA) Info() Info {
	sum := sha256.Sum256(c.root.Raw)
	return Info{
		Path:        c.path,
		Subject:     c.root.Subject.CommonName,
		Fingerprint: hex.EncodeToString(sum[:]),
		Names:       slices.Clone(c.names),
		Created:     c.issuer.NotBefore.Add(backdate),
		Expires:     c.issuer.NotAfter,
		RootExpires: c.root.NotAfter,
	}
}

// encodeCertificate returns c as PEM.
func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
