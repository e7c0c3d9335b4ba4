package config

import (
	"fmt"
	"io"
	"strings"
)

// A Setting is one value in force and where it came from.
type Setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Text   string `json:"-"`                // as in a file
	Source string `json:"source,omitempty"` // default, file, env or flag
	Origin string `json:"origin,omitempty"` // file:line:column, variable or flag
}

// Settings returns every value in force, secrets hidden.
func (l *Loaded) Settings() []Setting {
	var list []Setting
	for _, k := range l.table {
		v, o := k.bind(&l.Config), l.Origin(k.name)
		s := Setting{Key: k.name, Value: v.plain(), Text: v.toml(), Source: o.Source, Origin: o.String()}
		if shown, ok := s.Value.(string); ok {
			s.Text = quote(shown) // a URL without its password
		}
		list = append(list, s)
	}
	for i, c := range l.Credentials {
		o := l.credentialAt[i]
		list = append(list, Setting{
			Key:   fmt.Sprintf("%s[%d]", credentialsKey, i),
			Value: map[string]string{"prefix": c.Prefix, "user": c.User, "password": c.Password.String(), "token": c.Token.String()},
			Text: fmt.Sprintf("{ prefix = %s, user = %s, password = %s, token = %s }",
				quote(c.Prefix), quote(c.User), quote(c.Password.String()), quote(c.Token.String())),
			Source: o.Source, Origin: o.String(),
		})
	}
	return list
}

// Texts returns every value but the credentials, as in a file, by key.
func (c Config) Texts() map[string]string {
	out := map[string]string{}
	for _, k := range keys() {
		v := k.bind(&c)
		out[k.name] = v.toml()
		if shown, ok := v.plain().(string); ok {
			out[k.name] = quote(shown) // a URL without its password
		}
	}
	return out
}

// WriteTemplate writes a configuration file in which every key stands with its meaning and
// its default, commented out: as written it changes nothing.
func WriteTemplate(w io.Writer, p Place) error {
	c := Default(p)
	var b strings.Builder
	b.WriteString(templateHead)
	section := ""
	for _, k := range keys() {
		name := k.name
		if s, rest, ok := strings.Cut(k.name, "."); ok {
			name = rest
			if s != section {
				fmt.Fprintf(&b, "\n[%s]\n", s)
			}
			section = s
		}
		fmt.Fprintf(&b, "# %s\n#%s = %s\n", k.doc, name, k.bind(&c).toml())
	}
	b.WriteString(templateTail)
	_, err := io.WriteString(w, b.String())
	return err
}

const templateHead = `# Configuration of sutler. Every line here is optional: what is commented out is the default.
# A variable SUTLER_SECTION_KEY overrides this file, a flag overrides both.
# "sutler config show --origin" prints what is in force, "sutler config check" finds mistakes.

`

const templateTail = `
# Credentials go to URLs under their prefix, and nowhere else. Keep this file to yourself (chmod 600).
#[[credentials]]
#prefix = "https://npm.example/private/"
#user = "builder"
#password_file = "/etc/sutler/npm-password"
# or:
#token = "…"
`
