package openpgp

import (
	"net/url"
	"strings"

	"sutler/internal/ecosystem"
)

// The prefixes of the paths, which lie at the root of a host.
const (
	lookupPath = "/pks/lookup"
	byPrint    = "/vks/v1/by-fingerprint/"
	byID       = "/vks/v1/by-keyid/"
	directory  = "/.well-known/openpgpkey/"
)

// maxLocal is the longest name of a mailbox, which RFC 5321 limits to 64 bytes.
const maxLocal = 64

// Classify reports which key a request asks for: on any host, since the paths are
// unmistakable. What else keyservers do is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	none := ecosystem.Resource{}
	if r.URL == nil || r.URL.Host == "" || r.URL.Scheme != "https" && r.URL.Scheme != "http" {
		return none, ecosystem.ErrUnknown
	}
	known := e.servers.Owns(strings.ToLower(r.URL.Hostname()))
	switch r.Method {
	case "GET", "HEAD":
		if res, ok := key(r.URL); ok && r.URL.User == nil {
			return res, nil
		}
	case "PUT", "POST", "DELETE", "PATCH":
	default:
		known = false
	}
	if known {
		return none, ecosystem.ErrBypass
	}
	return none, ecosystem.ErrUnknown
}

// key returns the key that a URL asks for.
func key(u *url.URL) (ecosystem.Resource, bool) {
	path, origin := u.EscapedPath(), canonicalOrigin(u)
	res := ecosystem.Resource{Ecosystem: Name, Kind: ecosystem.Document, Sealed: true, Floor: keyFloor}
	if path == lookupPath {
		name, ok := lookup(u.RawQuery)
		res.URL, res.Package = origin+lookupPath+"?op=get&options=mr&search=0x"+name, name
		return res, ok
	}
	if strings.HasPrefix(path, directory) {
		return listed(res, u)
	}
	for _, prefix := range []string{byPrint, byID} {
		rest, ok := strings.CutPrefix(path, prefix)
		if !ok || u.RawQuery != "" || u.ForceQuery {
			continue
		}
		name, ok := hexadecimal(rest)
		res.URL, res.Package = origin+prefix+name, name
		return res, ok && (prefix == byID) == (len(name) == idLength)
	}
	return res, false
}

// canonicalOrigin returns the scheme and host in lower case, with its port unless that is
// the scheme's own.
func canonicalOrigin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		return "https://" + strings.TrimSuffix(host, ":443")
	}
	return "http://" + strings.TrimSuffix(host, ":80")
}

// lookup returns the fingerprint or id that a query asks to get. Which options the client
// gives besides does not matter: the answer is the plain key, which is what they all want.
func lookup(query string) (name string, ok bool) {
	values, err := url.ParseQuery(query)
	if err != nil || len(values["search"]) != 1 || len(values["op"]) != 1 || values.Get("op") != "get" {
		return "", false
	}
	for option := range values {
		switch option {
		case "op", "search", "options", "exact", "fingerprint", "hash":
		default:
			return "", false
		}
	}
	rest, ok := cutPrefixFold(values.Get("search"), "0x")
	if !ok {
		return "", false // a word to search for
	}
	return hexadecimal(rest)
}

// cutPrefixFold cuts a prefix off s, whatever its case.
func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// The lengths of names of keys, in hexadecimal digits. An id of 8 digits names any number
// of keys, so it is not asked for here.
const (
	idLength = 16
	v4Length = 40
	v6Length = 64
)

// hexadecimal returns s in upper case, if it is a fingerprint or a long key id.
func hexadecimal(s string) (string, bool) {
	if len(s) != idLength && len(s) != v4Length && len(s) != v6Length {
		return "", false
	}
	s = strings.ToUpper(s)
	return s, strings.Trim(s, "0123456789ABCDEF") == ""
}

// listed returns the key that a Web Key Directory has for a mailbox: /hu/HASH, or with the
// domain before it where a host of its own serves several. The query is the mailbox's name,
// of which the hash is.
func listed(res ecosystem.Resource, u *url.URL) (ecosystem.Resource, bool) {
	path := u.EscapedPath()
	steps := strings.Split(strings.TrimPrefix(path, directory), "/")
	n := len(steps)
	values, err := url.ParseQuery(u.RawQuery)
	local := values.Get("l")
	if err != nil || n != 2 && n != 3 || steps[n-2] != "hu" || n == 3 && !isDomain(steps[0]) || !isHash(steps[n-1]) ||
		len(values) != 1 || len(values["l"]) != 1 || len(local) > maxLocal || mailbox(local) != steps[n-1] {
		return res, false
	}
	res.URL, res.Floor = canonicalOrigin(u)+path+"?l="+url.QueryEscape(local), nameFloor
	return res, true
}

// isDomain reports whether s can be the name of a domain, in a path.
func isDomain(s string) bool {
	return strings.Contains(s, ".") && !strings.Contains(s, "..") && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// isHash reports whether s has the form of a mailbox's hash.
func isHash(s string) bool { return len(s) == 32 && strings.Trim(s, alphabet) == "" }
