package generic

import (
	"regexp"
	"strings"
)

// versions finds runs of numbers with dots between, and the word before each.
var versions = regexp.MustCompile(`([A-Za-z]*)[-_]?(\d+(?:\.\d+)+)`)

// fullVersion matches a segment of a path that is a version and nothing else.
var fullVersion = regexp.MustCompile(`^(?:[A-Za-z]+[-_]?)?\d+\.\d+(?:\.\d+)*[-+._A-Za-z0-9]*$`)

// release matches the path of a file that belongs to a release on a code host.
var release = regexp.MustCompile(`^/[^/]+/[^/]+/releases/download/([^/]+)/[^/]+$`)

// atCommit matches the path of a file in one commit on a code host.
var atCommit = regexp.MustCompile(`^/[^/]+/[^/]+/(?:raw/)?[0-9a-f]{40}/.`)

// immutable reports whether what a path names should never change. When in doubt it
// answers false: a document that is revalidated needlessly costs one round trip, an
// artifact that changes unnoticed costs a wrong build.
func immutable(l look, path string) bool {
	dir, name := splitPath(path)
	if name == "" || moves(path) {
		return false
	}
	switch l {
	case byCommit:
		return atCommit.MatchString(path)
	case onRequest:
		return false
	case byRelease:
		m := release.FindStringSubmatch(path)
		return m != nil && strings.ContainsAny(m[1], "0123456789") || strings.Contains(path, "/raw/") && atCommit.MatchString(path)
	}
	if isArchive(path) || isProgram(name) {
		return hasVersion(name) || versionAbove(dir)
	}
	// A program without a suffix, below its version: /release/v1.30.0/bin/linux/amd64/tool.
	return !strings.Contains(name, ".") && versionAbove(dir)
}

// splitPath splits a path after its last slash.
func splitPath(path string) (dir, file string) {
	i := strings.LastIndexByte(path, '/') + 1
	return path[:i], path[i:]
}

// moves reports whether a path holds a word for something that is replaced now and then.
func moves(path string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(path), isMark) {
		switch word {
		case "latest", "nightly", "nightlies", "snapshot", "snapshots", "daily", "canary", "tip", "rolling", "continuous", "heads":
			return true
		}
	}
	return false
}

// isMark reports whether r stands between words of a path.
func isMark(r rune) bool { return strings.ContainsRune("/-_.+~%", r) }

// hasVersion reports whether a file name holds the version of what is in it, rather than
// that of a platform it is for.
func hasVersion(name string) bool {
	for _, m := range versions.FindAllStringSubmatchIndex(name, -1) {
		if !isPlatform(name[m[2]:m[3]], m[2] == 0) {
			return true
		}
	}
	return false
}

// isPlatform reports whether the number after a word is the version of a platform. Tools
// are platforms of others, but not where they come first: then they are in the file.
func isPlatform(word string, first bool) bool {
	switch strings.ToLower(word) {
	case "ubuntu", "debian", "el", "rhel", "centos", "fedora", "alpine", "amzn", "macos", "macosx", "osx", "darwin", "windows", "win":
		return true
	case "glibc", "musl", "manylinux", "py", "python", "cp", "pypy", "cuda", "cu", "rocm", "libssl", "openssl", "msvc", "gcc", "abi", "android", "jdk", "java", "node", "php":
		return !first
	}
	return false
}

// versionAbove reports whether a directory of a path is a version with three numbers; one
// with two is often a series that goes on.
func versionAbove(dir string) bool {
	for segment := range strings.SplitSeq(dir, "/") {
		if fullVersion.MatchString(segment) && strings.Count(segment, ".") >= 2 && hasVersion(segment) {
			return true
		}
	}
	return false
}

// isArchive reports whether the suffix of a path is that of something which is of no use
// before its end: clients cannot act on a part of it.
func isArchive(path string) bool {
	p := strings.ToLower(path)
	for _, suffix := range []string{
		".gz", ".tgz", ".xz", ".txz", ".bz2", ".tbz2", ".tbz", ".zst", ".tzst", ".lz", ".lzma", ".tar", ".tar.z", ".zip", ".7z", ".br",
		".deb", ".rpm", ".apk", ".msi", ".exe", ".dmg", ".pkg", ".appimage", ".snap", ".flatpak", ".iso", ".img", ".qcow2", ".vmdk",
		".jar", ".war", ".whl", ".gem", ".crate", ".nupkg", ".vsix", ".phar", ".so", ".dll", ".dylib", ".wasm", ".onnx", ".safetensors",
	} {
		if strings.HasSuffix(p, suffix) {
			return true
		}
	}
	return false
}

// isProgram reports whether a file name is that of a script or a self-extracting program.
func isProgram(file string) bool {
	f := strings.ToLower(file)
	for _, suffix := range []string{".sh", ".bash", ".run", ".bin", ".py", ".pl", ".rb", ".ps1", ".js", ".mjs"} {
		if strings.HasSuffix(f, suffix) {
			return true
		}
	}
	return false
}
