package generic

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/urlpath"
)

// checksumFloor keeps a checksum file from being revalidated for each archive it names.
const checksumFloor = 5 * time.Minute

// Classify reports which resource a request asks for, on the well-known and the configured
// hosts. Requests with a body, git, and URLs with a credential or a signature are passed
// through: what they get is meant for one client, or for a short while.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	origin, ok := urlpath.Origin(r.URL)
	if !ok {
		return none, ecosystem.ErrUnknown
	}
	h, ok := e.host(strings.ToLower(r.URL.Hostname()))
	if !ok {
		return none, ecosystem.ErrUnknown
	}
	switch r.Method {
	case "GET", "HEAD":
	case "CONNECT", "TRACE", "":
		return none, ecosystem.ErrRefused
	default:
		return none, ecosystem.ErrBypass
	}
	path, ok := canonicalPath(r.URL.EscapedPath())
	if !ok {
		return none, ecosystem.ErrRefused
	}
	query, ok := canonicalQuery(r.URL.RawQuery)
	if !ok || r.URL.User != nil || isGit(path) {
		return none, ecosystem.ErrBypass
	}
	return e.describe(h, origin, path, query), nil
}

// describe returns the resource that a canonical URL names.
func (e *Ecosystem) describe(h host, origin, path, query string) ecosystem.Resource {
	res := ecosystem.Resource{
		Ecosystem: Name, URL: origin + path, Kind: ecosystem.Document, Sealed: true, Hold: !isArchive(path),
	}
	if query != "" {
		res.URL += "?" + query
		return res
	}
	if _, ok := checksumName(res.URL); ok {
		return checksumFile(res.URL)
	}
	if !immutable(h.look, path) {
		return res
	}
	above, _ := splitPath(path)
	res.Kind, res.Sealed = ecosystem.Artifact, false
	res.Optional = true
	res.VouchedBy = vouchers(h, file{whole: res.URL, above: origin + above, path: path})
	return res
}

// canonicalPath spells an escaped path in one way: unreserved characters as they are,
// escapes in upper case. It returns false for paths that servers read in different ways:
// steps upwards, backslashes, control characters, escapes of escapes.
func canonicalPath(escaped string) (string, bool) {
	if escaped == "" {
		return "/", true
	}
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c != '%' || i+2 >= len(escaped) {
			b.WriteByte(c)
			continue
		}
		code := strings.ToUpper(escaped[i : i+3])
		decoded, err := url.PathUnescape(code)
		switch {
		case err != nil, decoded[0] < 0x20, decoded[0] == 0x7f, decoded == `\`:
			return "", false
		case decoded == "%" && i+4 < len(escaped) && isHex(escaped[i+3]) && isHex(escaped[i+4]):
			return "", false
		case isUnreserved(decoded[0]):
			b.WriteString(decoded)
		default:
			b.WriteString(code)
		}
		i += 2
	}
	path := b.String()
	for segment := range strings.SplitSeq(strings.ReplaceAll(path, "%2F", "/"), "/") {
		if segment == "." || segment == ".." {
			return "", false
		}
	}
	return path, !strings.Contains(path, `\`) && strings.HasPrefix(path, "/")
}

// isHex reports whether c is a hexadecimal digit.
func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

// isUnreserved reports whether c means the same escaped and unescaped (RFC 3986, 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// canonicalQuery sorts the parameters by name; those of one name keep their order. It
// returns false if one of them is a signature or a credential: without it the origin would
// refuse the URL, and with it the URL is one client's, or a short-lived one.
func canonicalQuery(raw string) (string, bool) {
	if raw == "" {
		return "", true
	}
	params := strings.Split(raw, "&")
	for _, p := range params {
		if isSecret(paramName(p)) {
			return "", false
		}
	}
	slices.SortStableFunc(params, func(a, b string) int { return strings.Compare(paramName(a), paramName(b)) })
	return strings.Join(params, "&"), true
}

// paramName returns the decoded name of a parameter.
func paramName(param string) string {
	name, _, _ := strings.Cut(param, "=")
	if decoded, err := url.QueryUnescape(name); err == nil {
		return decoded
	}
	return name
}

// isSecret reports whether a parameter of that name is a signature, a credential, or part
// of what a signature covers.
func isSecret(name string) bool {
	n := strings.ToLower(name)
	if strings.HasPrefix(n, "x-amz-") || strings.HasPrefix(n, "x-goog-") || strings.HasPrefix(n, "x-ms-") {
		return true
	}
	switch n {
	case "sig", "signature", "expires", "policy", "key-pair-id", "awsaccesskeyid", "googleaccessid",
		"token", "access_token", "private_token", "private-token", "auth", "auth_token", "authtoken", "apikey", "api_key", "key",
		"password", "passwd", "secret", "client_secret", "jwt", "hmac":
		return true
	}
	return false
}

// isGit reports whether a path is part of a git repository served over HTTP.
func isGit(path string) bool {
	return strings.Contains(path, ".git/") || strings.HasSuffix(path, "/info/refs") || strings.Contains(path, "/info/lfs/") ||
		strings.HasSuffix(path, "/git-upload-pack") || strings.HasSuffix(path, "/git-receive-pack")
}
