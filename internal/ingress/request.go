package ingress

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/policy"
)

// maxBuild bounds the length of a build id.
const maxBuild = 64

// ErrURL means that a URL could be read in more than one way, or carries what a URL must
// not; no request is made of it.
var ErrURL = errors.New("URL not accepted")

// Request returns the canonical request that r makes for u, which is at the origin. build
// is the identity of the build, from [Build].
func (p *Responder) Request(r *http.Request, u *url.URL, build string) ecosystem.Request {
	var terms policy.Terms
	if build != "" {
		terms = p.Terms(build)
	}
	return ecosystem.Request{
		Strict: terms.Strict, Offline: terms.Offline,
		Method: r.Method, URL: u, Accept: joined(r.Header["Accept"]), Client: r.UserAgent(), Part: len(r.Header["Range"]) > 0,
		Build: build, Peer: peer(r.RemoteAddr), Credential: p.scope(r.Header["Authorization"]),
	}
}

// joined returns the values of a field as one.
func joined(values []string) string {
	switch len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	}
	return strings.Join(values, ", ")
}

// peer returns the address without the port.
func peer(address string) string {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return address
	}
	return strings.Trim(address[:i], "[]")
}

// scope names a client's credential without telling anything of it: the key of the hash
// ends with the process. It is "" for anonymous requests.
func (p *Responder) scope(authorization []string) string {
	if len(authorization) == 0 {
		return ""
	}
	m := hmac.New(sha256.New, p.scopeKey[:])
	for _, a := range authorization {
		fmt.Fprintf(m, "%d %s", len(a), a)
	}
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// Build returns the build that a request belongs to: the user name of its proxy
// credential, if that is lower-case hexadecimal. The password means nothing: the name
// attributes, it does not authorise. It is "" for all other requests.
func Build(r *http.Request) string {
	fields := r.Header["Proxy-Authorization"]
	if len(fields) != 1 || len(fields[0]) < 6 || !strings.EqualFold(fields[0][:6], "Basic ") {
		return ""
	}
	plain, err := base64.StdEncoding.DecodeString(fields[0][6:])
	if err != nil {
		return ""
	}
	id, _, _ := strings.Cut(string(plain), ":")
	if !IsBuild(id) {
		return ""
	}
	return id
}

// IsBuild reports whether id has the form of a build's name.
func IsBuild(id string) bool {
	return id != "" && len(id) <= maxBuild && strings.Trim(id, "0123456789abcdef") == ""
}

// CheckURL returns an error wrapping ErrURL for a URL that different programs read
// differently: dot-dot elements, control characters, backslashes, an encoding inside the
// encoding of a slash, a user name, a host that is none.
func CheckURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%w: its scheme is neither http nor https", ErrURL)
	case u.User != nil:
		return fmt.Errorf("%w: credentials belong into the Authorization field", ErrURL)
	case u.Host == "" || u.Opaque != "" || u.Fragment != "" || u.Path != "" && u.Path[0] != '/':
		return fmt.Errorf("%w: write scheme://host/path", ErrURL)
	}
	if err := checkHost(u.Host); err != nil {
		return err
	}
	return checkPath(u.Path)
}

// checkPath checks the decoded path.
func checkPath(p string) error {
	dots := 0 // length of the run of dots that the element consists of, -1 if of more
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c < ' ' || c == 0x7f || c == '\\':
			return fmt.Errorf("%w: control character or backslash in the path", ErrURL)
		case c == '%' && encodesSeparator(p[i:]):
			return fmt.Errorf("%w: separator encoded twice in the path", ErrURL)
		case c == '/' && dots == 2:
			return fmt.Errorf("%w: the path goes up", ErrURL)
		case c == '/':
			dots = 0
		case c == '.' && dots >= 0:
			dots++
		default:
			dots = -1
		}
	}
	if dots == 2 {
		return fmt.Errorf("%w: the path goes up", ErrURL)
	}
	return nil
}

// encodesSeparator reports whether s, from a path that was decoded already, begins with an
// encoded slash, backslash, dot, percent sign or NUL.
func encodesSeparator(s string) bool {
	if len(s) < 3 {
		return false
	}
	switch strings.ToLower(s[1:3]) {
	case "2f", "5c", "2e", "25", "00":
		return true
	}
	return false
}

// checkHost accepts a DNS name or an address, with or without a port.
func checkHost(host string) error {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i+1:]
		if port == "" || strings.Trim(port, "0123456789") != "" {
			return fmt.Errorf("%w: %q has no port after its colon", ErrURL, host)
		}
	}
	if address, ok := strings.CutPrefix(name, "["); ok {
		address, ok = strings.CutSuffix(address, "]")
		if !ok || net.ParseIP(address) == nil {
			return fmt.Errorf("%w: %q is no address", ErrURL, host)
		}
		return nil
	}
	for i := range len(name) {
		if c := name[i]; c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return fmt.Errorf("%w: %q is no host", ErrURL, host)
		}
	}
	if name == "" {
		return fmt.Errorf("%w: it names no host", ErrURL)
	}
	return nil
}

// publicURL returns u without what may be secret: user and query.
func publicURL(u *url.URL) string {
	if u.User == nil && u.RawQuery == "" && !u.ForceQuery {
		return u.String()
	}
	c := *u
	c.User, c.RawQuery, c.ForceQuery = nil, "", false
	return c.String()
}
