package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxSocketPath is the longest path that a unix socket can have on every system that
// sutler runs on (macOS: 104 bytes with the zero at its end).
const maxSocketPath = 103

// validate reports every value that cannot work, with what to write instead.
func (l *Loaded) validate() Problems {
	v := validator{l: l}
	v.listeners()
	v.paths()
	v.upstream()
	v.hosts()
	v.credentials()
	v.dns()
	slices.SortFunc(v.problems, func(a, b *Problem) int { return strings.Compare(a.Error(), b.Error()) })
	return v.problems
}

type validator struct {
	l        *Loaded
	problems Problems
}

// fail notes a problem of a key, unless its value could not be read in the first place.
func (v *validator) fail(name, format string, args ...any) {
	v.problems = append(v.problems,
		&Problem{Origin: v.l.Origin(name), Key: name, Message: fmt.Sprintf(format, args...)})
}

func (v *validator) listeners() {
	if len(v.l.Listen) == 0 {
		v.fail("listen", `name at least one address, for example ["127.0.0.1:7885"]`)
	}
	for _, a := range v.l.Listen {
		v.listener("listen", a)
	}
	if v.l.ACNG != "" {
		v.listener("acng_listen", v.l.ACNG)
	}
	for _, a := range v.l.Intercept.Listen {
		v.listener("intercept.listen", a)
	}
	if len(v.l.Intercept.Listen) > 0 && !v.l.Intercept.Enabled {
		v.fail("intercept.listen", "needs intercept.enabled = true: without the local CA nothing can be answered there")
	}
}

func (v *validator) listener(name, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		v.fail(name, "%q: write address:port", address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		v.fail(name, "%q: the port is a number from 0 to 65535", address)
	}
	ip, err := netip.ParseAddr(host)
	if host != "" && host != "localhost" && err != nil {
		v.fail(name, "%q: write an IP address, not a name", address)
		return
	}
	if (host == "" || ip.IsUnspecified()) && host != "localhost" && !v.l.ListenAny {
		v.fail(name, "%q is every address of this machine; name one, or set listen_any = true", address)
	}
}

func (v *validator) paths() {
	for name, path := range map[string]string{
		"attach.root": v.l.Attach.Root, "socket": v.l.Socket, "store.dir": v.l.Store.Dir, "store.state": v.l.Store.State,
	} {
		if !filepath.IsAbs(path) {
			v.fail(name, "%q: write an absolute path", path)
		}
	}
	for name, path := range map[string]string{
		"upstream.ca_file": v.l.Upstream.CAFile, "apt.keyrings": v.l.Apt.Keyrings, "apk.keys": v.l.Apk.Keys, "rpm.keyrings": v.l.RPM.Keyrings,
	} {
		if path != "" && !filepath.IsAbs(path) {
			v.fail(name, "%q: write an absolute path", path)
		}
	}
	if len(v.l.Socket) > maxSocketPath {
		v.fail("socket", "the path has %d bytes, a socket can have %d; choose a shorter one", len(v.l.Socket), maxSocketPath)
	}
	if filepath.Clean(v.l.Store.Dir) == filepath.Clean(v.l.Store.State) {
		v.fail("store.dir", "is the same folder as store.state; the store may be deleted, the state must not be")
	}
}

func (v *validator) upstream() {
	u := v.l.Upstream
	if u.MaxPerHost < 1 {
		v.fail("upstream.max_per_host", "%d: write a number from 1 up", u.MaxPerHost)
	}
	if u.Proxy != "" && !webURL(u.Proxy) {
		v.fail("upstream.proxy", "write a URL, for example \"http://proxy.example:3128\"") // the value may hold a password
	}
	for _, a := range u.Nameservers {
		if _, err := Nameserver(a); err != nil {
			v.fail("upstream.nameservers", "%v", err)
		}
	}
	for _, a := range u.AllowLoopback {
		v.hostPort("upstream.allow_loopback", a)
	}
	for _, a := range u.AllowPrivate {
		v.hostPort("upstream.allow_private_hosts", a)
	}
}

func (v *validator) hostPort(name, s string) {
	if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
		v.fail(name, "%q: write host:port", s)
	}
}

func (v *validator) hosts() {
	for _, h := range v.l.Hosts {
		name, host, ok := strings.Cut(h, "=")
		if host, _, _ = strings.Cut(host, "/"); !ok || name == "" || host == "" || strings.ContainsAny(host, ":@ ") || h != strings.TrimSpace(h) || host != strings.ToLower(host) {
			v.fail("hosts", "%q: write ecosystem=host, without scheme and port, for example \"npm=nexus.example/repository/npm\"", h)
		}
	}
	for name, list := range map[string][]string{
		"intercept.hosts": v.l.Intercept.Hosts, "intercept.except": v.l.Intercept.Except,
	} {
		for _, h := range list {
			bare := strings.TrimPrefix(h, "*.")
			if bare == "" || strings.ContainsAny(bare, "*/:@ ") || h != strings.ToLower(h) {
				v.fail(name, "%q: write a host in lower case without scheme and port, or \"*.\" and a domain", h)
			}
		}
	}
}

func (v *validator) credentials() {
	for i, c := range v.l.Credentials {
		problem := c.mistake()
		if problem == "" {
			continue
		}
		v.problems = append(v.problems, &Problem{Origin: v.l.credentialAt[i],
			Key: fmt.Sprintf("%s[%d]", credentialsKey, i), Message: problem})
	}
}

// mistake returns what is wrong with c, "" if nothing is. It shows no part of the URL but
// its scheme, since people put passwords there.
func (c Credential) mistake() string {
	u, err := url.Parse(c.Prefix)
	switch {
	case err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http"):
		return "prefix: write a URL without user, for example \"https://npm.example/private/\""
	case c.Token.Reveal() == "" && c.User == "":
		return "write user and password (or password_file), or token"
	case c.Token.Reveal() != "" && (c.User != "" || c.Password.Reveal() != ""):
		return "write either token, or user and password"
	}
	return ""
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// Nameserver reads an address of upstream.nameservers: the port may be left out.
func Nameserver(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return a, fmt.Errorf("%q: write an IP address, with a port if it is not 53", s)
	}
	return a, nil
}
