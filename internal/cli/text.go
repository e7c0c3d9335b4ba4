package cli

import "strings"

// maxCell is the longest text in a cell of a table, in letters.
const maxCell = 100

// oneLine makes text fit into a cell: no line breaks or control characters, not too long.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if letters := []rune(s); len(letters) > maxCell {
		return string(letters[:maxCell-1]) + "…"
	}
	return s
}

// dash returns s, or "-" for an empty cell.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// shortDigest returns as much of a digest as people compare.
func shortDigest(d string) string {
	alg, hexadecimal, ok := strings.Cut(d, ":")
	if !ok {
		return "-"
	}
	return alg + ":" + hexadecimal[:min(12, len(hexadecimal))]
}
