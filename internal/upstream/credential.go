package upstream

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
)

// A Secret is a password or token. However it is printed, logged or encoded, it is "***";
// only Reveal returns it.
type Secret string

// hidden stands for a secret wherever it would be shown.
const hidden = "***"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "***", or "" for the empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format writes String for every verb, so that no verb gets at the bytes.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) } // like fmt itself

// MarshalText writes String: secrets do not appear in JSON or TOML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns String for structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// A Credential is sent with requests for URLs under Prefix, and with no others: it is
// bound to scheme, host, port and path, and nothing that a server says moves it.
type Credential struct {
	Prefix   string // "https://registry.example/private/"
	User     string // for Basic authentication, with Password
	Password Secret
	Token    Secret // for Bearer authentication; if set, Password is not used

	keeper *keeper // asked for User and Password each time, if not nil
}

// Validate reports what is wrong with c, without showing its secrets.
func (c Credential) Validate() error {
	u, err := url.Parse(c.Prefix)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("credential: prefix %q is no URL; write https://host/path", Redact(c.Prefix))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("credential: prefix %q has more than scheme, host and path", Redact(c.Prefix))
	case dotted(u.Path):
		return fmt.Errorf("credential: prefix %q has a path with dots", Redact(c.Prefix))
	case c.Token == "" && c.User == "" && c.Password == "" && c.keeper == nil:
		return fmt.Errorf("credential: %s: give a token, or a user and a password", Redact(c.Prefix))
	}
	return nil
}

// header returns the Authorization field.
func (c Credential) header() string {
	if c.Token != "" {
		return "Bearer " + c.Token.Reveal()
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password.Reveal()))
}

// covers reports whether u lies under c.Prefix. Paths match by whole elements. A path
// with dot elements is never covered: servers disagree on where it leads.
func (c Credential) covers(u *url.URL) bool {
	p, err := url.Parse(c.Prefix)
	if err != nil || p.Host == "" || !sameOrigin(p, u) || dotted(u.Path) {
		return false
	}
	root := strings.TrimSuffix(p.Path, "/")
	rest, ok := strings.CutPrefix(u.Path, root)
	return ok && (rest == "" || rest[0] == '/')
}

// match returns the credential with the longest prefix that covers u; of equals the first.
func match(all []Credential, u *url.URL) (best Credential, ok bool) {
	for _, c := range all {
		if c.covers(u) && (!ok || len(c.Prefix) > len(best.Prefix)) {
			best, ok = c, true
		}
	}
	return best, ok
}

// Scope returns an opaque name of the credential that is sent with a request for a URL,
// "" if none is. What was fetched in one scope must not be served in another. The name
// depends on prefix and user, not on the secret: a renewed password keeps its scope, and
// a name in an index or receipt helps nobody to guess one.
//
// Of a URL that has mirrors it is the first credential that one of them or the origin takes.
func (c *Client) Scope(rawURL string) string {
	for _, place := range c.places(rawURL) {
		u, err := url.Parse(place)
		if err != nil {
			continue
		}
		if cred, ok := match(c.Credentials, u); ok {
			sum := sha256.Sum256([]byte(cred.Prefix + "\n" + cred.User))
			return hex.EncodeToString(sum[:8])
		}
	}
	return ""
}

// sameOrigin reports whether two URLs have the same scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && hostport(a) == hostport(b)
}

// hostport returns host and port of u in lower case, with the scheme's own port if u
// names none.
func hostport(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(canonicalHost(u.Hostname()), port)
}

// canonicalHost returns a host in lower case without the dot that ends a full name.
func canonicalHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// dotted reports whether a decoded path has elements "." or "..", or backslashes, which
// some servers take for slashes.
func dotted(p string) bool {
	for e := range strings.SplitSeq(p, "/") {
		if e == "." || e == ".." {
			return true
		}
	}
	return strings.Contains(p, `\`)
}
