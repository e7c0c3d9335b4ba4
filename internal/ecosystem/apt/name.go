package apt

import (
	"net/url"
	"strings"
)

// isPackage reports whether a file is a binary package, or a part of a source package.
func isPackage(name string) bool {
	_, tarball, ok := cutKind(name)
	return ok && (!tarball || strings.IndexByte(name, '_') > 0)
}

// isVersioned reports whether the name of a package file holds a version, which starts
// with a digit. The bytes of tool_latest_amd64.deb change whenever there is a new one.
func isVersioned(name string) bool {
	_, version := cutName(name)
	return version != "" && '0' <= version[0] && version[0] <= '9'
}

// cutName splits the name of a package file, NAME_VERSION_ARCHITECTURE.deb,
// NAME_VERSION.dsc and the like, into package and version, as far as it has them.
func cutName(file string) (pkg, version string) {
	stem, _, _ := cutKind(file)
	pkg, version, _ = strings.Cut(stem, "_")
	if strings.IndexByte(stem, '%') < 0 {
		return pkg, version
	}
	return decodeTwice(pkg), decodeTwice(version)
}

// cutKind cuts off what follows the version in the name of a package file, and reports
// whether it is part of a source package whose name must tell.
func cutKind(file string) (stem string, tarball, ok bool) {
	for _, ext := range [...]string{".deb", ".udeb", ".ddeb"} {
		stem, ok = strings.CutSuffix(file, ext)
		if !ok {
			continue
		}
		if strings.Count(stem, "_") > 1 {
			stem = stem[:strings.LastIndexByte(stem, '_')] // the architecture
		}
		return stem, false, stem != ""
	}
	if stem, ok = strings.CutSuffix(file, ".dsc"); ok {
		return stem, false, stem != ""
	}
	if stem, ok = strings.CutSuffix(file, ".diff.gz"); ok {
		return stem, true, true
	}
	at := strings.LastIndex(file, ".tar.")
	if at < 0 || !isTarball(file[at+len(".tar."):]) {
		return "", true, false
	}
	stem = strings.TrimSuffix(file[:at], ".debian")
	if orig := strings.LastIndex(stem, ".orig"); orig > 0 { // .orig, .orig-COMPONENT
		stem = stem[:orig]
	}
	return stem, true, true
}

// isTarball reports whether a tarball with that ending may be part of a source package.
// The upstream's signature of a tarball is one as well.
func isTarball(ext string) bool {
	switch strings.TrimSuffix(ext, ".asc") {
	case "gz", "xz", "bz2", "lzma", "zst":
		return true
	}
	return false
}

// decodeTwice undoes the encoding of the URL, and that of an epoch in a file name (1%3a2.0).
func decodeTwice(s string) string {
	for range 2 {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return s
		}
		s = decoded
	}
	return s
}
