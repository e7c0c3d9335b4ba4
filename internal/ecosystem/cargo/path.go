package cargo

import (
	"strings"

	"sutler/internal/urlpath"
)

// maxName is the longest name of a crate accepted; the public registry allows 64 bytes.
const maxName = 128

// join returns the path of escaped segments, with a slash at both ends.
func join(segments []string) string { return urlpath.Join("", segments...) + "/" }

// indexPath returns where an index has the file of a crate, whose name is in lower case.
func indexPath(name string) string { return prefix(name) + "/" + name }

// prefix returns the folder of a name.
func prefix(name string) string {
	switch len(name) {
	case 1, 2:
		return string(rune('0' + len(name)))
	case 3:
		return "3/" + name[:1]
	}
	return name[:2] + "/" + name[2:4]
}

// cutIndexFile splits the path of an index file into the name of the crate and the folder
// of the index.
func cutIndexFile(segments []string) (name string, base []string, ok bool) {
	name = segments[len(segments)-1]
	if !validName(name) || name != strings.ToLower(name) {
		return "", nil, false
	}
	n := len(segments) - 1 - strings.Count(indexPath(name), "/")
	if n < 0 || strings.Join(segments[n:], "/") != indexPath(name) {
		return "", nil, false
	}
	return name, segments[:n], true
}

// cutCrate splits the path of a crate into its name and version, and the folder that has
// the crates of all names.
func cutCrate(segments []string) (name, version string, base []string, ok bool) {
	n := len(segments)
	last := segments[n-1]
	if last == "download" && n > 2 {
		name, version, base = segments[n-3], segments[n-2], segments[:n-3]
		return name, version, base, validName(name) && validVersion(version)
	}
	stem, ok := strings.CutSuffix(last, ".crate")
	if !ok {
		return "", "", nil, false
	}
	base = segments[:n-1]
	if n > 1 && validName(segments[n-2]) && strings.HasPrefix(stem, segments[n-2]+"-") && validVersion(stem[len(segments[n-2])+1:]) {
		name, base = segments[n-2], segments[:n-2] // …/{crate}/{crate}-{version}.crate
	} else {
		for i := 1; i < len(stem) && name == ""; i++ {
			if stem[i-1] == '-' && validVersion(stem[i:]) {
				name = stem[:i-1]
			}
		}
	}
	if name == "" {
		return "", "", nil, false
	}
	return name, stem[len(name)+1:], base, validName(name)
}

// validName reports whether name can be a crate's.
func validName(name string) bool {
	if name == "" || len(name) > maxName || name[0] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// validVersion reports whether s looks like a semantic version: three numbers, and what
// may follow them.
func validVersion(s string) bool {
	core := s
	if i := strings.IndexAny(s, "-+"); i >= 0 {
		core = s[:i]
		for _, c := range []byte(s[i:]) {
			if !isAlnum(c) && strings.IndexByte("-+.", c) < 0 {
				return false
			}
		}
	}
	numbers := strings.Split(core, ".")
	for _, n := range numbers {
		if n == "" || strings.Trim(n, "0123456789") != "" {
			return false
		}
	}
	return len(numbers) == 3 && len(s) <= maxName
}

// isAlnum reports whether c is a letter or a digit.
func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
