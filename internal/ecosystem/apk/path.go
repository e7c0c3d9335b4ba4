package apk

import (
	"net/url"
	"strings"
)

// maxPath bounds the paths that are read, in bytes.
const maxPath = 4096

// canonicalPath returns an encoded path in one spelling: apk writes "~" as %7e and curl
// does not. It reports false for paths that servers may read in two ways.
func canonicalPath(escaped string) (string, bool) {
	if len(escaped) < 2 || len(escaped) > maxPath || escaped[0] != '/' {
		return "", false
	}
	elements := strings.Split(escaped[1:], "/")
	for i, element := range elements {
		decoded, err := url.PathUnescape(element)
		if err != nil {
			return "", false
		}
		var ok bool
		if elements[i], ok = escapeElement(decoded); !ok {
			return "", false
		}
	}
	return "/" + strings.Join(elements, "/"), true
}

// escapeElement returns one element of a path as it stands in canonical URLs, given as it
// is in the file system. It reports false for one that climbs, is empty, holds a slash or
// characters that no file name has, or becomes such an element if it is decoded again.
func escapeElement(s string) (string, bool) {
	if s == "" || s == "." || s == ".." || len(s) > maxPath || strings.ContainsAny(s, `/\%`) {
		return "", false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return "", false
		}
	}
	return (&url.URL{Path: "/" + s}).EscapedPath()[1:], true
}
