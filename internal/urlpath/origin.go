package urlpath

import (
	"net/url"
	"strings"
)

// Host returns the host of a URL in lower case, with its port unless that is the scheme's
// own.
func Host(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// Origin returns the scheme and Host of a URL, "https://host", or false if it is not one of
// the web. A nil URL is none.
func Origin(u *url.URL) (string, bool) {
	if u == nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", false
	}
	return u.Scheme + "://" + Host(u), true
}

// Segments splits an escaped path into its decoded segments, all of them Plain. folder says
// that a slash ends it. It reports false for paths that are too long, or that servers may
// read in two ways.
func Segments(escaped string) (segments []string, folder, ok bool) {
	if len(escaped) > maxPath {
		return nil, false, false
	}
	escaped, folder = strings.CutSuffix(strings.TrimPrefix(escaped, "/"), "/")
	if escaped == "" {
		return nil, folder, true
	}
	for part := range strings.SplitSeq(escaped, "/") {
		s, err := url.PathUnescape(part)
		if err != nil || !Plain(s) {
			return nil, false, false
		}
		segments = append(segments, s)
	}
	return segments, folder, true
}

// Plain reports whether a decoded segment is no step in a path and holds nothing that
// servers read in different ways: slashes, control characters, another escape. Names from
// documents must be plain before they become part of a URL.
func Plain(s string) bool {
	if s == "" || s == "." || s == ".." || strings.ContainsAny(s, `/\%`) {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// Join appends decoded segments to a URL or path, each with a slash before it.
func Join(base string, segments ...string) string {
	var b strings.Builder
	b.WriteString(base)
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}
