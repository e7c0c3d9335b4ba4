package npm

import (
	"cmp"
	"strings"
)

// highest returns the highest of the versions by semantic versioning that is no
// pre-release; if all are, the highest of them.
func highest(versions []string) string {
	best := ""
	for _, v := range versions {
		if best == "" || higher(v, best) {
			best = v
		}
	}
	return best
}

// higher reports whether a should rather be installed than b: stable before pre-release,
// then by precedence.
func higher(a, b string) bool {
	coreA, preA := cutPrerelease(a)
	coreB, preB := cutPrerelease(b)
	if (preA == "") != (preB == "") {
		return preA == ""
	}
	if c := compareFields(coreA, coreB); c != 0 {
		return c > 0
	}
	return compareFields(preA, preB) > 0
}

// cutPrerelease splits a version at the first hyphen, without its build metadata.
func cutPrerelease(v string) (core, pre string) {
	v, _, _ = strings.Cut(v, "+")
	core, pre, _ = strings.Cut(v, "-")
	return core, pre
}

// compareFields compares dot-separated fields by rule 11 of semver.org: numbers by value
// and before words, the longer list after the shorter.
func compareFields(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if c := compareField(x, y); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// compareField compares two fields. Numbers may be longer than any integer type.
func compareField(x, y string) int {
	nx, ny := isNumber(x), isNumber(y)
	switch {
	case nx && ny:
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	case nx:
		return -1
	case ny:
		return 1
	}
	return cmp.Compare(x, y)
}

// isNumber reports whether s consists of digits.
func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
