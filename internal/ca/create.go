package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"time"
)

// How long certificates live. The numbers bound what a stolen key is worth.
const (
	rootLife   = 10 * 365 * 24 * time.Hour
	issuerLife = 365 * 24 * time.Hour
	leafLife   = 48 * time.Hour
	// backdate lets clients in containers and virtual machines be a little behind.
	backdate = time.Hour
)

// create makes an authority for names. Only the intermediate's key survives the call.
func create(names []string, now time.Time) (*signer, error) {
	rootKey, err := newKey()
	if err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	id, err := newID()
	if err != nil {
		return nil, err
	}
	top := authority("sutler local CA "+id, names, now)
	top.NotAfter, top.MaxPathLen = now.Add(rootLife), 1
	root, err := sign(top, top, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	below := authority("sutler local issuer "+id, names, now)
	below.NotAfter, below.MaxPathLenZero = now.Add(issuerLife), true
	below.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	issuer, err := sign(below, root, &key.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	return &signer{names: names, root: root, issuer: issuer, key: key}, nil
}

// authority returns the part of a template that root and intermediate share.
func authority(name string, names []string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:                     pkix.Name{CommonName: name, Organization: []string{"sutler"}},
		NotBefore:                   now.Add(-backdate),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         constraints(names),
		ExcludedIPRanges:            everyAddress(),
	}
}

// everyAddress returns the ranges that hold all IP addresses.
func everyAddress() []*net.IPNet {
	return []*net.IPNet{
		{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	}
}

// sign issues template, whose key is pub, with the key of parent, and returns it parsed.
func sign(template, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	// 127 random bits: positive, and at most the 20 octets that RFC 5280 allows.
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("serial number: %w", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("sign %q: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// newKey returns a P-256 key: every client verifies it, and signing takes microseconds.
func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// newID returns eight digits that tell one authority from another in trust stores.
func newID() (string, error) {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("random name: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
