package urlpath

import (
	"net/url"
	"strings"
)

// Host returns the host of a URL in lower case, with its port unless that is the scheme's
// own.
func Host(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// Origin returns the scheme and Host of a URL, "https://host", or false if it is not one of
// the web. A nil URL is none.
func Origin(u *url.URL) (string, bool) {
	if u == nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", false
	}
	return u.Scheme + "://" + Host(u), true
}
