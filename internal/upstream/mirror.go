package upstream

import (
	"fmt"
	"net/url"
	"strings"
)

// A Mirror is another place for what lies under a URL.
type Mirror struct {
	Of string // prefix at the origin: "https://files.example/debian/"
	At string // what takes its place
}

// ParseMirror reads "OF=AT": two URLs that end in a slash.
func ParseMirror(s string) (Mirror, error) {
	of, at, _ := strings.Cut(s, "=")
	for _, p := range []string{of, at} {
		u, err := url.Parse(p)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
			!strings.HasSuffix(p, "/") || dotted(u.Path) {
			return Mirror{}, fmt.Errorf("mirror %q=%q: write https://origin/path/=https://mirror/path/, each with a slash at its end", Redact(of), Redact(at))
		}
	}
	return Mirror{Of: of, At: at}, nil
}

// Host returns host:port of the mirror, in lower case.
func (m Mirror) Host() string {
	u, err := url.Parse(m.At)
	if err != nil {
		return ""
	}
	return hostport(u)
}

// places returns the URLs that have what is at rawURL, in the order in which they are
// asked: mirrors as configured, then the origin, unless MirrorsOnly rules it out.
func (c *Client) places(rawURL string) []string {
	var out []string
	for _, m := range c.Mirrors {
		if rest, ok := strings.CutPrefix(rawURL, m.Of); ok {
			out = append(out, m.At+rest)
		}
	}
	if len(out) == 0 || !c.MirrorsOnly {
		out = append(out, rawURL)
	}
	return out
}
