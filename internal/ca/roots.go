package ca

import (
	"bytes"
	"encoding/pem"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// EmbeddedRoots is the source that SystemRoots names if it found no file.
const EmbeddedRoots = "embedded"

// bundleFiles lists where systems keep all public roots in one PEM file.
func bundleFiles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Alpine, Arch, Gentoo
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL, CentOS
		"/etc/pki/tls/certs/ca-bundle.crt",                  // older RHEL
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/tls/cacert.pem",                           // OpenELEC
		"/etc/ssl/cert.pem",                                 // macOS, BSD, old Alpine
	}
}

// SystemRoots returns the public roots of this host as PEM, and where they came from: the
// file named by the environment variable SSL_CERT_FILE, the system's own, or, on a host
// that has none, [EmbeddedRoots]: those that sutler was built with.
func SystemRoots() (roots []byte, source string) {
	return systemRoots(os.Getenv("SSL_CERT_FILE"), bundleFiles())
}

func systemRoots(first string, files []string) (roots []byte, source string) {
	if first != "" {
		files = append([]string{first}, files...)
	}
	for _, f := range files {
		text, err := os.ReadFile(f) // absent or unreadable: the next may do
		if err != nil {
			continue
		}
		if b, _ := pem.Decode(text); b != nil {
			return text, f
		}
	}
	return embeddedRoots(), EmbeddedRoots
}

// embeddedRoots returns the roots that the program carries, without those whose trust is
// limited in a way that PEM cannot say.
func embeddedRoots() []byte {
	var text bytes.Buffer
	for r := range bundle.Roots() {
		if r.Constraint == nil {
			text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate}))
		}
	}
	return text.Bytes()
}
