package maven

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"sutler/internal/digest"
	"sutler/internal/urlpath"
)

// metadataName is the file that lists versions, snapshots or plugins.
const metadataName = "maven-metadata.xml"

// maxPath is the longest path accepted, in bytes: the name of a file is that of an
// artifact, its version and a classifier.
const maxPath = 1024

// stamp matches what stands in the name of a file in place of SNAPSHOT.
var stamp = regexp.MustCompile(`^[0-9]{8}\.[0-9]{6}-[0-9]+`)

// manager matches the path that repository managers have before the group.
var manager = regexp.MustCompile(`^(?:[^/]+/)*?(?:maven2|m2|repository/[^/]+|artifactory/[^/]+|content/(?:repositories|groups)/[^/]+)/`)

// A place is what a path below the root of a repository names.
type place struct {
	dir      []string // decoded
	file     string   // without the suffixes below
	sum      string   // algorithm, of a file that states the digest of another
	signed   bool     // the signature of the file
	group    string
	artifact string // "" of a list of plugins
	version  string
	named    string // of an artifact: the version in the name of the file, which may have a time stamp
	tail     string // of an artifact: what follows the version: ".pom", "-sources.jar"
}

// decode splits an escaped path into its decoded steps. The last may be empty: a folder.
// Spellings that servers read in different ways are refused.
func decode(escaped string) ([]string, bool) {
	if len(escaped) > maxPath || !strings.HasPrefix(escaped, "/") {
		return nil, false
	}
	parts := strings.Split(escaped[1:], "/")
	for i, part := range parts {
		s, err := url.PathUnescape(part)
		if err != nil || s == "" && i < len(parts)-1 || s == "." || s == ".." || strings.ContainsFunc(s, odd) {
			return nil, false
		}
		parts[i] = s
	}
	return parts, true
}

// odd reports whether r has no business in a step of a path.
func odd(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`/\%?#;"<>|`, r)
}

// escape writes steps as a canonical path, with a slash before each.
func escape(steps []string) string { return urlpath.Join("", steps...) }

// below cuts the path of the repository off steps. ok is false if it does not lie there.
func (r repository) below(steps []string) (rest []string, ok bool) {
	if len(steps) <= len(r.path) {
		return nil, false
	}
	for i, p := range r.path {
		if p != "*" && p != steps[i] {
			return nil, false
		}
	}
	return steps[len(r.path):], true
}

// guess returns the steps of the group and all after it on a host of which nothing is known.
func guess(steps []string) []string {
	before := manager.FindString(strings.Join(steps, "/"))
	return steps[strings.Count(before, "/"):]
}

// parse reads the steps below the root of a repository. It returns false for what is
// neither a list nor a file of a version.
func parse(steps []string) (place, bool) {
	p := place{dir: steps[:len(steps)-1], file: steps[len(steps)-1]}
	for _, alg := range []string{digest.SHA512, digest.SHA256, digest.SHA1, digest.MD5} {
		if f, ok := strings.CutSuffix(p.file, "."+alg); ok {
			p.file, p.sum = f, alg
			break
		}
	}
	p.file, p.signed = strings.CutSuffix(p.file, ".asc")
	n := len(p.dir)
	if p.file == metadataName {
		p.list()
		return p, n > 0
	}
	if n < 3 {
		return p, false
	}
	p.group, p.artifact, p.version = strings.Join(p.dir[:n-2], "."), p.dir[n-2], p.dir[n-1]
	rest, ok := strings.CutPrefix(p.file, p.artifact+"-")
	if !ok {
		return p, false
	}
	p.named, p.tail, ok = cutVersion(rest, p.version)
	// There must be a suffix, and a classifier before it begins with a dash.
	return p, ok && len(p.tail) > 1 && (p.tail[0] == '.' || p.tail[0] == '-') && strings.Contains(p.tail[:len(p.tail)-1], ".")
}

// cutVersion cuts the version off what follows the artifact in the name of a file.
func cutVersion(rest, version string) (named, tail string, ok bool) {
	if tail, ok = strings.CutPrefix(rest, version); ok {
		return version, tail, true
	}
	base, ok := strings.CutSuffix(version, "SNAPSHOT")
	if !ok || !strings.HasPrefix(rest, base) {
		return "", "", false
	}
	time := stamp.FindString(rest[len(base):])
	return base + time, rest[len(base)+len(time):], time != ""
}

// list fills in what a list is about. Of an artifact or of a group: the path does not tell,
// so both get the same name, which is that of the artifact.
func (p *place) list() {
	about := p.dir
	if n := len(about); n > 2 && strings.HasSuffix(about[n-1], "-SNAPSHOT") {
		p.version, about = about[n-1], about[:n-1]
	}
	if n := len(about); n > 1 {
		p.group, p.artifact = strings.Join(about[:n-1], "."), about[n-1]
	}
}

// mutable reports whether the file changes in place: lists, and files of snapshots without
// a time stamp.
func (p place) mutable() bool {
	return p.file == metadataName || p.named == p.version && strings.HasSuffix(p.version, "-SNAPSHOT")
}

// unmistakable reports whether nothing but a Maven repository has such a path: suffixes that
// others have too are not enough.
func (p place) unmistakable() bool {
	return p.file == metadataName || slices.ContainsFunc([]string{".pom", ".jar", ".war", ".ear", ".aar", ".klib", ".module"}, func(suffix string) bool {
		return strings.HasSuffix(p.tail, suffix)
	})
}
