package ca

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"time"
)

// maxLeaves bounds the certificates in memory. A wildcard lets clients ask for any number
// of names; the profiles together have some hundred.
const maxLeaves = 1024

// renewBefore is how long before its end a leaf is replaced.
const renewBefore = leafLife / 3

// Certificate returns a certificate for name, with the intermediate and the key, ready for
// a handshake. It is made on first use and renewed before it expires; callers must not
// change it. The error wraps ErrName for a name outside the list, and ErrExpired.
func (c *CA) Certificate(name string) (*tls.Certificate, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	by, _ := c.current()
	if !validName(name) || !covers(by.names, name) {
		return nil, fmt.Errorf("%w: %q", ErrName, name)
	}
	if leaf := c.cached(name); leaf != nil {
		return leaf, nil
	}
	v, err, _ := c.minted.Do(name, func() (any, error) {
		// Another flight may have ended between the look-up above and this one.
		if leaf := c.cached(name); leaf != nil {
			return leaf, nil
		}
		return c.mint(by, name)
	})
	if err != nil {
		return nil, err
	}
	return v.(*tls.Certificate), nil
}

// cached returns the leaf for name if it is good for a while, else nil. A clock that went
// back counts as the end of a leaf.
func (c *CA) cached(name string) *tls.Certificate {
	c.mu.RLock()
	leaf, by := c.leaves[name], c.signer
	c.mu.RUnlock()
	now := c.now()
	if leaf == nil || now.Before(leaf.Leaf.NotBefore) || now.After(by.renewal(leaf.Leaf)) {
		return nil
	}
	return leaf
}

// renewal returns when a leaf is replaced. One that ends with the intermediate cannot be.
func (c *signer) renewal(leaf *x509.Certificate) time.Time {
	if leaf.NotAfter.Equal(c.issuer.NotAfter) {
		return leaf.NotAfter
	}
	return leaf.NotAfter.Add(-renewBefore)
}

// mint makes a leaf for name, signed by an authority, and remembers it.
func (c *CA) mint(by *signer, name string) (*tls.Certificate, error) {
	now := c.now()
	if now.After(by.issuer.NotAfter) || now.Before(by.issuer.NotBefore) {
		return nil, fmt.Errorf("%w: it is valid from %s to %s: restart sutler to make another", ErrExpired,
			by.issuer.NotBefore.Format(time.RFC3339), by.issuer.NotAfter.Format(time.RFC3339))
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"sutler"}},
		DNSNames:              []string{name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              earlier(now.Add(leafLife), by.issuer.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leaf, err := sign(template, by.issuer, &key.PublicKey, by.key)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: [][]byte{leaf.Raw, by.issuer.Raw}, PrivateKey: key, Leaf: leaf}
	c.remember(by, name, cert)
	return cert, nil
}

// remember keeps a leaf, in the place of any other one if there are too many. One whose
// authority was replaced meanwhile is good for the handshake that it was made for alone.
func (c *CA) remember(by *signer, name string, cert *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if by != c.signer {
		return
	}
	for old := range c.leaves {
		if len(c.leaves) < maxLeaves {
			break
		}
		delete(c.leaves, old)
	}
	c.leaves[name] = cert
}

// earlier returns the one of two times that comes first.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
