package site

import (
	"iter"
	"strconv"
	"strings"
)

// Accepted returns each media range of an Accept field, in lower case and without its
// parameters, and its quality: 1 if none is stated, 0 if it is malformed.
func Accepted(accept string) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for field := range strings.SplitSeq(accept, ",") {
			name, params, _ := strings.Cut(field, ";")
			if !yield(strings.ToLower(strings.TrimSpace(name)), quality(params)) {
				return
			}
		}
	}
}

// quality returns the q parameter of a media range.
func quality(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.ToLower(strings.TrimSpace(name)) != "q" {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0
		}
		return q
	}
	return 1
}
