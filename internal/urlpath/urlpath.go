// Package urlpath puts origins and paths of package repositories into one spelling, and
// refuses paths that servers may read in two ways.
package urlpath

import (
	"bytes"
	"strings"
)

// maxPath bounds the paths that are read, in bytes.
const maxPath = 4096

const lowerHex = "0123456789abcdef"

// Canonical returns an encoded path as apt itself spells it, so that caches and picky
// object stores on the way to the origin see what they always see: "+" and "~" encoded,
// with lower-case digits. It reports false for paths that servers may read in two ways.
func Canonical(escaped string) (string, bool) {
	if len(escaped) < 2 || len(escaped) > maxPath || escaped[0] != '/' {
		return "", false
	}
	if isCanonical(escaped) {
		return escaped, true
	}
	decoded, ok := Decode(escaped[1:])
	if !ok {
		return "", false
	}
	p, ok := Append(append(make([]byte, 0, len(escaped)+16), '/'), decoded)
	return string(p), ok
}

// isCanonical reports whether a path needs no change, without looking at most of them twice.
func isCanonical(p string) bool {
	for i := range len(p) {
		if !isPlain(p[i]) {
			return false
		}
	}
	return p[1] != '/' && !strings.Contains(p, "/.")
}

// isPlain reports whether c stands for itself in a canonical path.
func isPlain(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '-' <= c && c <= ':': // - . / 0-9 :
		return true
	}
	return strings.IndexByte("_!$&'()*,;=@", c) >= 0
}

// Decode undoes percent-encoding once. It refuses an encoded slash.
func Decode(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return nil, false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			c = hi<<4 | lo
			if hi > 15 || lo > 15 || c == '/' {
				return nil, false
			}
			i += 2
		}
		out = append(out, c)
	}
	return out, true
}

// unhex returns the value of a hexadecimal digit, or 255.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// Append appends a relative path, given as it is in the file system, to a URL: in
// canonical encoding, without "." elements. It reports false for a path that leaves its
// folder, starts with a slash, or that servers may read in two ways.
func Append(dst, name []byte) ([]byte, bool) {
	if len(name) == 0 || len(name) > maxPath || name[0] == '/' {
		return dst, false
	}
	for {
		element, rest, more := bytes.Cut(name, []byte("/"))
		if hostile(element) || !more && string(element) == "." {
			return dst, false
		}
		if string(element) != "." {
			dst = appendEscaped(dst, element)
			if more {
				dst = append(dst, '/')
			}
		}
		if !more {
			return dst, true
		}
		name = rest
	}
}

// hostile reports whether an element of a path must not be passed on: it climbs, holds
// characters that no file name has, or becomes such an element if it is decoded again.
func hostile(element []byte) bool {
	if string(element) == ".." {
		return true
	}
	for i, c := range element {
		if c < ' ' || c == 0x7f || c == '\\' || c == '%' && decodesAgain(element[i+1:]) {
			return true
		}
	}
	return false
}

// decodesAgain reports whether what follows a percent sign makes it stand for a slash,
// backslash, dot, NUL or another percent sign. A colon is fine: epochs are written %3a.
func decodesAgain(after []byte) bool {
	if len(after) < 2 {
		return false
	}
	switch unhex(after[0])<<4 | unhex(after[1]) {
	case '/', '\\', '.', 0, '%':
		return unhex(after[0]) < 16 && unhex(after[1]) < 16
	}
	return false
}

// appendEscaped appends one element of a path in canonical encoding.
func appendEscaped(dst, element []byte) []byte {
	for _, c := range element {
		if isPlain(c) {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', lowerHex[c>>4], lowerHex[c&15])
	}
	return dst
}
