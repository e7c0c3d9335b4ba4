package npm

import (
	"strconv"
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Media types of packuments.
const (
	fullType        = "application/json"
	abbreviatedType = "application/vnd.npm.install-v1+json"
)

// Forms of a packument. Links are mapped in the forms that do not say otherwise.
const (
	formFull                = ""
	formFullUnlinked        = "unlinked"
	formAbbreviated         = "abbreviated"
	formAbbreviatedUnlinked = "abbreviated unlinked"
)

// forClient chooses the form of a document for the client that asks.
func forClient(res ecosystem.Resource, r ecosystem.Request) ecosystem.Resource {
	short := res.Version == "" && wantsAbbreviated(r.Accept)
	// npm since version 7 points tarball URLs at its configured registry itself, and
	// writes those that it was given into lock files: leave them as the origin has them.
	unlinked := r.Base != "" && rewritesLinks(r.Client)
	switch {
	case short && unlinked:
		res.Form, res.FormType = formAbbreviatedUnlinked, abbreviatedType
	case short:
		res.Form, res.FormType = formAbbreviated, abbreviatedType
	case unlinked:
		res.Form, res.FormType = formFullUnlinked, fullType
	}
	return res
}

// rewritesLinks reports whether the client is npm 7 or newer.
func rewritesLinks(client string) bool {
	rest, ok := strings.CutPrefix(client, "npm/")
	if !ok {
		return false
	}
	major, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 7
}

// wantsAbbreviated reports whether an Accept field prefers the abbreviated form to the
// full one, or likes both the same.
func wantsAbbreviated(accept string) bool {
	full, short := -1.0, -1.0
	for name, quality := range site.Accepted(accept) {
		switch name {
		case abbreviatedType:
			short = quality
		case fullType:
			full = quality
		}
	}
	return short > 0 && short >= full
}
