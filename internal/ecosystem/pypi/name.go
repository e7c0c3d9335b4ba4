package pypi

import (
	"net/url"
	"slices"
	"strings"

	"sutler/internal/urlpath"
)

// maxName is the longest name of a project or file accepted; file systems allow 255 bytes.
const maxName = 255

// normalize writes the name of a project as indexes do: in lower case, with single dashes
// for runs of dashes, dots and underscores.
func normalize(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	return strings.ToLower(strings.Join(words, "-"))
}

// validProject reports whether name can be a project: letters and digits, and marks between them.
func validProject(name string) bool {
	if name == "" || len(name) > maxName || strings.ContainsRune("-_.", rune(name[0])) || strings.ContainsRune("-_.", rune(name[len(name)-1])) {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// A release is what the name of a file says it is of.
type release struct{ project, version string }

// releases returns what a file may be of, most likely first; nothing if it is no
// distribution. Wheels are clear. A source archive may have dashes in both its project and
// its version.
func releases(file string) []release {
	if len(file) > maxName {
		return nil
	}
	if stem, ok := strings.CutSuffix(file, ".whl"); ok {
		parts := strings.Split(stem, "-")
		if len(parts) != 5 && len(parts) != 6 {
			return nil
		}
		return valid([]release{{parts[0], parts[1]}})
	}
	if stem, ok := strings.CutSuffix(file, ".egg"); ok {
		parts := append(strings.Split(stem, "-"), "")
		return valid([]release{{parts[0], parts[1]}})
	}
	for _, suffix := range [...]string{".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.Z", ".tar", ".exe", ".msi"} {
		if stem, ok := strings.CutSuffix(file, suffix); ok {
			return valid(splits(stem))
		}
	}
	return nil
}

// valid returns the releases whose project can be one, in normal form.
func valid(all []release) []release {
	all = slices.DeleteFunc(all, func(r release) bool { return !validProject(r.project) || r.version == "" })
	for i := range all {
		all[i].project = normalize(all[i].project)
	}
	return all
}

// splits returns how the name of a source archive may be split: where a version can begin,
// those first where all that follows looks like one, else at the last dash.
func splits(stem string) []release {
	var likely, possible []release
	last := -1
	for i := range len(stem) - 1 {
		if stem[i] != '-' {
			continue
		}
		last = i
		r := release{stem[:i], stem[i+1:]}
		switch v := strings.TrimPrefix(r.version, "v"); {
		case v == "" || v[0] < '0' || v[0] > '9':
		case versionLike(v):
			likely = append(likely, r)
		default:
			possible = append(possible, r)
		}
	}
	all := append(likely, possible...)
	if len(all) == 0 && last > 0 {
		all = append(all, release{stem[:last], stem[last+1:]})
	}
	return all[:min(len(all), 3)]
}

// versionLike reports whether s, which begins with a digit, looks like one version: after
// each dash there is the number of a post-release or the word for a pre-release.
func versionLike(s string) bool {
	for _, part := range strings.Split(s, "-")[1:] {
		word := strings.TrimRight(part, "0123456789.")
		switch strings.ToLower(word) {
		case "":
			if strings.Contains(part, ".") {
				return false
			}
		case "a", "b", "c", "rc", "alpha", "beta", "pre", "preview", "post", "rev", "r", "dev", "final":
		default:
			return false
		}
	}
	return true
}

// join writes decoded segments as a path that begins and ends with a slash.
func join(segments []string) string { return urlpath.Join("", segments...) + "/" }

// escapeFile writes the name of a file as a path segment. A plus, which stands in local
// versions, is escaped: object stores take a bare one for a space.
func escapeFile(name string) string {
	return strings.ReplaceAll(url.PathEscape(name), "+", "%2B")
}
