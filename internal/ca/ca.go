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
//
// [CA.Rotate] makes the next authority beside the one that signs, and bundles name both
// from then on; after an overlap the next one signs and the old key is destroyed. So every
// bundle that was handed out before or during the overlap works until its end.
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
	"path/filepath"
	"slices"
	"strings"
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

// A signer is one authority: what is in one file.
type signer struct {
	names  []string
	root   *x509.Certificate
	issuer *x509.Certificate
	key    *ecdsa.PrivateKey
	starts time.Time // when it begins to sign; the zero Time if it always did
}

// A CA issues certificates for a fixed list of names. It is safe for concurrent use.
type CA struct {
	now   func() time.Time
	dir   string
	made  string
	hosts []string // that Open was asked for

	rotating sync.Mutex   // held while files change
	mu       sync.RWMutex // for what follows
	*signer
	next   *signer // nil unless a rotation runs
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
	c := &CA{now: now, dir: dir, hosts: names, leaves: make(map[string]*tls.Certificate)}
	if err := c.open(folder, now()); err != nil {
		return nil, fmt.Errorf("local authority in %s: %w", dir, err)
	}
	return c, nil
}

// open loads or makes what is in the folder. The next authority takes the place of one
// that cannot be used any more.
func (c *CA) open(folder *os.Root, now time.Time) error {
	next, err := load(folder, nextName, c.hosts, now)
	if err != nil && !errors.Is(err, errUnusable) {
		return err
	}
	c.signer, err = load(folder, fileName, c.hosts, now)
	switch {
	case err == nil && next != nil:
		c.next = next
		return nil
	case err == nil:
		return discardNext(folder)
	case !errors.Is(err, errUnusable):
		return err
	}
	c.made = strings.TrimPrefix(err.Error(), errUnusable.Error()+": ")
	if next != nil {
		c.signer = next
		destroy, err := promote(folder)
		if err != nil {
			return err
		}
		return destroy()
	}
	if c.signer, err = create(c.hosts, now); err != nil {
		return err
	}
	text, err := encode(c.signer)
	if err != nil {
		return err
	}
	return errors.Join(writeKey(folder, fileName, text), discardNext(folder))
}

// load returns the authority in a file. The error wraps errUnusable if another must be made.
func load(folder *os.Root, file string, names []string, now time.Time) (*signer, error) {
	text, err := readKey(folder, file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: there was none", errUnusable)
	}
	if err != nil {
		return nil, err
	}
	s, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the old one cannot be read: %w", errUnusable, err)
	}
	for _, n := range names {
		if !slices.Contains(s.names, n) {
			return nil, fmt.Errorf("%w: the old one does not cover %s", errUnusable, n)
		}
	}
	if now.Before(s.issuer.NotBefore) {
		return nil, fmt.Errorf("%w: the old one is valid from %s only: the clock went back", errUnusable, s.issuer.NotBefore.Format(time.RFC3339))
	}
	if end := s.issuer.NotAfter; now.Add(leafLife).After(end) {
		return nil, fmt.Errorf("%w: the old one ends on %s", errUnusable, end.Format(time.RFC3339))
	}
	return s, nil
}

// Made says why Open made a new authority, as a clause ("the old one does not cover
// registry.example"), or "" if it found a usable one.
func (c *CA) Made() string { return c.made }

// current returns the authority that signs, and the next one, nil if there is none.
func (c *CA) current() (now, next *signer) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.signer, c.next
}

// Root returns the root certificate of what signs now, as PEM. The intermediate is sent in
// each handshake.
func (c *CA) Root() []byte {
	s, _ := c.current()
	return encodeCertificate(s.root)
}

// Roots returns what clients must trust, as PEM: the root of what signs now and, while a
// rotation runs, that of what signs next.
func (c *CA) Roots() []byte {
	s, next := c.current()
	text := encodeCertificate(s.root)
	if next != nil {
		text = append(text, encodeCertificate(next.root)...)
	}
	return text
}

// Bundle returns what a client's list of roots is replaced by: system, which is PEM, and
// ours.
func (c *CA) Bundle(system []byte) []byte {
	b := slices.Clone(system)
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	s, _ := c.current()
	b = append(b, "\n# "+s.root.Subject.CommonName+"\n"...)
	return append(b, c.Roots()...)
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
	Starts      time.Time `json:"starts"`      // when it begins to sign; the zero Time if it always did
}

// Info returns what people want to know of the authority that signs.
func (c *CA) Info() Info {
	s, _ := c.current()
	return s.info(filepath.Join(c.dir, fileName))
}

// Next returns the same of the authority that signs next; ok is false if there is none.
func (c *CA) Next() (info Info, ok bool) {
	_, next := c.current()
	if next == nil {
		return Info{}, false
	}
	return next.info(filepath.Join(c.dir, nextName)), true
}

// info describes c, which is in the file path.
func (c *signer) info(path string) Info {
	sum := sha256.Sum256(c.root.Raw)
	return Info{
		Path:        path,
		Subject:     c.root.Subject.CommonName,
		Fingerprint: hex.EncodeToString(sum[:]),
		Names:       slices.Clone(c.names),
		Created:     c.issuer.NotBefore.Add(backdate),
		Expires:     c.issuer.NotAfter,
		RootExpires: c.root.NotAfter,
		Starts:      c.starts,
	}
}

// encodeCertificate returns c as PEM.
func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
