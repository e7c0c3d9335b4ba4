package pypi

import (
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Media types of project pages.
const (
	jsonType  = "application/vnd.pypi.simple.v1+json"
	htmlType  = "application/vnd.pypi.simple.v1+html"
	plainType = "text/html"
	pageTypes = jsonType + ", " + htmlType + ";q=0.2, " + plainType + ";q=0.01" // what indexes are asked for
)

// Forms of a page; "" is what its index has, for clients that read both.
const (
	formJSON = "json"
	formHTML = "html"
)

// forClient chooses the form of a page for the client that asks. Who names no type of a page
// gets HTML, as of the public index.
func forClient(res ecosystem.Resource, r ecosystem.Request) ecosystem.Resource {
	if res.Kind != ecosystem.Document || !isPage(res) {
		return res
	}
	var asJSON, asHTML, asPlain bool
	for name, quality := range site.Accepted(r.Accept) {
		if quality == 0 {
			continue
		}
		switch name {
		case jsonType, "application/vnd.pypi.simple.latest+json":
			asJSON = true
		case htmlType, "application/vnd.pypi.simple.latest+html":
			asHTML = true
		case plainType:
			asPlain = true
		}
	}
	switch {
	case asJSON && asHTML && asPlain:
	case asJSON:
		res.Form, res.FormType = formJSON, jsonType
	case asHTML && !asPlain:
		res.Form, res.FormType = formHTML, htmlType
	default:
		res.Form, res.FormType = formHTML, plainType+"; charset=utf-8"
	}
	return res
}
