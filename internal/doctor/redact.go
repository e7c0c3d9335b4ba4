package doctor

import (
	"regexp"
	"slices"
	"strings"
)

// hidden stands where something was taken out.
const hidden = "***"

// A Redactor takes out of a text what must not leave this machine: known secrets, the
// user's part and the query of URLs, what follows the names of secrets, and the paths of
// home folders.
type Redactor struct {
	known *strings.Replacer
	homes []*regexp.Regexp
}

// minSecret is the length, in bytes, from which a known secret is looked for: shorter ones
// would be found everywhere.
const minSecret = 3

// NewRedactor returns a redactor that knows these secrets and home folders besides what it
// recognises.
func NewRedactor(secrets, homes []string) Redactor {
	var pairs []string
	secrets = slices.Clone(secrets)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // the longest that fits
	for _, s := range secrets {
		if len(s) >= minSecret {
			pairs = append(pairs, s, hidden)
		}
	}
	r := Redactor{known: strings.NewReplacer(pairs...)}
	for _, h := range homes {
		if h = strings.TrimRight(h, "/"); len(h) > 1 {
			r.homes = append(r.homes, regexp.MustCompile(regexp.QuoteMeta(h)+`\b`))
		}
	}
	return r
}

// rules lists what is recognised by its form.
func rules() []struct {
	re *regexp.Regexp
	to string
} {
	return []struct {
		re *regexp.Regexp
		to string
	}{
		// user and password of URLs, whatever the scheme; the password may hold an @
		{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s"'<>?#]*@`), "${1}" + hidden + "@"},
		// queries and fragments of URLs
		{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>?#\\]*)[?#][^\s"'<>]*`), "${1}?" + hidden},
		// headers
		{regexp.MustCompile(`(?i)\b(bearer|basic|token)\s+[a-zA-Z0-9._~+/=-]{6,}`), "${1} " + hidden},
		{regexp.MustCompile(`(?i)((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)("?\s*[:=]\s*"?)[^"\r\n]+`), "${1}${2}" + hidden},
		// assignments
		{regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:passw(?:or)?d|secret|token|api[_-]?key|credential|auth)[a-z0-9_]*\\*"?\s*[:=]\s*\\*"?)[^\s"',}\\&]+`), "${1}" + hidden},
		// keys
		{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`), hidden},
		// home folders of whoever
		{regexp.MustCompile(`/(home|Users)/[^/\s"':,]+`), "~"},
	}
}

// Text returns the text without what must not be seen.
func (r Redactor) Text(text string) string {
	text = r.known.Replace(text)
	for _, h := range r.homes {
		text = h.ReplaceAllString(text, "~")
	}
	for _, rule := range rules() {
		text = rule.re.ReplaceAllString(text, rule.to)
	}
	return text
}
