package rubygems

import (
	"regexp"
	"strings"
)

// marshal is the folder of gemspecs, named after the version of Ruby's serialisation.
const marshal = "Marshal.4.8"

// maxName is the longest file name accepted, and maxSplits how many ways to read it are.
const (
	maxName   = 255
	maxSplits = 3
)

var (
	versionPattern  = regexp.MustCompile(`^[0-9]+(\.[0-9A-Za-z]+)*$`)
	platformPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
)

// A gemName is one way to read the name of a gem's file.
type gemName struct {
	name, version string // version with the platform, if there is one: "1.0.0-java"
}

// cutGem splits "nokogiri-1.16.0-x86_64-linux". Names may hold dashes and digits, and
// platforms may end in numbers, so there may be several ways; the shortest name is first.
func cutGem(stem string) []gemName {
	var out []gemName
	for i := 1; i < len(stem) && len(out) < maxSplits; i++ {
		if stem[i-1] == '-' && i > 1 && validVersion(stem[i:]) {
			out = append(out, gemName{stem[:i-1], stem[i:]})
		}
	}
	return out
}

// validVersion reports whether s is a version, or a version and a platform.
func validVersion(s string) bool {
	version, platform, ok := strings.Cut(s, "-")
	return versionPattern.MatchString(version) && (!ok || platformPattern.MatchString(platform)) && len(s) <= maxName
}

// validName reports whether s can be the name of a gem, or of its file without the ending.
func validName(s string) bool {
	if s == "" || s[0] == '.' || s[0] == '-' || len(s) > maxName {
		return false
	}
	for _, c := range []byte(s) { // a list has 200,000 names: a pattern takes ten times as long
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}
