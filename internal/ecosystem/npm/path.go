package npm

import (
	"net/url"
	"strings"

	"sutler/internal/urlpath"
)

// decode splits an escaped path into its decoded segments. A segment may hold one slash,
// written %2f, if it is a scoped name; nothing else that could name another path is accepted.
func decode(escaped string) ([]string, bool) {
	if escaped == "" {
		return nil, false
	}
	parts := strings.Split(escaped, "/")
	out := make([]string, 0, len(parts)+1)
	for _, part := range parts {
		s, err := url.PathUnescape(part)
		scope, name, scoped := strings.Cut(s, "/")
		if err != nil || !urlpath.Plain(scope) || scoped && (scope[0] != '@' || !urlpath.Plain(name)) {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// cutName takes the package name off decoded segments: one segment ("left-pad",
// "@scope/name" that was written with %2f) or two ("@scope", "name").
func cutName(segments []string) (name string, rest []string, ok bool) {
	if len(segments) == 0 {
		return "", nil, false
	}
	name, rest = segments[0], segments[1:]
	if strings.HasPrefix(name, "@") && !strings.Contains(name, "/") {
		if len(rest) == 0 {
			return "", nil, false
		}
		name, rest = name+"/"+rest[0], rest[1:]
	}
	return name, rest, validName(name)
}

// validName reports whether name can be a package: old packages have upper-case letters
// and marks that new ones may not have.
func validName(name string) bool {
	short := name
	if scope, rest, ok := strings.Cut(name, "/"); ok {
		if len(scope) < 2 || scope[0] != '@' || !nameChars(scope[1:]) {
			return false
		}
		short = rest
	}
	return len(name) <= maxName && short != "" && short[0] != '.' && short[0] != '_' && short != "-" && nameChars(short)
}

// nameChars reports whether s consists of characters that package names have.
func nameChars(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~!'()*", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// escapeName writes a name as one path segment; the slash of a scoped one as %2f.
func escapeName(name string) string {
	scope, short, ok := strings.Cut(name, "/")
	if !ok {
		return url.PathEscape(name)
	}
	return url.PathEscape(scope) + "%2f" + url.PathEscape(short)
}

// escapePlain writes a name as tarball paths have it: the slash of a scoped one as it is.
func escapePlain(name string) string {
	return strings.Replace(escapeName(name), "%2f", "/", 1)
}

// join appends escaped segments to a base that ends in a slash, each with a slash after it.
func join(base string, segments []string) string {
	var b strings.Builder
	b.WriteString(base)
	for _, s := range segments {
		b.WriteString(escapeName(s))
		b.WriteByte('/')
	}
	return b.String()
}
