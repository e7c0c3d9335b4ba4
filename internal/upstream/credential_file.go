package upstream

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// maxCredentialFile bounds how much of a credential file is read, in bytes.
const maxCredentialFile = 1 << 20

var errCredentialFile = errors.New("malformed credential file")

// ReadNetrc reads the credentials of a netrc file. Each is bound to https on the machine's
// host, port 443 unless the machine is written host:port. The default entry is left out:
// it would be sent to any host. Errors name the line, never its content.
func ReadNetrc(r io.Reader) ([]Credential, error) {
	var n netrc
	s := bufio.NewScanner(io.LimitReader(r, maxCredentialFile))
	for line := 1; s.Scan(); line++ {
		if err := n.line(strings.TrimSpace(s.Text())); err != nil {
			return nil, fmt.Errorf("netrc: line %d: %w", line, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("netrc: %w", err)
	}
	if n.key != "" {
		return nil, fmt.Errorf("netrc: %w: it ends in the middle of an entry", errCredentialFile)
	}
	return usable(n.all), nil
}

// A netrc is a file as far as it is read.
type netrc struct {
	all     []Credential
	machine bool   // the last of all is being read; else the default entry, or nothing yet
	macro   bool   // within a macro, which ends with an empty line
	key     string // the keyword whose value comes next, "" if a keyword does
}

// line reads one line.
func (n *netrc) line(text string) error {
	if n.macro {
		n.macro = text != ""
		return nil
	}
	words, err := netrcWords(text)
	if err != nil {
		return err
	}
	for _, w := range words {
		switch {
		case n.key != "":
			err = n.pair(n.key, w)
			n.key = ""
		case w == "macdef":
			n.macro = true
			return nil // its name is the rest of the line
		case w == "default":
			n.machine = false
		default:
			n.key = w
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pair adds one keyword and its value.
func (n *netrc) pair(key, value string) error {
	switch key {
	case "machine":
		prefix, err := hostPrefix(value)
		if err != nil {
			return err
		}
		n.all, n.machine = append(n.all, Credential{Prefix: prefix}), true
	case "login":
		if n.machine {
			n.all[len(n.all)-1].User = value
		}
	case "password":
		if n.machine {
			n.all[len(n.all)-1].Password = Secret(value)
		}
	case "account": // of FTP
	default:
		return fmt.Errorf("%w: unknown keyword", errCredentialFile)
	}
	return nil
}

// netrcWords splits a line into words. A word may be in double quotes, with backslashes
// before what would end it; a word that begins with # begins a comment.
func netrcWords(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t")
		switch {
		case line == "" || line[0] == '#':
			return words, nil
		case line[0] != '"':
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, line[:end]), line[end:]
			continue
		}
		word, rest, ok := unquote(line[1:])
		if !ok {
			return nil, fmt.Errorf("%w: a quote is not closed", errCredentialFile)
		}
		words, line = append(words, word), rest
	}
}

// unquote reads up to the closing quote.
func unquote(s string) (word, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// ReadDockerConfig reads the credentials of a docker config.json or podman auth.json: those
// it holds, and the names of the helpers that keep others, which are asked when they are
// needed. A key is a host, with port or path; origin returns the URL at which the registry
// of that host is asked, with a slash at its end. Errors name the key, never its value.
func ReadDockerConfig(r io.Reader, origin func(host string) string) ([]Credential, error) {
	var file dockerConfig
	if err := json.NewDecoder(io.LimitReader(r, maxCredentialFile)).Decode(&file); err != nil {
		return nil, fmt.Errorf("docker config: %w", errCredentialFile) // the cause quotes the file
	}
	var all []Credential
	for key, e := range file.Auths {
		c, err := e.credential()
		if err != nil {
			return nil, fmt.Errorf("docker config: %q: %w", Redact(key), err)
		}
		if c.Prefix, err = dockerPrefix(key, origin); err != nil {
			return nil, fmt.Errorf("docker config: %q: %w", Redact(key), err)
		}
		if c.Validate() != nil && validName(file.CredsStore) {
			c.keeper = &keeper{name: file.CredsStore, server: key}
		}
		all = append(all, c)
	}
	for key, name := range file.CredHelpers {
		prefix, err := dockerPrefix(key, origin)
		if err != nil || !validName(name) {
			return nil, fmt.Errorf("docker config: %q: %w: no registry, or no helper", Redact(key), errCredentialFile)
		}
		all = append(all, Credential{Prefix: prefix, keeper: &keeper{name: name, server: key}})
	}
	slices.SortFunc(all, func(a, b Credential) int { return strings.Compare(a.Prefix, b.Prefix) })
	return usable(all), nil
}

// dockerConfig has the members of a docker config.json that are about credentials.
type dockerConfig struct {
	Auths       map[string]dockerAuth `json:"auths"`
	CredsStore  string                `json:"credsStore"` // keeps what is empty in Auths
	CredHelpers map[string]string     `json:"credHelpers"`
}

// dockerAuth is one entry of auths.
type dockerAuth struct {
	Auth          Secret `json:"auth"`
	Username      string `json:"username"`
	Password      Secret `json:"password"`
	IdentityToken Secret `json:"identitytoken"`
	RegistryToken Secret `json:"registrytoken"`
}

// credential returns what the entry holds, without its prefix.
func (e dockerAuth) credential() (Credential, error) {
	c := Credential{User: e.Username, Password: e.Password, Token: e.RegistryToken}
	if e.Auth != "" {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimRight(e.Auth.Reveal(), "\x00"))
		user, password, ok := strings.Cut(string(raw), ":")
		if err != nil || !ok {
			return c, fmt.Errorf("%w: auth is not base64 of user:password", errCredentialFile)
		}
		c.User, c.Password = user, Secret(strings.TrimRight(password, "\x00"))
	}
	if e.IdentityToken != "" {
		c.User, c.Password = identityUser, e.IdentityToken
	}
	return c, nil
}

// dockerPrefix returns the URL prefix for a key of auths. Registries live under /v2/; the
// old keys that end in /v1/ or /v2/ mean the whole host.
func dockerPrefix(key string, origin func(host string) string) (string, error) {
	scheme, rest, ok := strings.Cut(key, "://")
	if !ok {
		scheme, rest = "", key
	}
	host, path, _ := strings.Cut(rest, "/")
	if _, err := hostPrefix(host); err != nil || scheme != "https" && scheme != "http" && scheme != "" {
		return "", fmt.Errorf("%w: no registry", errCredentialFile)
	}
	prefix := origin(host)
	if scheme == "http" {
		prefix = "http" + prefix[strings.Index(prefix, "://"):]
	}
	switch path = strings.Trim(path, "/"); path {
	case "", "v1", "v2":
		return prefix, nil
	}
	prefix += "v2/" + path + "/"
	if u, err := url.Parse(prefix); err != nil || dotted(u.Path) || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%w: no registry", errCredentialFile)
	}
	return prefix, nil
}

// hostPrefix returns the https URL of a host, which may have a port.
func hostPrefix(host string) (string, error) {
	u, err := url.Parse("https://" + host + "/")
	if err != nil || u.Host != host || host == "" || u.Hostname() == "" || u.Path != "/" {
		return "", fmt.Errorf("%w: no host", errCredentialFile)
	}
	return "https://" + strings.ToLower(host) + "/", nil
}

// usable returns the credentials that have something to send.
func usable(all []Credential) []Credential {
	return slices.DeleteFunc(all, func(c Credential) bool { return c.Validate() != nil })
}
