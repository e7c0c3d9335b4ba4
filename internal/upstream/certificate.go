package upstream

import "crypto/tls"

// hostKey is the key of the host of a request in its context. net/http hands the values of
// the context on to the handshake of a connection that it opens for the request.
type hostKey struct{}

// noCertificate answers an origin that asks for a certificate of the client: there is none,
// since what clients could show never comes through us.
func (c *Client) noCertificate(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if host, ok := info.Context().Value(hostKey{}).(string); ok && c.ClientCertificate != nil {
		c.ClientCertificate(host)
	}
	return new(tls.Certificate), nil
}
