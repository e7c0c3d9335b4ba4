package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestClientCertificate asks an origin that wants a certificate, and one that wants none.
func TestClientCertificate(t *testing.T) {
	for _, wants := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert, tls.RequireAnyClientCert} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.TLS = &tls.Config{ClientAuth: wants, MaxVersion: version}
			s.Config.ErrorLog = nil
			s.StartTLS()
			roots := x509.NewCertPool()
			roots.AddCert(s.Certificate())
			asked := make(chan string, 10)
			c := &Client{Roots: roots, AllowLoopback: func(string) bool { return true }, ClientCertificate: func(host string) { asked <- host }}
			r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.send(r, &c.fetching)
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err != nil) != (wants == tls.RequireAnyClientCert) {
				t.Errorf("%v: %v", wants, err)
			}
			if got := len(asked) > 0; got != (wants != tls.NoClientCert) || got && !strings.Contains(s.URL, <-asked) {
				t.Errorf("%v, %x: told %v", wants, version, got)
			}
			c.Close()
			s.Close()
		}
	}
}
