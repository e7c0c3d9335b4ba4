package cli

import (
	"strings"

	"sutler/internal/receipt"
)

// maxCell is the longest text in a cell of a table, in letters.
const maxCell = 100

// printable makes text one line: no line breaks or control characters.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// reason returns the error of a receipt's line without the address that stands beside it.
func reason(l receipt.Line) string {
	if l.URL == "" {
		return printable(l.Error)
	}
	text := strings.ReplaceAll(printable(l.Error), l.URL+": ", "")
	return strings.TrimSuffix(text, ": "+l.URL)
}

// oneLine makes text fit into a cell: printable, and not too long.
func oneLine(s string) string {
	s = printable(s)
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
